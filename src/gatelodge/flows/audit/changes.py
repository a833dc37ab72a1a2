"""Questions to the gov log: who changed what, when, and for which ticket."""

from collections.abc import Mapping
from typing import Final

import anyio
from msgspec import Struct

from gatelodge.core.errors import NotFound
from gatelodge.core.records.origin import GOV
from gatelodge.flows.audit import reading
from gatelodge.flows.audit.reading import Fields, LogReading, fields, seen_from
from gatelodge.ports.journal import LeafAt, Ledger

LOOK: Final = "audit.read"
MOST_LEAVES = 2**62
"""No log is as long; what is kept counts to 2**63."""


class ChangeQuery(Struct, frozen=True, kw_only=True):
    """What to look for; empty fields match everything, times are as leaves spell them.

    `workspace` None sees the whole house. `by` are those who changed something (`local` finds every
    operator); `about` are ids, one of which the change names. `looks` false leaves out what says
    only that somebody read records. `before` is the cursor.
    """

    log: str = GOV
    workspace: str | None = None
    by: tuple[str, ...] | None = None
    about: tuple[str, ...] | None = None
    type: str = ""
    why: str = ""
    since: str = ""
    until: str = ""
    looks: bool = True
    limit: int = 50
    before: int | None = None


class RecordedChange(Struct, frozen=True):
    """One change: its place in the gov log, and its leaf."""

    index: int
    leaf: Fields


class ChangePage(Struct, frozen=True):
    """What was found, newest first, and the cursor of what was not looked at yet.

    `read` is how many leaves were read for it.
    """

    found: tuple[RecordedChange, ...]
    before: int | None
    read: int = 0


class GovernanceChanges:
    """Reads the gov log. Whoever calls it has checked what the reader may see."""

    def __init__(self, ledger: Ledger, turn: anyio.Lock) -> None:
        self._ledger = ledger
        self._turn = turn
        self._reading = LogReading(ledger)

    async def search(self, query: ChangeQuery) -> ChangePage:
        """What matches, newest first; fewer than `limit` with a cursor when much was read."""
        low, high = await self._reading.span(query.log, query.since, query.until, query.before)
        top, stop = high, max(low, high - reading.MOST_READ)
        found: list[RecordedChange] = []
        while high > stop:
            start = max(stop, high - reading.STEP)
            # The turn is held for one step only, so a long question lets others in between.
            async with self._turn:
                leaves = await self._ledger.leaves(query.log, start, high)
            for leaf in reversed(leaves):
                here = fields(leaf)
                if matches(query, here):
                    found.append(RecordedChange(leaf.index, here))
                if len(found) == query.limit:
                    left = leaf.index if leaf.index > low else None
                    return ChangePage(tuple(found), left, top - start)
            high = start
            await anyio.sleep(reading.PAUSE_SECONDS)
        return ChangePage(tuple(found), stop if stop > low else None, top - stop)

    async def at(self, log: str, index: int, workspace: str | None) -> LeafAt:
        """The change at this place. Raises NotFound, also for what the reader may not see."""
        there = 0 <= index < MOST_LEAVES
        leaves = await self._ledger.leaves(log, index, index + 1) if there else []
        if not leaves or not seen_from(workspace, fields(leaves[0])):
            raise NotFound(
                f"there is no change {index} here", remedy="See `gatelodge audit changes tail`."
            )
        return leaves[0]


def matches(query: ChangeQuery, here: Fields) -> bool:
    """Say whether a leaf of the gov log is what was asked for."""
    at, by = str(here.get("at", "")), str(here.get("by", ""))
    asked = (
        seen_from(query.workspace, here),
        not query.type or here.get("t") == query.type,
        query.looks or here.get("t") != LOOK,
        not query.why or here.get("why") == query.why,
        not query.since or at >= query.since,
        not query.until or at < query.until,
        # Local changes name the account behind a colon; `local` alone finds those of all.
        query.by is None or by in query.by or by.partition(":")[0] in query.by,
        query.about is None or bool(named_in(here) & set(query.about)),
    )
    return all(asked)


def named_in(here: Fields) -> set[str]:
    """Every id that a change names in its subject."""
    subject = here.get("subject")
    values = subject.values() if isinstance(subject, Mapping) else ()
    found: set[str] = set()
    for each in values:
        if isinstance(each, str):
            found.add(each)
        # Tools that were observed stand in a mapping by name, those that are gone in a list.
        elif isinstance(each, list | Mapping):
            found |= {str(one) for one in each}
    return found
