"""The whole check: every hash, tile, root, signature, leaf and pair derived again from the leaves.

It believes nothing that is stored but the leaves themselves, and says every way in which the rest
disagrees with them. It changes nothing.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from msgspec import Struct

from gatelodge.core.errors import Broken, HouseError
from gatelodge.core.records.leaves import CLOSES, LEAVES, OPENS
from gatelodge.core.records.opening import associated, opened
from gatelodge.core.records.origin import GOV
from gatelodge.core.records.pairs import glance
from gatelodge.core.records.strict import NotCanonical, parse_leaf
from gatelodge.flows.audit.checkpoints import Checkpoints, Signed
from gatelodge.ports.journal import Deks, Guard, Head, LeafAt, Ledger
from gatelodge.tlog.errors import Malformed
from gatelodge.tlog.merkle import Frontier, leaf_hash
from gatelodge.tlog.strict import HASH_BYTES
from gatelodge.tlog.tile import WIDTH, Tile, new_tiles

_MOST_FINDINGS = 200


class Finding(Struct, frozen=True, kw_only=True):
    """One disagreement: in which log, at which leaf if at one, its kind, and what it is."""

    log: str
    code: str
    detail: str
    index: int | None = None


class Examined(Struct, frozen=True, kw_only=True):
    """What was looked at in one log."""

    log: str
    origin: str
    leaves: int
    checkpoints: int
    open_pairs: int
    openings: int
    erased: int
    unknown: dict[str, int]


class Examination(Struct, frozen=True):
    """Everything that was looked at, and every finding (the first 200 of each log)."""

    logs: tuple[Examined, ...]
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """True when nothing disagrees."""
        return not self.findings


class Fsck:
    """Examines the ledger. Openings are tried only when the data keys are given."""

    def __init__(
        self, ledger: Ledger, checkpoints: Checkpoints, guard: Guard, deks: Deks | None = None
    ) -> None:
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._guard = guard
        self._deks = deks

    async def examine(self, live_nodes: frozenset[str]) -> Examination:
        """Look at every log; pairs of live nodes may be open. Never raises."""
        try:
            heads = await self._ledger.heads()
        except HouseError as fault:
            return Examination((), (_finding("", fault.code, fault.detail),))
        findings = [
            _finding(missing, "log_missing", "the guard knows a log that is gone")
            for missing in sorted(self._guard.logs - {head.log for head in heads})
        ]
        examined: list[Examined] = []
        for head in heads:
            walk = _Walk(head, live_nodes)
            try:
                await self._gather_signed(walk)
                # The log may have grown: a head read after the signatures covers them all.
                walk.head = await self._head(head.log)
                await self._walk(walk, walk.head)
            except (HouseError, Malformed) as fault:
                walk.find("unreadable", str(fault))
            findings += walk.findings[:_MOST_FINDINGS]
            examined.append(walk.examined())
        return Examination(tuple(examined), tuple(findings))

    async def _gather_signed(self, walk: "_Walk") -> None:
        log = walk.head.log
        guarded = self._guard.last(log)
        if guarded is not None:
            walk.signed.append(Signed(b"", *guarded))
        for raw in await self._ledger.checkpoints(log):
            try:
                walk.signed.append(self._checkpoints.read(log, raw))
            except Broken:
                walk.find("signature", "a kept checkpoint does not bear our signature")
        walk.signed.sort(key=lambda each: each.size)
        walk.checkpoints = len(walk.signed)

    async def _head(self, log: str) -> Head:
        return next(each for each in await self._ledger.heads() if each.log == log)

    async def _walk(self, walk: "_Walk", head: Head) -> None:
        for start in range(0, head.size, WIDTH):
            stop = min(start + WIDTH, head.size)
            leaves = await self._ledger.leaves(head.log, start, stop)
            if len(leaves) != stop - start:
                walk.find("leaves_missing", f"the bundle at {start} is not whole", start)
                return
            for tile in walk.grow(leaves):
                if tile.width == WIDTH:
                    await self._compare(walk, tile)
            if self._deks is not None:
                await self._open(walk, leaves, self._deks)
        for tile in walk.partial():
            await self._compare(walk, tile)
        beyond = await self._ledger.leaves(head.log, head.size, head.size + 1)
        if beyond and await self._head(head.log) == head:
            walk.find("leaves_extra", "leaves stand beyond the head", head.size)
        walk.end()

    async def _compare(self, walk: "_Walk", tile: Tile) -> None:
        stored = await self._ledger.tile(walk.head.log, tile.level, tile.n)
        if stored.startswith(tile.hashes):  # a live log's partial tile may be wider by now
            return
        walk.find("tile", f"tile {tile.path} differs from its leaves", _leaf_of(tile, stored))

    async def _open(self, walk: "_Walk", leaves: Sequence[LeafAt], deks: Deks) -> None:
        sealed = [(leaf, walk.actor(leaf)) for leaf in leaves if leaf.opening is not None]
        plain = await deks.unseal(
            [
                (leaf.opening, associated(walk.head.log, actor))
                for leaf, actor in sealed
                if leaf.opening is not None
            ]
        )
        walk.openings += len(sealed)
        for (leaf, actor), salted in zip(sealed, plain, strict=True):
            if salted is None:
                walk.erased += 1
            elif opened(salted, actor) is None:
                walk.find("opening", "the opening is not the one the leaf commits to", leaf.index)


class _Walk:
    """One log on its way from the first leaf to the last."""

    def __init__(self, head: Head, live_nodes: frozenset[str]) -> None:
        self.head = head
        self.signed: list[Signed] = []
        self.findings: list[Finding] = []
        self.checkpoints = self.openings = self.erased = 0
        self._live = live_nodes
        self._frontier = Frontier()
        self._partial: dict[tuple[int, int], bytes] = {}
        self._open: dict[str, tuple[int, str]] = {}
        self._closed: set[str] = set()
        self._unknown: dict[str, int] = {}

    def find(self, code: str, detail: str, index: int | None = None) -> None:
        """Note a disagreement."""
        self.findings.append(_finding(self.head.log, code, detail, index))

    def grow(self, leaves: Sequence[LeafAt]) -> list[Tile]:
        """Take up the next leaves; the tiles that they make or widen."""
        for leaf in leaves:
            self._read(leaf)
        hashes = [leaf_hash(leaf.body) for leaf in leaves]
        tiles = new_tiles(
            self._frontier.size, hashes, lambda level, n: self._partial.get((level, n), b"")
        )
        for tile in tiles:
            if tile.width < WIDTH:
                self._partial[tile.level, tile.n] = tile.hashes
            else:
                self._partial.pop((tile.level, tile.n), None)
        for part in self._parts(hashes):
            self._frontier = self._frontier.extended(part)
            self._compare_signed()
        return tiles

    def partial(self) -> list[Tile]:
        """The tiles at the right edge that are not full."""
        return [Tile(level, n, hashes) for (level, n), hashes in self._partial.items()]

    def end(self) -> None:
        """Every leaf was taken up."""
        if self._frontier.root() != self.head.root:
            self.find("root", "the head's root is not the root over the leaves")
        for beyond in self.signed:
            self.find("truncated", f"size {beyond.size} was signed, and the log ends before it")
        for pair, (index, node) in self._open.items():
            if node not in self._live:
                self.find("unclosed", f"{pair} was never closed, and its node is gone", index)

    def actor(self, leaf: LeafAt) -> str:
        """The leaf's commitment, empty when it has none."""
        try:
            return str(parse_leaf(leaf.body).get("actor_c", ""))
        except NotCanonical:
            return ""

    def examined(self) -> Examined:
        """What was looked at."""
        return Examined(
            log=self.head.log,
            origin=self.head.origin,
            leaves=self._frontier.size,
            checkpoints=self.checkpoints,
            open_pairs=len(self._open),
            openings=self.openings,
            erased=self.erased,
            unknown=self._unknown,
        )

    def _parts(self, hashes: list[bytes]) -> Iterator[list[bytes]]:
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

    def _read(self, leaf: LeafAt) -> None:
        try:
            parse_leaf(leaf.body)
        except NotCanonical as fault:
            self.find("leaf", str(fault), leaf.index)
        if self.head.log == GOV:
            return
        seen = glance(leaf.body)
        if seen.t not in LEAVES:
            self._unknown[seen.t] = self._unknown.get(seen.t, 0) + 1
        elif seen.t in OPENS:
            if seen.pair in self._open or seen.pair in self._closed:
                self.find("opened_twice", f"{seen.pair} was opened before", leaf.index)
            self._open[seen.pair] = (leaf.index, seen.node)
        elif seen.t in CLOSES:
            if self._open.pop(seen.pair, None) is None:
                what = "closed_twice" if seen.pair in self._closed else "closed_unopened"
                self.find(what, f"{seen.pair} was not open", leaf.index)
            self._closed.add(seen.pair)


def _leaf_of(tile: Tile, stored: bytes) -> int | None:
    """The first leaf whose hash is not the stored one; None above the lowest level."""
    if tile.level:
        return None
    for at in range(tile.width):
        place = slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
        if tile.hashes[place] != stored[place]:
            return tile.n * WIDTH + at
    return None


def _finding(log: str, code: str, detail: str, index: int | None = None) -> Finding:
    return Finding(log=log, code=code, detail=detail, index=index)
