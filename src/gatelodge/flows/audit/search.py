"""Questions to the call logs: list what happened, newest first, and who was behind it.

The index says where records may stand that match (decision 0040); each is read in the log and
judged by what is there. What the index does not hold yet, or has no word for, is read from end to
beginning. A question reads so much at a time and hands out a cursor, so the largest log costs it no
more memory than the smallest.
"""

from collections.abc import Mapping
from typing import TypeAlias

import anyio
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Invalid
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.records.opening import Opening
from gatelodge.flows.audit import reading
from gatelodge.flows.audit.index.lookup import IndexedLeaves, IndexLookup, portions_of
from gatelodge.flows.audit.index.terms import OPEN, asked_outcome, term
from gatelodge.flows.audit.naming import OpeningReader
from gatelodge.flows.audit.outcome import ends_as
from gatelodge.flows.audit.reading import (
    Fields,
    FoundRecords,
    LogReading,
    fields,
    head_of,
    pair_of,
)
from gatelodge.ports.journal import DataKeys, LeafAt, Ledger
from gatelodge.ports.search_index import IndexReach, SearchIndex, Terms

_MOST_LOOKS = 256
"""Looks at the index that one question makes: each is at 256 chunks of 4,096 leaves at most."""
_Ends: TypeAlias = dict[str, tuple[int, Fields]]


class AuditQuery(Struct, frozen=True, kw_only=True):
    """What to look for; empty fields match everything. Times are RFC 3339, `until` excluded.

    `type` is a leaf type; without one, closers are shown with their openers and not by themselves.
    `members` also finds what agents did for them; `principals` are members or agents that called
    themselves. None of either matches everything, an empty tuple nothing. `client` is a part of
    the client's name. `before` is the cursor of the last page. `owners` are all members with whose
    keys records of `principals` or `credential` can be sealed: it narrows what is looked at, and
    not what matches.
    """

    log: str
    since: str = ""
    until: str = ""
    type: str = ""
    servers: tuple[str, ...] | None = None
    tool: str = ""
    rules: tuple[str, ...] = ()
    call: str = ""
    outcome: str = ""
    members: tuple[str, ...] | None = None
    principals: tuple[str, ...] | None = None
    client: str = ""
    credential: str = ""
    owners: tuple[str, ...] | None = None
    limit: int = 50
    before: int | None = None

    @property
    def opens(self) -> bool:
        """True when openings have to be read to answer it."""
        return bool(self.principals is not None or self.client or self.credential)

    @property
    def personal(self) -> bool:
        """True when the answer says something about who called, even without names."""
        return self.opens or self.members is not None


class SearchPage(Struct, frozen=True):
    """What was found, newest first, and the cursor of what was not looked at yet.

    `read` is how many leaves were read for it.
    """

    found: tuple[FoundRecords, ...]
    before: int | None
    read: int = 0


class AuditSearch:
    """Reads the logs. Whoever calls it has checked that the reader may see them.

    `turn` is held while a step is read: large questions take turns.
    """

    def __init__(
        self,
        ledger: Ledger,
        deks: DataKeys,
        turn: anyio.Lock | None = None,
        index: SearchIndex | None = None,
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._deks = deks
        self._turn = turn or anyio.Lock()
        self.reading = LogReading(ledger)
        self.naming = OpeningReader(ledger, deks)

    async def search(self, query: AuditQuery) -> SearchPage:
        """What matches, newest first; fewer than `limit` with a cursor when much was read.

        Raises Invalid for a time that is not RFC 3339.
        """
        since = canonical(query.since) if query.since else ""
        until = canonical(query.until) if query.until else ""
        query = replace(query, since=since, until=until)
        low, high = await self.reading.span(query.log, since, until, query.before)
        sift = await self._sift_for_query(query)
        reach = await self._reach(query.log, sift.groups)
        known = high if reach is None else max(low, min(high, reach.position))
        # What is newer than the index is read first.
        page = await self._read(query, sift, (low if reach is None else known, high))
        if reach is None or page.before is not None:
            return page
        if len(page.found) == query.limit:
            return SearchPage(page.found, known if known > low else None, page.read)
        told = await self._look_up(query, sift, reach, (low, known), list(page.found))
        return replace(told, read=page.read + told.read)

    async def _look_up(
        self,
        query: AuditQuery,
        sift: "_Sift",
        reach: IndexReach,
        span: tuple[int, int],
        found: list[FoundRecords],
    ) -> SearchPage:
        """What matches between two places that the index holds, behind what was found already."""
        assert self._index is not None
        low, high = span
        lookup = IndexLookup(self._index, reach, sift.groups, span)
        floor = (await head_of(self._ledger, query.log)).open_floor
        leaves = IndexedLeaves(self._ledger, self._index, reach, floor)
        for _ in range(_MOST_LOOKS):
            if high <= low:
                break
            async with self._turn:
                window = await lookup.next()
            if window is None:
                # It was dropped a moment ago: what is left is read, as if there had been none.
                left = replace(query, limit=query.limit - len(found))
                rest = await self._read(left, sift, (low, high))
                return SearchPage((*found, *rest.found), rest.before, leaves.read + rest.read)
            for some in portions_of(window.places, query.limit - len(found)):
                if leaves.read >= reading.MOST_READ:
                    return SearchPage(tuple(found), some[0] + 1, leaves.read)
                async with self._turn:
                    matching = await sift.wanted(await leaves.at(some), {})
                wanted = [(index, here) for index, here, _ in matching]
                for opener, end in zip(wanted, await leaves.ends_of(wanted), strict=True):
                    each = _found_records(query.log, opener, end)
                    if query.outcome and not ends_as(each.outcome, query.outcome):
                        continue
                    found.append(each)
                    if len(found) == query.limit:
                        below = opener[0] if opener[0] > low else None
                        return SearchPage(tuple(found), below, leaves.read)
                await anyio.sleep(reading.PAUSE_SECONDS)
            high = window.bottom
            await anyio.sleep(reading.PAUSE_SECONDS)
        return SearchPage(tuple(found), high if high > low else None, leaves.read)

    async def _reach(self, log: str, groups: "tuple[Terms, ...]") -> IndexReach | None:
        """How far the index of this log has got, None where it is of no use for the question."""
        if self._index is None or not groups:
            return None
        head = await head_of(self._ledger, log)
        for each in await self._index.reaches():
            if (each.log, each.origin) == (log, head.origin) and each.position <= head.size:
                return each
        return None

    async def _read(self, query: AuditQuery, sift: "_Sift", span: tuple[int, int]) -> SearchPage:
        """What matches between two places, by reading all of it."""
        low, high = span
        top, stop = high, max(low, high - reading.MOST_READ)
        ends = _FarCloser(self.reading, query.log, high)
        closers: _Ends = {}
        found: list[FoundRecords] = []
        while high > stop:
            start = max(stop, high - reading.STEP)
            async with self._turn:
                leaves = await self._ledger.leaves(query.log, start, high)
                wanted = await sift.wanted(leaves, closers)
            for index, here, closer in wanted:
                if found and ends.read >= reading.MOST_READ:
                    return SearchPage(tuple(found), index + 1, top - start + ends.read)
                each = await ends.record((index, here), closer)
                if query.outcome and not ends_as(each.outcome, query.outcome):
                    continue
                found.append(each)
                if len(found) == query.limit:
                    below = index if index > low else None
                    return SearchPage(tuple(found), below, top - start + ends.read)
            high = start
            await anyio.sleep(reading.PAUSE_SECONDS)
        return SearchPage(tuple(found), stop if stop > low else None, top - stop + ends.read)

    async def tail(self, log: str, count: int) -> tuple[FoundRecords, ...]:
        """The newest records, oldest of them first."""
        page = await self.search(AuditQuery(log=log, limit=count))
        return page.found[::-1]

    async def show(self, log: str, call: str) -> FoundRecords:
        """One call with its closer and with who was behind it. Raises NotFound."""
        call_found = await self.reading.find(log, call)
        closer = call_found.closer
        row = FoundRecords(
            log=log,
            index=call_found.opener.index,
            leaf=fields(call_found.opener),
            close_index=None if closer is None else closer.index,
            closer=None if closer is None else fields(closer),
        )
        return (await self.naming.with_names([row]))[0]

    async def _sift_for_query(self, query: AuditQuery) -> "_Sift":
        deks = None if query.members is None else await self._keys_of(query.members)
        groups: tuple[Terms, ...] = ()
        if self._index is not None:
            owners = None if query.owners is None else await self._keys_of(query.owners)
            groups = terms_of_question(query, deks, owners)
        origin = (await self.naming.origins()).get(query.log, "")
        return _Sift(query, deks, self.naming, origin, groups)

    async def _keys_of(self, members: tuple[str, ...]) -> frozenset[str]:
        owned = [await self._deks.ids_of(member) for member in members]
        return frozenset[str]().union(*owned)


def terms_of_question(
    query: AuditQuery, deks: frozenset[str] | None, owners: frozenset[str] | None
) -> tuple[Terms, ...]:
    """What the index is asked for: a record that matches has a term of each group."""
    groups: list[Terms] = []
    if query.type:
        groups.append(frozenset({term("type", query.type)}))
    if query.servers is not None:
        groups.append(frozenset(term("server", each) for each in query.servers))
    if query.tool:
        groups.append(frozenset({term("tool", query.tool)}))
    if query.rules:
        groups.append(frozenset(term("rule", each) for each in query.rules))
    if query.outcome and query.type in CLOSES:
        groups.append(frozenset({asked_outcome(query.outcome, "end")}))
    elif query.outcome:
        # What was open when the index got there may have ended since.
        groups.append(frozenset({asked_outcome(query.outcome), OPEN}))
    if deks is not None:
        groups.append(frozenset(term("key", each) for each in deks))
    if owners is not None:
        tried = {term("credential", query.credential)} if query.credential else set[str]()
        groups.append(frozenset(tried.union(term("key", each) for each in owners)))
    return tuple(groups)


class _FarCloser:
    """Closers that stand behind the part which is read; `read` counts the leaves read for them.

    One that stands in that part, which ends at `top`, is met before its opener.
    """

    def __init__(self, reading: LogReading, log: str, top: int) -> None:
        self._reading, self._log, self._top = reading, log, top
        self.read = 0

    async def record(
        self, opener: tuple[int, Fields], closer: tuple[int, Fields] | None
    ) -> FoundRecords:
        """What was found, with its closer if it is one that has one."""
        here = opener[1]
        field = OPENS.get(str(here.get("t")))
        if field is not None and closer is None:
            look = await self._reading.look_for_closer(self._log, (field, pair_of(here)), self._top)
            self.read += look.read
            closer = None if look.closer is None else (look.closer.index, fields(look.closer))
        return _found_records(self._log, opener, closer if field is not None else None)


class _Sift:
    """Which leaves match, and which closers wait for their openers further down."""

    def __init__(
        self,
        query: AuditQuery,
        deks: frozenset[str] | None,
        naming: OpeningReader,
        origin: str,
        groups: tuple[Terms, ...] = (),
    ) -> None:
        self.groups = groups
        self._query = query
        self._deks = deks
        self._naming = naming
        self._origin = origin

    async def wanted(
        self, leaves: list[LeafAt], closers: _Ends
    ) -> list[tuple[int, Fields, tuple[int, Fields] | None]]:
        """The leaves that match but for how they ended, newest first, each with its closer."""
        kept: list[tuple[LeafAt, Fields, tuple[int, Fields] | None]] = []
        # The newest comes first, so a closer is met before its opener and can wait for it.
        for leaf in reversed(leaves):
            here = fields(leaf)
            t, closer = here.get("t"), None
            if t in CLOSES:
                closers[pair_of(here)] = (leaf.index, here)
            elif t in OPENS:
                closer = closers.pop(pair_of(here), None)
            if self._is_wanted_leaf(leaf, here):
                kept.append((leaf, here, closer))
        # Openings are decrypted last, for what all other conditions left: no other name is read.
        if self._query.opens and kept:
            seen = await self._naming.open([each[0] for each in kept], self._origin, frozenset())
            pairs = zip(kept, seen, strict=True)
            kept = [
                each
                for each, opened in pairs
                if self._called_by(opened.who) or self._tried_with(each[1])
            ]
        return [(leaf.index, here, closer) for leaf, here, closer in kept]

    def _is_wanted_leaf(self, leaf: LeafAt, here: Fields) -> bool:
        query = self._query
        t, at = here.get("t"), str(here.get("at", ""))
        if t != query.type if query.type else t in CLOSES:
            return False
        if (query.since and at < query.since) or (query.until and at >= query.until):
            return False
        if not _has_wanted_fields(query, here):
            return False
        # The key's id tells whose record it is, so a search by member decrypts nothing.
        return self._deks is None or (leaf.opening is not None and leaf.opening.dek in self._deks)

    def _tried_with(self, here: Fields) -> bool:
        """Somebody came with that token after it had ended."""
        query = self._query
        asked = bool(query.credential) and query.principals is None and not query.client
        return asked and here.get("credential") == query.credential

    def _called_by(self, who: Opening | None) -> bool:
        query = self._query
        if who is None:
            return False
        principals = query.principals
        return (
            (principals is None or (who.agent or who.member) in principals)
            and query.client.casefold() in who.client.casefold()
            and query.credential in ("", who.cred)
        )


def _found_records(
    log: str, opener: tuple[int, Fields], closer: tuple[int, Fields] | None
) -> FoundRecords:
    place, end = (None, None) if closer is None else closer
    return FoundRecords(log=log, index=opener[0], leaf=opener[1], close_index=place, closer=end)


def canonical(text: str) -> str:
    """The time as leaves spell it. Raises Invalid."""
    try:
        return rfc3339(parse_rfc3339(text))
    except ValueError:
        raise Invalid(
            "a time is not RFC 3339, such as 2026-11-22T15:00:00Z",
            remedy="Or say how long ago: 30m, 2h, 7d, 4w; or a day: 2026-11-22.",
        ) from None


def _has_wanted_fields(query: AuditQuery, here: Mapping[str, object]) -> bool:
    if query.servers is not None and here.get("server") not in query.servers:
        return False
    if query.tool and here.get("tool") != query.tool:
        return False
    if query.rules and here.get("rule") not in query.rules:
        return False
    return not query.call or query.call in (here.get("call"), here.get("stream"))
