"""Lists a page at a time: the cursor is the key of the last thing that was shown."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from gatelodge.core.errors import Invalid

T = TypeVar("T")
S = TypeVar("S")

PAGE = 100
LONGEST = 500


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """Some items, and the cursor of the page after them (empty at the end)."""

    items: tuple[T, ...]
    next: str = ""


class Asked(Struct, frozen=True):
    """Which page of a list is asked for."""

    limit: int = PAGE
    cursor: str = ""


def page(
    rows: Sequence[S], key: Callable[[S], str], shape: Callable[[S], T], asked: Asked
) -> Page[T]:
    """The page of `rows` that was asked for, each row in its outer shape.

    Raises Invalid when the cursor was not made by this list. When the last row that was shown has
    gone meanwhile, the list goes on from its place.
    """
    start = 0
    if asked.cursor:
        place, last = _open(asked.cursor)
        start = next((at + 1 for at, row in enumerate(rows) if key(row) == last), place)
    stop = start + asked.limit
    chosen = rows[start:stop]
    return Page(
        items=tuple(map(shape, chosen)),
        next=_cursor(stop - 1, key(chosen[-1])) if stop < len(rows) else "",
    )


def _cursor(place: int, last: str) -> str:
    """Stands in a URL as it is."""
    return urlsafe_b64encode(f"{place}:{last}".encode()).decode().rstrip("=")


def _open(cursor: str) -> tuple[int, str]:
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        place, _, last = raw.decode().partition(":")
        return max(0, int(place)), last
    except ValueError:
        raise Invalid("cursor: not one that this list gave out") from None
