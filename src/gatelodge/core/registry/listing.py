"""Pages of registry entries by name: an entry that stays is shown once, whatever comes and goes."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable

from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.registry.entry import LONGEST_NAME, RegistryServer

MOST_ENTRIES = 100
_CURSOR = re.compile(rf"[A-Za-z0-9_-]{{1,{2 * LONGEST_NAME}}}")
_NO_CURSOR = "cursor: not one that this list gave out"


class RegistryPage(Struct, frozen=True, kw_only=True):
    """Some entries, in the order of their names; `next` is empty at the end."""

    servers: tuple[RegistryServer, ...]
    next: str = ""


def registry_page(
    entries: Iterable[RegistryServer], *, limit: int, cursor: str = "", search: str = ""
) -> RegistryPage:
    """At most `limit` (1 to 100) entries after `cursor` whose name holds `search` in any case.

    The cursor says the last name and no place, so neither what was added nor what was removed
    meanwhile moves an entry over it. Raises Invalid for a cursor or a limit that cannot be.
    """
    if not 1 <= limit <= MOST_ENTRIES:
        raise Invalid(f"limit: from 1 to {MOST_ENTRIES}")
    after = _decode_name(cursor) if cursor else ""
    wanted = search.lower()
    rest = sorted(
        (each for each in entries if each.name > after and wanted in each.name.lower()),
        key=lambda each: each.name,
    )
    shown = tuple(rest[:limit])
    return RegistryPage(
        servers=shown, next=_encode_name(shown[-1].name) if len(rest) > limit else ""
    )


def _encode_name(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _decode_name(cursor: str) -> str:
    if _CURSOR.fullmatch(cursor) is None:
        raise Invalid(_NO_CURSOR)
    try:
        name = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        raise Invalid(_NO_CURSOR) from None
    if _encode_name(name) != cursor:
        raise Invalid(_NO_CURSOR)
    return name
