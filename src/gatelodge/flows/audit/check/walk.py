"""One log of a check on its way from the first leaf to the last."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from msgspec import Struct

from gatelodge.core.records.leaves import CLOSES, LEAVES, OPENS
from gatelodge.core.records.origin import GOV, belongs, kind_of
from gatelodge.core.records.pairs import glance
from gatelodge.core.records.seen import SeenIds
from gatelodge.core.records.strict import NotCanonical, parse_leaf
from gatelodge.flows.audit.checkpoints import SignedCheckpoint
from gatelodge.ports.journal import LeafAt, LedgerHead
from gatelodge.tlog.merkle import TreeFrontier, leaf_hash
from gatelodge.tlog.tile import WIDTH, HashTile, new_tiles

MOST_FINDINGS = 200


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


class LogWalk:
    """What is known of the log so far; it only reads what it is given."""

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

    def judge_head(self) -> None:
        """Look at what the log says of itself."""
        if not belongs(self.head.log, self.head.origin):
            self.find("origin", f"it bears the origin of another log, {self.head.origin}")
        if not self.head.sealed:
            last = self.head.size - 1
            self.find("seal", "the last leaves were not appended by this gate", last)

    def find(self, code: str, detail: str, index: int | None = None) -> None:
        """Note a disagreement; beyond some hundred nothing new is learned."""
        if len(self.findings) < MOST_FINDINGS:
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
