"""Folds of the gov log that are kept, so that a question about the past reads a part of it alone.

A fold is kept every so many leaves. When there are too many, or their rows take too much memory,
every other one is dropped and the next stand twice as far apart: whatever the log's length, what is
kept is bounded, and a question folds at most what lies between two. All of it can be made anew from
the log at any time, and is, when the log is not the one that was folded (decision 0041).
"""

from typing import Final

from msgspec import Struct

from gatelodge.core.access.fold import GovFold
from gatelodge.core.access.history import AccessHistory
from gatelodge.core.ids import Instant, PrincipalId
from gatelodge.core.records.origin import GOV, kind_of
from gatelodge.core.view import PolicyView
from gatelodge.ports.journal import Ledger, LedgerHead
from gatelodge.tlog.errors import ProofFailed
from gatelodge.tlog.proof import verify_consistency

MOST_FOLDS: Final = 32
MOST_ROWS: Final = 400_000
"""Of all kept folds together: about 40 MiB."""
MOST_VIEWS: Final = 4
MOST_HISTORIES: Final = 8
FIRST_SPACING: Final = 256


class LogCut(Struct, frozen=True):
    """Where the reading of the gov log ends: at a moment, or at the size of one of its shards."""

    at: Instant | None = None
    log: str = GOV
    size: int = 1 << 62


class KeptFold(Struct, frozen=True):
    """A fold up to `fold.gov` of shard `log`; `place` counts the leaves of all shards up to it."""

    place: int
    log: str
    fold: GovFold
    rows: int


class KeptHistory(Struct):
    """One principal's history by the first `size` leaves of shard `log` and all shards before."""

    told: AccessHistory
    log: str = ""
    size: int = 0
    latest: Instant = Instant(0)


class FoldedShards(Struct, frozen=True):
    """The shards of the gov log in their order, by the heads that they have now."""

    heads: dict[str, LedgerHead]
    generation: int

    def place(self, log: str, size: int) -> int:
        """How many leaves there are up to this place."""
        before = 0
        for name, head in self.heads.items():
            if name == log:
                break
            before += head.size
        return before + size


class KeptFolds:
    """What was folded before; owned by the event loop. `keeps` False makes each question fold all.

    A kept fold is copied to be gone on with, so it never changes.
    """

    def __init__(self, *, keeps: bool = True, spacing: int = FIRST_SPACING) -> None:
        self._keeps = keeps
        self._first = spacing
        self._heads: dict[str, LedgerHead] = {}
        self._generation = 0
        self._folds: list[KeptFold] = []
        self._spacing = spacing
        self._views: dict[tuple[str, int], PolicyView] = {}
        self._histories: dict[PrincipalId, KeptHistory] = {}

    @property
    def folds(self) -> int:
        """How many folds are kept."""
        return len(self._folds)

    async def shards(self, ledger: Ledger) -> FoldedShards:
        """The gov log as it is now; what is kept of another log is dropped first."""
        found = {head.log: head for head in await ledger.heads() if kind_of(head.log) == GOV}
        # Length goes before letters, since gov@10 came after gov@2; the present log is the newest.
        order = sorted(found, key=lambda each: (each == GOV, len(each), each))
        for log, before in list(self._heads.items()):
            if not await _continues(ledger, before, found.get(log)):
                self._drop()
                break
        self._heads = {log: found[log] for log in order}
        return FoldedShards(self._heads, self._generation)

    def nearest(self, shards: FoldedShards, cut: LogCut) -> tuple[str, GovFold]:
        """The furthest kept fold before the cut, copied, and its shard; an empty one without."""
        end = shards.place(cut.log, min(cut.size, 1 << 61))
        for kept in reversed(self._folds):
            in_time = cut.at is None or kept.fold.at <= cut.at
            if kept.place <= end and in_time and shards.generation == self._generation:
                return kept.log, kept.fold.copy()
        return next(iter(shards.heads), GOV), GovFold()

    def keep(self, shards: FoldedShards, log: str, fold: GovFold) -> None:
        """Keep this fold if it stands far enough behind the last that is kept."""
        place = shards.place(log, fold.gov)
        last = self._folds[-1].place if self._folds else 0
        stale = shards.generation != self._generation
        if not self._keeps or stale or place < last + self._spacing:
            return
        self._folds.append(KeptFold(place, log, fold.copy(), fold.rows.count()))
        while len(self._folds) > MOST_FOLDS or sum(k.rows for k in self._folds) > MOST_ROWS:
            self._folds = self._folds[1::2]
            self._spacing *= 2

    def view(self, log: str, size: int) -> PolicyView | None:
        """The view of this size of this shard, if it was one of the last to be asked for."""
        found = self._views.pop((log, size), None)
        if found is not None:
            self._views[log, size] = found
        return found

    def last_view(self) -> PolicyView | None:
        """A view of some moment: whatever is alike in another one is taken from it."""
        return next(reversed(self._views.values()), None)

    def keep_view(self, shards: FoldedShards, log: str, size: int, view: PolicyView) -> None:
        """Keep the view of this size of this shard, in the place of the one unused longest."""
        if not self._keeps or shards.generation != self._generation:
            return
        self._views[log, size] = view
        if len(self._views) > MOST_VIEWS:
            del self._views[next(iter(self._views))]

    def take_history(self, principal: PrincipalId) -> KeptHistory | None:
        """A principal's history as far as it was told; whoever takes it is alone with it."""
        return self._histories.pop(principal, None)

    def keep_history(
        self, shards: FoldedShards, principal: PrincipalId, history: KeptHistory
    ) -> None:
        """Keep a history in the place of the one unused longest."""
        if not self._keeps or shards.generation != self._generation:
            return
        self._histories[principal] = history
        if len(self._histories) > MOST_HISTORIES:
            del self._histories[next(iter(self._histories))]

    def _drop(self) -> None:
        self._generation += 1
        self._folds, self._spacing = [], self._first
        self._views, self._histories = {}, {}


async def _continues(ledger: Ledger, before: LedgerHead, now: LedgerHead | None) -> bool:
    """Say whether a log only grew since: its tree begins with the tree of before, leaf for leaf."""
    if now is None or now.origin != before.origin or now.size < before.size:
        return False
    if now.size == before.size or not before.size:
        return now.size > before.size or now.root == before.root
    proof = await ledger.consistency(before.log, before.size, now.size)
    try:
        verify_consistency(before.size, before.root, now.size, now.root, proof)
    except ProofFailed:
        return False
    return True
