"""Lists a page at a time: the cursor is the key of the last thing that was shown."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from gatelodge.core.errors import Invalid

T = TypeVar("T")
S = TypeVar("S")

PAGE = 100
LONGEST = 500
_PLACE = re.compile(r"[0-9]{1,18}")
_NO_CURSOR = "cursor: not one that this list gave out"


class ItemPage(Struct, Generic[T], frozen=True, kw_only=True):
    """Some items, and the cursor of the page after them (empty at the end)."""

    items: tuple[T, ...]
    next: str = ""


class PageRequest(Struct, frozen=True):
    """Which page of a list is asked for."""

    limit: int = PAGE
    cursor: str = ""


def page(
    rows: Sequence[S], key: Callable[[S], str], shape: Callable[[S], T], asked: PageRequest
) -> ItemPage[T]:
    """The page of `rows` that was asked for, each row in its outer shape.

    Raises Invalid when the cursor was not made by this list. When the last row that was shown has
    gone meanwhile, the list goes on from its place.
    """
    start = 0
    if asked.cursor:
        place, last = _decode_cursor(asked.cursor)
        start = next((at + 1 for at, row in enumerate(rows) if key(row) == last), place)
    stop = start + asked.limit
    chosen = rows[start:stop]
    return ItemPage(
        items=tuple(map(shape, chosen)),
        next=_encode_cursor(stop - 1, key(chosen[-1])) if stop < len(rows) else "",
    )


def log_place(cursor: str) -> int | None:
    """The place in a log at which a list goes on, None at its beginning.

    Raises Invalid for what is no such place, a number that no log reaches too.
    """
    if not cursor:
        return None
    if _PLACE.fullmatch(cursor) is None:
        raise Invalid(_NO_CURSOR)
    return int(cursor)


def _encode_cursor(place: int, last: str) -> str:
    """Stands in a URL as it is."""
    return urlsafe_b64encode(f"{place}:{last}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        place, _, last = raw.decode().partition(":")
        # A cursor is not sealed, and a negative place would count from the end of the list.
        return max(0, int(place)), last
    except ValueError:
        raise Invalid(_NO_CURSOR) from None
