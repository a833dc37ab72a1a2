"""The whole check: every hash, tile, root, signature, leaf and pair derived again from the leaves.

It believes nothing that is stored but the leaves themselves, and says every way in which the rest
disagrees with them. It changes nothing.
"""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.lowlevel
from msgspec import Struct

from gatelodge.core.errors import Broken, HouseError, NotFound
from gatelodge.core.records.leaves import CLOSES
from gatelodge.core.records.origin import is_past
from gatelodge.core.records.pairs import glance
from gatelodge.flows.audit.check.walk import (
    MOST_FINDINGS,
    ExaminedLog,
    FsckFinding,
    LogWalk,
)
from gatelodge.flows.audit.checkpoints import CheckpointPublisher, SignedCheckpoint
from gatelodge.flows.audit.naming import OpeningReader
from gatelodge.flows.audit.reading import PAUSE_SECONDS, head_of
from gatelodge.ports.journal import DataKeys, HeadGuard, LeafAt, Ledger, LedgerHead
from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.strict import HASH_BYTES
from gatelodge.tlog.tile import WIDTH, HashTile

_PIECE = 16
"""Leaves looked at without a pause: about a millisecond."""


class LedgerExamination(Struct, frozen=True):
    """Everything that was looked at, and every finding (the first 200 of each log)."""

    logs: tuple[ExaminedLog, ...]
    findings: tuple[FsckFinding, ...]

    @property
    def sound(self) -> bool:
        """True when nothing disagrees."""
        return not self.findings


Live = Callable[[], Awaitable[frozenset[str]]]
"""Which nodes live now."""
Reached = Callable[[str, int, int], Awaitable[None]]
"""Told in which log it is, how many leaves were looked at, and of how many."""


async def _tell_nobody(_log: str, _done: int, _of: int) -> None:
    """Nobody asked."""


class LedgerFsck:
    """Examines the ledger. Openings are tried only when the data keys are given.

    `turn` is held while a bundle is read, so that large questions take turns.
    """

    def __init__(
        self,
        ledger: Ledger,
        checkpoints: CheckpointPublisher,
        guard: HeadGuard,
        deks: DataKeys | None = None,
        turn: anyio.Lock | None = None,
    ) -> None:
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._guard = guard
        self._naming = None if deks is None else OpeningReader(ledger, deks)
        self._turn = turn or anyio.Lock()
        self._erased = frozenset[str]()
        self._done = self._of = 0
        self._reached: Reached = _tell_nobody

    async def examine(self, live: Live, reached: Reached = _tell_nobody) -> LedgerExamination:
        """Look at every log; pairs of live nodes may be open. Raises only what `reached` raises."""
        self._reached, self._done = reached, 0
        try:
            # Each thing is read before what it is compared with: a log only grows.
            guarded, before = self._guard.logs, await live()
            heads = await self._ledger.heads()
            self._of = sum(head.size for head in heads)
            self._erased = await self._naming.erased() if self._naming else frozenset()
        except HouseError as fault:
            return LedgerExamination((), (FsckFinding("", fault.code, fault.detail),))
        findings = [
            FsckFinding(missing, "log_missing", "the guard knows a log that is gone")
            for missing in sorted(guarded - {head.log for head in heads})
        ]
        examined: list[ExaminedLog] = []
        for head in heads:
            walk = LogWalk(head)
            try:
                await self._gather_signed(walk)
                # The log may have grown: a head read after the signatures covers them all.
                walk.head = await head_of(self._ledger, head.log)
                walk.judge_head()
                # A node that came or left meanwhile counts as live: its pairs may rightly be open.
                if await self._walk_leaves(walk, walk.head):
                    await self._find_unclosed_pairs(walk, before | await live())
            except NotFound as fault:
                walk.find("log_missing", fault.detail)
            except (HouseError, MalformedValue) as fault:
                walk.find("unreadable", str(fault))
            findings += walk.findings
            examined.append(walk.examined())
            await self._tell_progress(walk.head)
        return LedgerExamination(tuple(examined), tuple(findings))

    async def _tell_progress(self, head: LedgerHead) -> None:
        await self._reached(head.log, self._done, max(self._done, self._of))

    async def _gather_signed(self, walk: LogWalk) -> None:
        log = walk.head.log
        guarded = self._guard.last(log)
        # A crash may leave the guard ahead of every checkpoint, but never of the leaves: the
        # guard is written between both, so the log has to fit it too.
        if guarded is not None:
            walk.signed.append(SignedCheckpoint(b"", *guarded))
        for raw in await self._ledger.checkpoints(log):
            try:
                walk.signed.append(self._checkpoints.read(log, raw))
            except Broken:
                walk.find("signature", "a kept checkpoint does not bear our signature")
        walk.signed.sort(key=lambda each: each.size)
        walk.checkpoints = len(walk.signed)

    async def _walk_leaves(self, walk: LogWalk, head: LedgerHead) -> bool:
        """Look at every leaf; false when they are not all there."""
        for start in range(0, head.size, WIDTH):
            await self._tell_progress(head)
            stop = min(start + WIDTH, head.size)
            async with self._turn:
                leaves = await self._ledger.leaves(head.log, start, stop)
            if len(leaves) != stop - start:
                # Every hash behind the gap depends on what is missing: nothing there can be judged.
                walk.find("leaves_missing", f"the bundle at {start} is not whole", start)
                return False
            for at in range(0, len(leaves), _PIECE):
                walk.read(leaves[at : at + _PIECE])
                await anyio.lowlevel.checkpoint()
            for tile in walk.grow(leaves):
                if tile.width == WIDTH:
                    await self._compare_stored_tile(walk, tile)
            await self._look_beside(walk, leaves)
            self._done += len(leaves)
            await anyio.sleep(PAUSE_SECONDS)
        for tile in walk.partial():
            await self._compare_stored_tile(walk, tile)
        beyond = await self._ledger.leaves(head.log, head.size, head.size + 1)
        if beyond and await head_of(self._ledger, head.log) == head:
            walk.find("leaves_extra", "leaves stand beyond the head", head.size)
        walk.end()
        return True

    async def _compare_stored_tile(self, walk: LogWalk, tile: HashTile) -> None:
        stored = await self._ledger.tile(walk.head.log, tile.level, tile.n)
        if stored.startswith(tile.hashes):  # a live log's partial tile may be wider by now
            return
        walk.find("tile", f"tile {tile.path} differs from its leaves", _leaf_of(tile, stored))

    async def _look_beside(self, walk: LogWalk, leaves: Sequence[LeafAt]) -> None:
        """What is kept beside a bundle's leaves and the tree does not cover: times, openings."""
        first = leaves[0].index
        low, high = await self._ledger.times(walk.head.log, first // WIDTH)
        at = [glance(leaf.body).at for leaf in leaves]
        # A live log's last bundle may hold more by now.
        first_at, last_at = min(at), max(at)
        exact = len(at) < WIDTH or (low, high) == (first_at, last_at)
        if low > first_at or high < last_at or not exact:
            walk.find("times", "the bundle's times are not those of its leaves", first)
        if self._naming is None:
            return
        seen = await self._naming.open(leaves, walk.head.origin, self._erased)
        for leaf, each in zip(leaves, seen, strict=True):
            walk.openings += leaf.opening is not None
            walk.erased += each.gone == "erased"
            if each.gone == "damaged":
                walk.find("opening", "who was behind it cannot be read, or is moved", leaf.index)

    async def _find_unclosed_pairs(self, walk: LogWalk, live: frozenset[str]) -> None:
        """Pairs whose node is gone must be closed: by now, if not below the head."""
        log, size = walk.head.log, walk.head.size
        if is_past(log):
            return  # what was open when it was cut off can never be closed in it
        present = (await head_of(self._ledger, log)).size
        for pair, index in walk.unclosed(live)[:MOST_FINDINGS]:
            text = f'"{pair}"'
            later = await self._ledger.containing(log, text, (size, present), 8)
            if not any(glance(leaf.body).t in CLOSES for leaf in later):
                walk.find("unclosed", f"{pair} was never closed, and its node is gone", index)


def _leaf_of(tile: HashTile, stored: bytes) -> int | None:
    """The first leaf whose hash is not the stored one; None above the lowest level."""
    if tile.level:
        return None
    for at in range(tile.width):
        place = slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
        if tile.hashes[place] != stored[place]:
            return tile.n * WIDTH + at
    return None
