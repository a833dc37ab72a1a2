"""A list that begins in the present log and goes on in its earlier shards, from before restores."""

import re
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.records.origin import past
from gatelodge.flows.audit.reading import MOST_READ, shards_of
from gatelodge.ports.journal import Ledger
from gatelodge.web.api.pages import LONGEST

T = TypeVar("T")

_CURSOR: Final = re.compile(r"([0-9]{1,18})?(?:@([1-9][0-9]{0,8}))?")
_MOST_SHARDS: Final = 16
"""Shards that one page goes through; each restore makes one."""
_MOST_READ_AT_ONCE: Final = 4 * MOST_READ
"""Leaves read for all pages that are asked for as one; each page may read a search more."""


class ShardedPage(Struct, Generic[T], frozen=True):
    """What was found, newest first, each with the number of its shard, and the cursor.

    `read` is how many leaves were read for it.
    """

    found: tuple[tuple[int, T], ...]
    next: str
    read: int = 0


Look = Callable[[str, int | None, int], Awaitable[tuple[tuple[T, ...], int | None, int]]]
"""Finds so many in one shard from a place on.

Told with it are the place of what was not looked at yet, and how many leaves were read.
"""


async def newest_first(
    ledger: Ledger, log: str, page: tuple[int, str], look: Look[T]
) -> ShardedPage[T]:
    """A page of what `look` finds in a log and its earlier shards: so many at most, from a cursor.

    Once as much was read as one search reads, it goes on to no other shard.

    Raises Invalid for a cursor that no such list gave out.
    """
    limit, cursor = page
    number, before = _place(cursor)
    logs = (await shards_of(ledger, log))[::-1]
    here = past(log, number) if number else log
    if number and here not in logs:
        raise Invalid("cursor: not one that this list gave out")
    # The present log is made with its first record; before that the list begins in an earlier one.
    logs = logs[logs.index(here) :] if here in logs else logs
    found: list[tuple[int, T]] = []
    read = 0
    for at, each in enumerate(logs):
        if at == _MOST_SHARDS or len(found) == limit or read >= MOST_READ:
            return ShardedPage(tuple(found), _cursor(each, None), read)
        told, left, more = await look(each, before if each == here else None, limit - len(found))
        found += [(_number(each), one) for one in told]
        read += more
        if left is not None:
            return ShardedPage(tuple(found), _cursor(each, left), read)
    return ShardedPage(tuple(found), "", read)


async def gathered(
    page: Callable[[int, str], Awaitable[ShardedPage[T]]], most: int, pages: int, cursor: str
) -> ShardedPage[T]:
    """So many pages at most as one, with so many things at most; fewer after much reading."""
    found = ShardedPage[T]((), cursor)
    for _ in range(pages):
        told = await page(min(LONGEST, most - len(found.found)), found.next)
        read = found.read + told.read
        found = ShardedPage((*found.found, *told.found), told.next, read)
        if not told.next or len(found.found) >= most or read >= _MOST_READ_AT_ONCE:
            break
    return found


def _place(cursor: str) -> tuple[int, int | None]:
    read = _CURSOR.fullmatch(cursor)
    if read is None:
        raise Invalid("cursor: not one that this list gave out")
    return int(read[2] or 0), None if read[1] is None else int(read[1])


def _cursor(log: str, place: int | None) -> str:
    """`17` in the present log, `17@2` in shard 2, `@2` where that one is begun."""
    number = _number(log)
    return ("" if place is None else str(place)) + (f"@{number}" if number else "")


def _number(log: str) -> int:
    """The number of an earlier shard; 0 for the present one."""
    return int(log.partition("@")[2] or 0)
