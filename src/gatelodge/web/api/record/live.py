"""Records as they come: read once for everybody who watches, and written down who watched.

Whoever watches with names leaves an `audit.read` leaf before the first of them, and again for each
minute in which more were shown: so the log says who looked, and is not filled by it.
"""

from collections import OrderedDict
from contextlib import suppress

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.visible import visible
from gatelodge.core.errors import NotFound
from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.records.origin import calls_log
from gatelodge.flows.activity.watching import LogWatcher, NewRecords
from gatelodge.flows.audit.reading import Fields, FoundRecords, LogReading, fields, pair_of
from gatelodge.ports.journal import LeafAt
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.record.audit import RecordsLook, written_down
from gatelodge.web.api.record.responses import RecordNames, RecordShape, names_of, record_shape

MOST_LEAVES = 128
"""Leaves of one look: a busy log has more, and those are passed over."""
LOOKED_BACK = 64
"""Leaves before those, where some were passed over: openers of the calls that ended."""
MOST_RECORDS = 40
MOST_SOUGHT = 2
"""Openers of one look that are looked for in the log, while it is not busy: of long calls."""
MOST_OPEN = 2048
LOOK_SECONDS = 60.0
CATCHING_UP = 5
"""Looks of one that begins to watch, until it is as far as those who watch already."""


class LiveMessage(Struct, frozen=True, kw_only=True):
    """What a watcher is told: records, how many leaves were passed over, and where to go on."""

    items: tuple[RecordShape, ...]
    passed: int
    next: int


class LiveLook:
    """Reads what is new of a workspace's log, with names; the work of one look has a bound."""

    def __init__(self, place: WorkspaceContext, log: str) -> None:
        self._place = place
        self._log = log
        self._open: OrderedDict[str, LeafAt] = OrderedDict()
        self._names: tuple[int, RecordNames] | None = None

    async def __call__(self, at: int) -> NewRecords:
        """What was completed since. Raises StoreDown, LedgerDown."""
        ledger = self._place.gate.ledger
        head = next((each for each in await ledger.heads() if each.log == self._log), None)
        if head is None or head.size <= at:
            return NewRecords(at)
        start = max(at, head.size - MOST_LEAVES)
        busy = start > at
        back = max(0, start - LOOKED_BACK) if busy else start
        leaves = await ledger.leaves(self._log, back, head.size)
        for leaf in leaves[: start - back]:
            self._remember(leaf, fields(leaf))
        found, passed = await self._completed(leaves[start - back :], 0 if busy else MOST_SOUGHT)
        passed += start - at
        if not found and not passed:
            return NewRecords(head.size)
        items = await self._shapes(found, head.origin)
        message = LiveMessage(items=items, passed=passed, next=head.size)
        return NewRecords(head.size, msgspec.json.encode(message), len(items))

    async def _completed(
        self, leaves: list[LeafAt], most_sought: int
    ) -> tuple[list[tuple[FoundRecords, LeafAt]], int]:
        """Records that ended among these leaves, each with the leaf that names its caller."""
        found: list[tuple[FoundRecords, LeafAt]] = []
        sought = passed = 0
        for leaf in leaves:
            here = fields(leaf)
            kind = str(here.get("t"))
            if kind in OPENS:
                self._remember(leaf, here)
            elif CLOSES.get(kind) == "call":
                opener = self._open.pop(pair_of(here), None)
                if opener is None and sought < most_sought:
                    sought += 1
                    opener = await self._found_opener(pair_of(here))
                if opener is None:
                    passed += 1
                else:
                    found.append((self._pair(opener, leaf), opener))
            else:
                found.append((FoundRecords(log=self._log, index=leaf.index, leaf=here), leaf))
        passed += max(0, len(found) - MOST_RECORDS)
        return found[-MOST_RECORDS:], passed

    def _remember(self, leaf: LeafAt, here: Fields) -> None:
        if here.get("t") in OPENS:
            self._open[pair_of(here)] = leaf
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)

    async def _found_opener(self, call: str) -> LeafAt | None:
        with suppress(NotFound):
            return (await LogReading(self._place.gate.ledger).find(self._log, call)).opener
        return None

    def _pair(self, opener: LeafAt, closer: LeafAt) -> FoundRecords:
        return FoundRecords(
            log=self._log,
            index=opener.index,
            leaf=fields(opener),
            close_index=closer.index,
            closer=fields(closer),
        )

    async def _shapes(
        self, found: list[tuple[FoundRecords, LeafAt]], origin: str
    ) -> tuple[RecordShape, ...]:
        naming = self._place.gate.search.naming
        leaves = [leaf for _, leaf in found]
        seen = await naming.open(leaves, origin, frozenset())
        if any(each.gone for each in seen):
            seen = await naming.open(leaves, origin, await naming.erased())
        names = await self._known_names()
        return tuple(
            _visible(
                record_shape(msgspec.structs.replace(record, who=each.who, gone=each.gone), names)
            )
            for (record, _), each in zip(found, seen, strict=True)
        )

    async def _known_names(self) -> RecordNames:
        """The names of the workspace; read anew once something was changed."""
        gov = self._place.gate.view().gov
        if self._names is None or self._names[0] != gov:
            names = await self._place.gate.read(lambda tx: names_of(tx, self._place))
            self._names = (gov, names)
        return self._names[1]


class LiveRecords:
    """What one page gets: the messages of a watcher, each look written down before it."""

    def __init__(self, place: WorkspaceContext, log: str, watcher: LogWatcher) -> None:
        self._place = place
        self._log = log
        self._watcher = watcher
        self._written_at = place.gate.clock.boottime()
        self._shown = 0

    async def take(self, seconds: float) -> bytes:
        """The next message; empty when nothing came. Raises what a change raises."""
        found = await self._watcher.take(seconds)
        if found is None:
            return b""
        now = self._place.gate.clock.boottime()
        if found.records and now - self._written_at >= LOOK_SECONDS:
            await written_down(self._place, RecordsLook(self._log, "live"), self._shown)
            self._written_at, self._shown = now, 0
        self._shown += found.records
        left_out, self._watcher.skipped = self._watcher.skipped, 0
        if not left_out:
            return found.message
        told = msgspec.json.decode(found.message, type=LiveMessage)
        return msgspec.json.encode(msgspec.structs.replace(told, passed=told.passed + left_out))

    @property
    def ended(self) -> bool:
        """True once nothing more comes."""
        return self._watcher.ended

    def close(self) -> None:
        """Stop watching. Idempotent."""
        self._place.gate.watch.remove(self._log, self._watcher)


async def watched(place: WorkspaceContext, after: int | None) -> LiveRecords:
    """Begin to watch this workspace's records, those of after a place first.

    Raises LimitReached; the look is written down before it returns.
    """
    log = calls_log(place.id)
    gate = place.gate
    gate.watch.check_room(place.caller.by)
    head = next((each for each in await gate.ledger.heads() if each.log == log), None)
    size = 0 if head is None else head.size
    await written_down(place, RecordsLook(log, "live"), 0)
    look = LiveLook(place, log)
    # Looked at for this one alone: others may watch already, from a later place on.
    start = size if after is None else min(max(after, 0), size)
    first = await look(start)
    # Meanwhile those may have been told of more: what they heard is not told again.
    for _ in range(CATCHING_UP):
        if first.next >= gate.watch.read_to(log):
            break
        first = await look(start)
    watcher = gate.watch.add(log, place.caller.by, first, look)
    return LiveRecords(place, log, watcher)


def _visible(shape: RecordShape) -> RecordShape:
    """A record as a page writes it: the script that shows it writes texts as they are."""
    told = ("who", "agent", "client", "server", "tool", "method", "rule")
    return msgspec.structs.replace(shape, **{each: visible(getattr(shape, each)) for each in told})
