"""The whole check: every hash, tile, root, signature, leaf and pair derived again from the leaves.

It believes nothing that is stored but the leaves themselves, and says every way in which the rest
disagrees with them. It changes nothing.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import takewhile

import anyio
import anyio.lowlevel
from msgspec import Struct

from gatelodge.core.errors import Broken, HouseError, NotFound
from gatelodge.core.records.leaves import CLOSES, LEAVES, OPENS
from gatelodge.core.records.origin import GOV, belongs, is_past, kind_of
from gatelodge.core.records.pairs import glance
from gatelodge.core.records.seen import SeenIds
from gatelodge.core.records.strict import NotCanonical, parse_leaf
from gatelodge.flows.audit.checkpoints import CheckpointPublisher, SignedCheckpoint
from gatelodge.flows.audit.naming import OpeningReader
from gatelodge.flows.audit.reading import PAUSE_SECONDS, head_of
from gatelodge.ports.journal import DataKeys, HeadGuard, LeafAt, Ledger, LedgerHead
from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.merkle import TreeFrontier, leaf_hash
from gatelodge.tlog.strict import HASH_BYTES
from gatelodge.tlog.tile import WIDTH, HashTile, new_tiles

_MOST_FINDINGS = 200
_PIECE = 16
"""Leaves looked at without a pause: about a millisecond."""


class FsckFinding(Struct, frozen=True):
    """One disagreement: in which log, at which leaf if at one, its kind, and what it is."""

    log: str
    code: str
    detail: str
    index: int | None = None


class ExaminedLog(Struct, frozen=True, kw_only=True):
    """What was looked at in one log."""

    log: str
    origin: str
    leaves: int
    checkpoints: int
    open_pairs: int
    openings: int
    erased: int
    unknown: dict[str, int]


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


class LedgerFsck:
    """Examines the ledger. Openings are tried only when the data keys are given.

    `turn` is held while a bundle is read, so that large questions take turns; `told` is called
    with how many leaves were looked at, and how many there are.
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
        self.looked_at = self.of = 0

    async def examine(self, live: Live) -> LedgerExamination:
        """Look at every log; pairs of live nodes may be open. Never raises."""
        try:
            # Each thing is read before what it is compared with: a log only grows.
            guarded, before = self._guard.logs, await live()
            heads = await self._ledger.heads()
            self.of = sum(head.size for head in heads)
            self._erased = await self._naming.erased() if self._naming else frozenset()
        except HouseError as fault:
            return LedgerExamination((), (FsckFinding("", fault.code, fault.detail),))
        findings = [
            FsckFinding(missing, "log_missing", "the guard knows a log that is gone")
            for missing in sorted(guarded - {head.log for head in heads})
        ]
        examined: list[ExaminedLog] = []
        for head in heads:
            walk = _Walk(head)
            try:
                await self._gather_signed(walk)
                # The log may have grown: a head read after the signatures covers them all.
                walk.head = await head_of(self._ledger, head.log)
                # A node that came or left meanwhile counts as live: its pairs may rightly be open.
                if await self._walk_leaves(walk, walk.head):
                    await self._find_unclosed_pairs(walk, before | await live())
            except NotFound as fault:
                walk.find("log_missing", fault.detail)
            except (HouseError, MalformedValue) as fault:
                walk.find("unreadable", str(fault))
            findings += walk.findings
            examined.append(walk.examined())
        return LedgerExamination(tuple(examined), tuple(findings))

    async def _gather_signed(self, walk: "_Walk") -> None:
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

    async def _walk_leaves(self, walk: "_Walk", head: LedgerHead) -> bool:
        """Look at every leaf; false when they are not all there."""
        if not belongs(head.log, head.origin):
            walk.find("origin", f"it bears the origin of another log, {head.origin}")
        if not head.sealed:
            walk.find("seal", "the last leaves were not appended by this gate", head.size - 1)
        for start in range(0, head.size, WIDTH):
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
            self.looked_at += len(leaves)
            await anyio.sleep(PAUSE_SECONDS)
        for tile in walk.partial():
            await self._compare_stored_tile(walk, tile)
        beyond = await self._ledger.leaves(head.log, head.size, head.size + 1)
        if beyond and await head_of(self._ledger, head.log) == head:
            walk.find("leaves_extra", "leaves stand beyond the head", head.size)
        walk.end()
        return True

    async def _compare_stored_tile(self, walk: "_Walk", tile: HashTile) -> None:
        stored = await self._ledger.tile(walk.head.log, tile.level, tile.n)
        if stored.startswith(tile.hashes):  # a live log's partial tile may be wider by now
            return
        walk.find("tile", f"tile {tile.path} differs from its leaves", _leaf_of(tile, stored))

    async def _look_beside(self, walk: "_Walk", leaves: Sequence[LeafAt]) -> None:
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

    async def _find_unclosed_pairs(self, walk: "_Walk", live: frozenset[str]) -> None:
        """Pairs whose node is gone must be closed: by now, if not below the head."""
        log, size = walk.head.log, walk.head.size
        if is_past(log):
            return  # what was open when it was cut off can never be closed in it
        present = (await head_of(self._ledger, log)).size
        for pair, index in walk.unclosed(live)[:_MOST_FINDINGS]:
            text = f'"{pair}"'
            later = await self._ledger.containing(log, text, (size, present), 8)
            if not any(glance(leaf.body).t in CLOSES for leaf in later):
                walk.find("unclosed", f"{pair} was never closed, and its node is gone", index)


class _Walk:
    """One log on its way from the first leaf to the last."""

    def __init__(self, head: LedgerHead) -> None:
        self.head = head
        self.signed: list[SignedCheckpoint] = []
        self.findings: list[FsckFinding] = []
        self.checkpoints = self.openings = self.erased = 0
        self._frontier = TreeFrontier()
        self._partial: dict[tuple[int, int], bytes] = {}
        self._open: dict[str, tuple[int, str]] = {}
        # The root depends on every id below it, so nobody can choose ids that look alike under it.
        self._opened = SeenIds(head.root)
        self._unknown: dict[str, int] = {}

    def find(self, code: str, detail: str, index: int | None = None) -> None:
        """Note a disagreement; beyond some hundred nothing new is learned."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(FsckFinding(self.head.log, code, detail, index))

    def grow(self, leaves: Sequence[LeafAt]) -> list[HashTile]:
        """Take up the next leaves; the tiles that they make or widen."""
        hashes = [leaf_hash(leaf.body) for leaf in leaves]
        tiles = new_tiles(
            self._frontier.size, hashes, lambda level, n: self._partial.get((level, n), b"")
        )
        for tile in tiles:
            if tile.width < WIDTH:
                self._partial[tile.level, tile.n] = tile.hashes
            else:
                self._partial.pop((tile.level, tile.n), None)
        for part in self._hashes_between_checkpoints(hashes):
            self._frontier = self._frontier.extended(part)
            self._compare_signed()
        return tiles

    def partial(self) -> list[HashTile]:
        """The tiles at the right edge that are not full."""
        return [HashTile(level, n, hashes) for (level, n), hashes in self._partial.items()]

    def end(self) -> None:
        """Every leaf was taken up."""
        if self._frontier.root() != self.head.root:
            self.find("root", "the head's root is not the root over the leaves")
        for beyond in self.signed:
            self.find("truncated", f"size {beyond.size} was signed, and the log ends before it")

    def unclosed(self, live: frozenset[str]) -> list[tuple[str, int]]:
        """The pairs that are open though their node is gone, each with its index."""
        return [(pair, at) for pair, (at, node) in self._open.items() if node not in live]

    def read(self, leaves: Sequence[LeafAt]) -> None:
        """Look at leaves one by one: their spelling, and what they open and close."""
        for leaf in leaves:
            self._examine_leaf(leaf)

    def examined(self) -> ExaminedLog:
        """What was looked at."""
        return ExaminedLog(
            log=self.head.log,
            origin=self.head.origin,
            leaves=self._frontier.size,
            checkpoints=self.checkpoints,
            open_pairs=len(self._open),
            openings=self.openings,
            erased=self.erased,
            unknown=self._unknown,
        )

    def _hashes_between_checkpoints(self, hashes: list[bytes]) -> Iterator[list[bytes]]:
        """The hashes, cut where something was signed."""
        first = self._frontier.size
        reached = takewhile(lambda each: each.size < first + len(hashes), tuple(self.signed))
        done = 0
        for cut in sorted({each.size - first for each in reached} - {0}):
            yield hashes[done:cut]
            done = cut
        yield hashes[done:]

    def _compare_signed(self) -> None:
        while self.signed and self.signed[0].size <= self._frontier.size:
            each = self.signed.pop(0)
            if each.size and each.root != self._frontier.root():
                self.find("fork", f"another root was signed at size {each.size}")

    def _examine_leaf(self, leaf: LeafAt) -> None:
        try:
            parse_leaf(leaf.body)
        except NotCanonical as fault:
            self.find("leaf", str(fault), leaf.index)
        if kind_of(self.head.log) == GOV:
            return
        seen = glance(leaf.body)
        if seen.t not in LEAVES:
            self._unknown[seen.t] = self._unknown.get(seen.t, 0) + 1
        elif seen.t in OPENS:
            if not self._opened.add(seen.pair):
                self.find("opened_twice", f"{seen.pair} was opened before", leaf.index)
            self._open[seen.pair] = (leaf.index, seen.node)
        elif seen.t in CLOSES and self._open.pop(seen.pair, None) is None:
            what = "closed_unopened" if self._opened.add(seen.pair) else "closed_twice"
            self.find(what, f"{seen.pair} was not open", leaf.index)


def _leaf_of(tile: HashTile, stored: bytes) -> int | None:
    """The first leaf whose hash is not the stored one; None above the lowest level."""
    if tile.level:
        return None
    for at in range(tile.width):
        place = slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
        if tile.hashes[place] != stored[place]:
            return tile.n * WIDTH + at
    return None
