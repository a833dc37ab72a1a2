"""Who could use what at a past moment, and a past call decided again, from the gov log alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio import to_thread

from gatelodge.core.access.fold import GovFold
from gatelodge.core.access.folded_rows import read_gov_leaf
from gatelodge.core.access.history import AccessHistory, AccessInterval
from gatelodge.core.access.replay import RecordedDecision, ReplayedDecision, replay
from gatelodge.core.access.shares import PersonShares
from gatelodge.core.errors import Invalid, LimitReached, NotFound
from gatelodge.core.ids import Instant, PrincipalId
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.core.records.origin import GOV, is_past
from gatelodge.core.view import PolicyView, compile_view
from gatelodge.flows.audit import reading
from gatelodge.flows.past.kept import FoldedShards, KeptFolds, KeptHistory, LogCut
from gatelodge.ports.journal import LeafAt, Ledger

MOST_QUESTIONS = 2
"""Of one person, at a time: everybody's wait for one another, and a member may ask too."""
_CUTS = 64
"""Leaves behind the cited size of the log that a call may have been cut by."""


class PastQuestions:
    """Whose questions about the past are under way."""

    def __init__(self) -> None:
        self._shares = PersonShares()

    @contextmanager
    def by(self, person: str) -> Iterator[None]:
        """Count a question while it is answered. Raises LimitReached."""
        if self._shares.of(person) >= MOST_QUESTIONS:
            raise LimitReached(
                f"{MOST_QUESTIONS} of your questions about the past are being answered",
                remedy="Wait for their answers.",
                retry_after=1.0,
            )
        self._shares.take(person)
        try:
            yield
        finally:
            self._shares.give(person)


class PastAccess:
    """Folds the gov log up to a cut. `longest` is how many characters a shown name may have.

    Folding and compiling are done beside the loop, for `one` question at a time: whoever asks about
    the past makes others who do so wait, and no call.
    """

    def __init__(
        self,
        ledger: Ledger,
        turn: anyio.Lock,
        one: anyio.CapacityLimiter,
        longest: int,
        kept: KeptFolds | None = None,
    ) -> None:
        self._ledger = ledger
        self._turn = turn
        self._one = one
        self._longest = longest
        self._kept = kept or KeptFolds(keeps=False)

    async def view(self, at: Instant, now: Instant) -> PolicyView:
        """The view of that moment, with ids where the present one has names.

        Raises Invalid for a time to come, NotFound for one before the log began, StoreDown.
        """
        if at > now:
            raise Invalid(
                f"{rfc3339(at)} has not come yet",
                remedy="Leave the time out to see what holds now.",
            )
        shards = await self._kept.shards(self._ledger)
        log, fold = await self._fold(shards, LogCut(at))
        if not fold.at:
            raise NotFound(f"the log had not begun at {rfc3339(at)}", remedy="Name a later time.")
        found = self._kept.view(log, fold.gov)
        if found is None:
            found = await self._compiled(fold)
            self._kept.keep_view(shards, log, fold.gov, found)
        return found

    async def replay(self, log: str, gov: int, recorded: RecordedDecision) -> ReplayedDecision:
        """Decide a call again by the first `gov` leaves of a shard of the gov log.

        A node cuts what a leaf ends before it has compiled the view with that leaf: such a denial
        cites the size before, so the leaves up to the record's time are tried too.
        """
        shards = await self._kept.shards(self._ledger)
        _, fold = await self._fold(shards, LogCut(log=log, size=gov))
        found = replay(await self._compiled(fold), recorded)
        if found.verdict != "differs" or recorded.reason != "no_grant":
            return found
        for leaf in await self._ledger.leaves(log, gov, gov + _CUTS):
            if not fold.extend((leaf.body,), recorded.at):
                break
            again = replay(await self._compiled(fold), recorded)
            if "decision" not in again.differences:
                # The policy that the record cites is that of the view before the cut.
                return ReplayedDecision(
                    verdict="same", decision=again.decision, policy=found.policy
                )
        return found

    async def history(self, principal: PrincipalId, now: Instant) -> list[AccessInterval]:
        """Each tool that the principal could ever use, from when until when. Raises StoreDown."""
        shards = await self._kept.shards(self._ledger)
        history = self._kept.take_history(principal)
        if history is None:
            history = KeptHistory(
                AccessHistory(
                    principal, lambda state, last: compile_view(state, last, self._longest)
                )
            )
        begun = False
        for log, head in shards.heads.items():
            if not begun and history.log not in ("", log):
                continue
            begun = True
            await self._tell(history, log, head.size)
        found = await to_thread.run_sync(history.told.intervals, now, limiter=self._one)
        self._kept.keep_history(shards, principal, history)
        return found

    async def _tell(self, history: KeptHistory, log: str, size: int) -> None:
        """Go on with a history up to this size of a shard."""
        if history.log != log:
            history.log, history.size = log, 0
        while history.size < size:
            stop = min(history.size + reading.STEP, size)
            async with self._turn:
                leaves = await self._ledger.leaves(log, history.size, stop)
            # A leaf that changes rules costs a compilation: beside the loop.
            history.latest = await to_thread.run_sync(
                _take_all, history.told, leaves, history.latest, limiter=self._one
            )
            history.size = stop

    async def _compiled(self, fold: GovFold) -> PolicyView:
        last = self._kept.last_view()
        return await to_thread.run_sync(
            compile_view, fold.state(), last, self._longest, limiter=self._one
        )

    async def _fold(self, shards: FoldedShards, cut: LogCut) -> tuple[str, GovFold]:
        """The fold up to the cut, and the shard that it ends in."""
        log, fold = self._kept.nearest(shards, cut)
        names = list(shards.heads)
        for each in names[names.index(log) :] if log in names else ():
            # Each shard counts its leaves anew: what records cite is the size of their own.
            fold.gov = fold.gov if each == log else 0
            size = min(cut.size if each == cut.log else 1 << 62, shards.heads[each].size)
            log = each
            if not await self._extend(shards, fold, (log, size), cut.at) or log == cut.log:
                break
        return log, fold

    async def _extend(
        self, shards: FoldedShards, fold: GovFold, end: tuple[str, int], at: Instant | None
    ) -> bool:
        """Apply the leaves of one shard up to its end; False when later ones than `at` are left."""
        log, size = end
        while fold.gov < size:
            stop = min(fold.gov + reading.STEP, size)
            # The turn is held for one step only, so a long history lets others in between.
            async with self._turn:
                leaves = await self._ledger.leaves(log, fold.gov, stop)
            bodies = [leaf.body for leaf in leaves]
            if not await to_thread.run_sync(fold.extend, bodies, at, limiter=self._one):
                return False
            if fold.gov < stop:
                return True
            self._kept.keep(shards, log, fold)
            await anyio.sleep(reading.PAUSE_SECONDS)
        return True


def _take_all(told: AccessHistory, leaves: list[LeafAt], latest: Instant) -> Instant:
    for each in leaves:
        leaf = read_gov_leaf(each.body)
        latest = max(latest, parse_rfc3339(leaf.at))
        told.take(leaf, each.index, latest)
    return latest


def gov_log_beside(log: str) -> str:
    """The shard of the gov log that calls in this shard of a calls log were decided by."""
    return f"{GOV}@{log.partition('@')[2]}" if is_past(log) else GOV
