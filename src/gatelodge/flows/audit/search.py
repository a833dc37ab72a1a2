"""Questions to the call logs: find a call, list what happened, show who was behind it.

There is no second copy of the log to search: bundles are sought by time and read, newest first.
"""

from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from gatelodge.core.errors import Invalid, NotFound
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.records.opening import Opening, associated, opened
from gatelodge.ports.journal import Deks, LeafAt, Ledger

_STEP = 512
_SLACK_US = 300 * 1_000_000
"""Clocks of nodes differ and records arrive late, so times in a log rise only roughly."""

Fields = dict[str, object]


class Query(Struct, frozen=True, kw_only=True):
    """What to look for; empty fields match everything. Times are RFC 3339, `until` excluded.

    `type` is a leaf type; without one, closers are shown with their openers and not by themselves.
    `members` also finds what agents did for them. `before` is the cursor of the last page.
    """

    log: str
    since: str = ""
    until: str = ""
    type: str = ""
    server: str = ""
    tool: str = ""
    decision: str = ""
    outcome: str = ""
    members: tuple[str, ...] = ()
    limit: int = 50
    before: int | None = None


class Found(Struct, frozen=True, kw_only=True):
    """One record: its place and fields, and those of its closer when it has one.

    `who` is filled by `with_names` when the opening still exists.
    """

    log: str
    index: int
    leaf: Fields
    close_index: int | None = None
    closer: Fields | None = None
    who: Opening | None = None

    @property
    def outcome(self) -> str:
        """How it ended: an outcome, `unresolved`, or empty when it is still open."""
        if self.closer is None:
            return str(self.leaf.get("outcome", ""))
        return str(self.closer.get("outcome", "unresolved"))


class Page(Struct, frozen=True):
    """What was found, newest first, and the cursor of the next page if there may be one."""

    found: tuple[Found, ...]
    before: int | None


class Call(Struct, frozen=True):
    """The leaves of one call: what opened it, and what closed it if anything did."""

    log: str
    opener: LeafAt
    closer: LeafAt | None

    @property
    def leaves(self) -> tuple[LeafAt, ...]:
        """Opener and closer, as far as there are any."""
        return (self.opener,) if self.closer is None else (self.opener, self.closer)


class Search:
    """Reads the logs. Whoever calls it has checked that the reader may see them."""

    def __init__(self, ledger: Ledger, deks: Deks) -> None:
        self._ledger = ledger
        self._deks = deks

    async def find(self, log: str, call: str) -> Call:
        """The call with this id. Raises NotFound.

        The id begins with its time, so only what came after is read.
        """
        wanted = f'"call":"{call}"'
        start = await self._ledger.seek(log, rfc3339(Instant(_made_at(call) - _SLACK_US)))
        leaves = await self._ledger.containing(log, wanted, start, 8)
        kinds = [(str(fields(leaf).get("t")), leaf) for leaf in leaves]
        openers = [leaf for t, leaf in kinds if t not in CLOSES and not t.endswith(".late")]
        closers = [leaf for t, leaf in kinds if t in CLOSES]
        if not openers:
            raise NotFound(f"there is no call {call} in this log")
        return Call(log, openers[0], closers[0] if closers else None)

    async def search(self, query: Query) -> Page:
        """What matches, newest first. Raises Invalid for a time that is not RFC 3339."""
        size = await self._size(query.log)
        low, high = await self._range(query, size)
        owned = [await self._deks.ids_of(member) for member in query.members]
        deks = frozenset[str]().union(*owned) if owned else None
        closers: dict[str, tuple[int, Fields]] = {}
        found: list[Found] = []
        while high > low:
            start = max(low, high - _STEP)
            for leaf in reversed(await self._ledger.leaves(query.log, start, high)):
                here = fields(leaf)
                if here.get("t") in CLOSES:
                    closers[_pair(here)] = (leaf.index, here)
                if not _wanted(query, leaf, here, deks):
                    continue
                each = await self._joined(query.log, (leaf.index, here), closers, size)
                if query.outcome and each.outcome != query.outcome:
                    continue
                found.append(each)
                if len(found) == query.limit:
                    return Page(tuple(found), leaf.index if leaf.index > low else None)
            high = start
        return Page(tuple(found), None)

    async def tail(self, log: str, count: int) -> tuple[Found, ...]:
        """The newest records, oldest of them first."""
        page = await self.search(Query(log=log, limit=count))
        return page.found[::-1]

    async def with_names(self, found: Iterable[Found]) -> tuple[Found, ...]:
        """The same records with who was behind them, as far as their openings can be opened.

        An opening that does not fit the leaf's commitment is not believed.
        """
        rows = list(found)
        leaves: list[LeafAt] = []
        for each in rows:
            leaves += await self._ledger.leaves(each.log, each.index, each.index + 1)
        sealed = [
            (leaf.opening, associated(row.log, str(row.leaf.get("actor_c", ""))))
            for row, leaf in zip(rows, leaves, strict=True)
        ]
        plain = iter(await self._deks.unseal([(o, a) for o, a in sealed if o is not None]))
        named: list[Found] = []
        for row, (opening, _) in zip(rows, sealed, strict=True):
            salted = None if opening is None else next(plain)
            actor = str(row.leaf.get("actor_c", ""))
            who = None if salted is None else opened(salted, actor)
            named.append(msgspec.structs.replace(row, who=who))
        return tuple(named)

    async def show(self, log: str, call: str) -> Found:
        """One call with its closer and with who was behind it. Raises NotFound."""
        call_found = await self.find(log, call)
        closer = call_found.closer
        row = Found(
            log=log,
            index=call_found.opener.index,
            leaf=fields(call_found.opener),
            close_index=None if closer is None else closer.index,
            closer=None if closer is None else fields(closer),
        )
        return (await self.with_names([row]))[0]

    async def _joined(
        self,
        log: str,
        leaf: tuple[int, Fields],
        closers: Mapping[str, tuple[int, Fields]],
        size: int,
    ) -> Found:
        """An opener with its closer, which may stand beyond the part that was read."""
        index, here = leaf
        field = OPENS.get(str(here.get("t")))
        if field is None:
            return Found(log=log, index=index, leaf=here)
        closer = closers.get(_pair(here))
        if closer is None and size > index + 1:
            text = f'"{field}":"{_pair(here)}"'
            for later in await self._ledger.containing(log, text, index + 1, 4):
                if fields(later).get("t") in CLOSES:
                    closer = (later.index, fields(later))
                    break
        close_index, close = (None, None) if closer is None else closer
        return Found(log=log, index=index, leaf=here, close_index=close_index, closer=close)

    async def _range(self, query: Query, size: int) -> tuple[int, int]:
        low, high = 0, size if query.before is None else min(query.before, size)
        if query.since:
            low = await self._ledger.seek(query.log, _canonical(query.since))
        if query.until:
            late = rfc3339(Instant(parse_rfc3339(_canonical(query.until)) + _SLACK_US))
            high = min(high, await self._ledger.seek(query.log, late) + _STEP)
        return low, min(high, size)

    async def _size(self, log: str) -> int:
        for head in await self._ledger.heads():
            if head.log == log:
                return head.size
        raise NotFound("there is no such log")


def fields(leaf: LeafAt) -> Fields:
    """The fields of a leaf, none when it is not JSON; `fsck` says so."""
    try:
        return msgspec.json.decode(leaf.body, type=Fields)
    except msgspec.MsgspecError:
        return {}


def _wanted(query: Query, leaf: LeafAt, here: Fields, deks: frozenset[str] | None) -> bool:
    t, at = here.get("t"), str(here.get("at", ""))
    if t != query.type if query.type else t in CLOSES:
        return False
    if query.since and at < _canonical(query.since):
        return False
    if query.until and at >= _canonical(query.until):
        return False
    for name in ("server", "tool", "decision"):
        wanted = getattr(query, name)
        if wanted and here.get(name) != wanted:
            return False
    return deks is None or (leaf.opening is not None and leaf.opening.dek in deks)


def _pair(here: Fields) -> str:
    return str(here.get("call") or here.get("stream") or "")


def _canonical(text: str) -> str:
    try:
        return rfc3339(parse_rfc3339(text))
    except ValueError:
        raise Invalid("a time is not RFC 3339, such as 2026-11-22T15:00:00Z") from None


def _made_at(call: str) -> int:
    """Microseconds since 1970 of the call id; Invalid when it is none."""
    name = call.removeprefix("c_")
    try:
        octets = urlsafe_b64decode(name + "==")
    except ValueError:
        octets = b""
    if name == call or len(octets) != 16:
        raise Invalid("a call id is c_ and 22 characters")
    return int.from_bytes(octets[:6], "big") * 1000
