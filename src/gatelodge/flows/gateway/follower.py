"""A node follows the gov log: its view holds every commit up to a lease ago, or nothing is done.

An effect (bytes to a server, an answer, an event) is allowed while `fresh` says so, asked last
thing before it. The lease counts from *before* a look at the head was begun, on a clock that never
steps: if a look did not find a commit, the commit came after it began, so this node acts for nobody
later than commit + lease. The store keeps looking whatever this event loop does (`proven`): a busy
loop does not end a lease, but a change that was found and is not in the view yet does. Nothing here
depends on notifications, on other nodes or on synchronized clocks. Source: decision 0007 (guarantee
revoke:under-a-second).
"""

import asyncio
import logging
import math
from collections.abc import Callable

from msgspec import Struct

from gatelodge.core.access.effects import AccessEffects, effects
from gatelodge.core.errors import StoreDown, Unavailable
from gatelodge.core.events.changes import StateChanges
from gatelodge.core.ids import PrincipalId, ServerId
from gatelodge.core.protocol.shown.names import LONGEST
from gatelodge.core.state import GovernanceState
from gatelodge.core.view import PolicyView, compile_view
from gatelodge.flows.counts import LAG_MS, Histogram
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.health import NodeHealth
from gatelodge.flows.identity.presence import NodePresence
from gatelodge.ports.store import GovProgress, NodeRegistry, NodeSeen, Store
from gatelodge.ports.world import Clock

log = logging.getLogger(__name__)

REAP_SECONDS = 0.05
"""How often the lease is looked at."""
EXPIRY_SECONDS = 0.5
"""How often calls that run are looked at for leave that ended by its time: a grant's, a token's."""
STALE_LOOKS = 3
"""After so many punctual looks without a lease it is given up."""
BEAT_SECONDS = 1.0
"""How often a node says that it is there."""
MOST_NAMED = 8
"""Ids in one line."""
_UNREAD = -1
"""No turn of a proof."""


class FollowerSettings(Struct, frozen=True, kw_only=True):
    """How a node follows: its id (fresh at each start), its pace, and how long shown names are.

    `shared` = other nodes may use its store.
    """

    node: str
    poll_seconds: float
    lease_seconds: float
    name_length: int = LONGEST
    shared: bool = False


class ViewFollower:
    """The view of this node and the lease under which it may be used.

    `view`, `_applied` and `_state` belong to the one task that runs `run`; readers on the same
    event loop take `view` once and use that object to the end of their decision.
    """

    def __init__(
        self,
        store: Store,
        nodes: NodeRegistry,
        clock: Clock,
        inflight: InFlight,
        following: "FollowerSettings",
    ) -> None:
        self._store = store
        self._presence = NodePresence(nodes, clock, following.node, shared=following.shared)
        self._clock = clock
        self._inflight = inflight
        self._node = following.node
        self._poll_seconds = following.poll_seconds
        self._lease = following.lease_seconds
        self._longest = following.name_length
        self._state: GovernanceState | None = None
        self._listeners: list[Callable[[PolicyView], None]] = []
        self._ends: list[Callable[[PrincipalId], None]] = []
        self._kills: list[Callable[[ServerId], None]] = []
        self._stale_since = 0.0
        self._stale_looks = 0
        self._renewed: list[asyncio.Future[None]] = []
        self._applied = -1
        self._proof, self._turn, self._good_until = store.proof, _UNREAD, -math.inf
        self._beat_due = asyncio.Event()
        self._cut = (0, 0)
        self._served = StateChanges("fresh")
        self.lag = Histogram(LAG_MS)
        """How late this loop woke who looks at the lease, in milliseconds."""
        self.view = PolicyView.empty()
        self.diverged = ""
        """Why this node will never serve again without an operator; empty when all is well."""

    def fresh(self) -> bool:
        """Say whether this node may act now: admit, forward, answer, tell (hot path)."""
        if self._proof.turn != self._turn:
            self._look_up()
        return self._clock.boottime() < self._good_until

    def _look_up(self) -> None:
        """Until when what is known, applied and said is good; anew when one of the three changed.

        The turn is read first: what is found meanwhile counts as not looked up.
        """
        self._turn = self._proof.turn
        proven, presence = self._proof.until(self._applied), self._presence
        ends = min(proven + self._lease, presence.until)
        # Whoever ended access before this node was known again did not wait for it, so a proof of
        # that time allows nothing.
        self._good_until = ends if presence.since <= proven else -math.inf

    def here(self) -> NodeSeen:
        """How far this node is."""
        calls, streams = self._cut
        return NodeSeen(
            node=self._node,
            boot=self._node,
            applied=max(self._applied, 0),
            seen_at=self._clock.now(),
            lease_ms=int(self._lease * 1000),
            cut_streams=streams,
            cut_calls=calls,
        )

    async def renewed(self) -> bool:
        """Wait until this node may act again; false when the store is away.

        What is under way is not given up for a moment in which the machine was busy.
        """
        while not self.fresh():
            if self._given_up():
                return False
            again: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._renewed.append(again)
            await again
        return True

    def on_view(self, listener: Callable[[PolicyView], None]) -> None:
        """Call `listener(view)` on the event loop after each swap."""
        self._listeners.append(listener)

    def on_end(self, listener: Callable[[PrincipalId], None]) -> None:
        """Call `listener(principal)` when the access of one ended, after their calls were cut."""
        self._ends.append(listener)

    def on_kill(self, listener: Callable[[ServerId], None]) -> None:
        """Call `listener(server)` when somebody had all that runs of one killed, on any node."""
        self._kills.append(listener)

    async def start(self) -> None:
        """Become known, then load everything; afterwards the node may serve. Raises StoreDown.

        In this order: whoever ends access meanwhile waits for this node, or it reads the end.
        """
        await self._announce_presence()
        self._state = await self._store.load(None, None)
        self._swap_view(await asyncio.to_thread(compile_view, self._state, None, self._longest))
        # A receipt that has waited for this node since its first word need not wait for a beat.
        await self._announce_presence()

    async def run(self, health: NodeHealth) -> None:
        """Follow until cancelled."""
        while True:
            await self._store.wait(self._poll_seconds)
            try:
                with health.watched("following the gov log"):
                    await self.step()
            except Unavailable:
                # The lease runs out by itself; the next poll tries again.
                await asyncio.sleep(self._poll_seconds)

    async def step(self) -> None:
        """Poll once: cut, read again, compile, swap. Raises StoreDown."""
        assert self._state is not None
        progress = await self._poll_gov_log(self._state)
        if progress.leaves:
            await self._apply_new_leaves(progress)
            self._tell_renewed()
            # A receipt waits until each node has said that it applied the change.
            self._beat_due.set()

    async def beat(self, health: NodeHealth) -> None:
        """Say that this node is there, at once after each change, until cancelled.

        A task of its own: the poll that carries the lease must not wait behind a write.
        """
        while True:
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._beat_due.wait()
            except TimeoutError:
                pass
            # A change that comes during the write has to set this again, for another write.
            self._beat_due.clear()
            try:
                with health.watched("saying that this node is there"):
                    await self._announce_presence()
                    await self._presence.look_after_others()
            except Unavailable:
                await asyncio.sleep(self._poll_seconds)

    async def reap(self) -> None:
        """Cut everything when the lease is out and given up, until cancelled.

        Nothing is done from the moment on in which it is out; that the machine was busy or asleep
        for a moment shall not cost those their calls whose access did not end.
        """
        looked = expired = self._clock.boottime()
        while True:
            await asyncio.sleep(REAP_SECONDS)
            before, looked = looked, self._clock.boottime()
            if looked - expired >= EXPIRY_SECONDS:
                expired = looked
                self._count_cuts(self._inflight.cut_expired(self.view, looked - EXPIRY_SECONDS))
            self.lag.add(max(0.0, looked - before - REAP_SECONDS) * 1000)
            if self.fresh():
                self._stale_since, self._stale_looks = 0.0, 0
                self._served.become("fresh")
            else:
                self._stale_since = self._stale_since or looked
                # A look that comes late tells of a busy machine, and not of a store that is away.
                self._stale_looks += looked - before < 2 * REAP_SECONDS
                if self._given_up():
                    self._served.become("stale")
                    self._inflight.cut_all("stale")
            self._log_freshness_change(looked)
            # Whoever waits looks again itself: it goes on, or hears that the lease was given up.
            self._tell_renewed()

    def _log_freshness_change(self, now: float) -> None:
        """Say once when this node serves nobody any more, and when it does again."""
        change = self._served.due(now)
        if change is not None and change.state == "stale":
            log.error("the store gives no proof that the view is fresh: nobody is served")
        elif change is not None:
            log.warning("the view is fresh again: everybody is served")

    def _given_up(self) -> bool:
        """True when it is the store that is away: this loop ran well, and still there is no proof.

        A machine that was busy or asleep gets as long as a lease.
        """
        since = self._stale_since
        waited = bool(since) and self._clock.boottime() - since >= self._lease
        return waited or self._stale_looks >= STALE_LOOKS or bool(self.diverged)

    def _tell_renewed(self) -> None:
        waiting, self._renewed = self._renewed, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _poll_gov_log(self, state: GovernanceState) -> GovProgress:
        progress = await self._store.poll(state.gov)
        if not self.diverged and (progress.epoch != state.epoch or progress.gov < state.gov):
            self.diverged = "the gov log went back in time or changed its epoch"
            self._applied, self._turn = -1, _UNREAD  # what a lease of before allows is over
            log.error("%s: nobody is served any more; read 'Restored database'", self.diverged)
        if self.diverged:
            # For good: a log that grew again above our place has other leaves below it.
            raise StoreDown(self.diverged, remedy="See docs/operations.md, 'Restored database'.")
        return progress

    def _and_their_agents(self, principals: frozenset[PrincipalId]) -> frozenset[PrincipalId]:
        """Agents rest with the member who answers for them, so what runs for them is cut too."""
        everyone = self.view.principals.values()
        return principals | {
            each.id for each in everyone if each.owner is not None and each.owner.id in principals
        }

    async def _apply_new_leaves(self, progress: GovProgress) -> None:
        """Act on new leaves: cut at once, then swap in a view of exactly one moment of the log.

        The rows are read after the leaves, so they may be of a later moment than those. Then the
        leaves in between are looked at too, until none of them asks for rows that were not read.
        """
        assert self._state is not None
        before = self._state
        read: frozenset[str] | None = frozenset()
        while True:
            found = effects(progress.leaves)
            # Access ends before the slow part: to read and to compile may outlast the lease.
            self._end_access(found)
            read = None if read is None or found.nouns is None else read | found.nouns
            state = await self._store.load(read, before)
            if state.gov == progress.gov:
                break
            progress = await self._poll_gov_log(before)
            between = effects(progress.leaves[: state.gov - before.gov])
            if read is None or (between.nouns is not None and between.nouns <= read):
                self._end_access(between)
                break
        self._state = state
        # Calls go on meanwhile, under the view from which the ended access is gone already.
        made = await asyncio.to_thread(compile_view, self._state, self.view, self._longest)
        self._swap_view(made)

    def _end_access(self, found: AccessEffects) -> None:
        """Deny first, then cut: whoever registers after the first line sees the new view."""
        for each in found.killed:
            for kill in self._kills:
                kill(each)
        if not found.ends_access:
            return
        principals = self._and_their_agents(found.principals)
        self.view = self.view.without(
            principals=found.principals,
            credentials=found.credentials,
            servers=found.servers,
        )
        # People first: what one of them ran at a server that ended too was cut for their end.
        people = self._inflight.cut("revoked", principals=principals, credentials=found.credentials)
        servers = self._inflight.cut("server_disabled", servers=found.servers)
        cut = (people[0] + servers[0], people[1] + servers[1])
        self._count_cuts(cut)
        _tell_end(principals | found.credentials | found.servers, cut)
        for listener in self._ends:
            for principal in principals:
                listener(principal)

    def _count_cuts(self, cut: tuple[int, int]) -> None:
        self._cut = (self._cut[0] + cut[0], self._cut[1] + cut[1])

    def _swap_view(self, view: PolicyView) -> None:
        """Use this view from now on, and end what it does not allow: a grant, a tool, a group."""
        self.view = view
        # Cut after the swap: a call that registers from here on was decided under the new view.
        self._count_cuts(self._inflight.cut_ended(view))
        self._applied, self._turn = -1 if self.diverged else view.gov, _UNREAD
        for listener in self._listeners:
            listener(view)

    async def _announce_presence(self) -> None:
        await self._presence.say(self.here())
        self._turn = _UNREAD


def _tell_end(ended: frozenset[str], cut: tuple[int, int]) -> None:
    """Say whose access ended here, by id, and what that cut."""
    some = sorted(ended)
    more = f" and {len(some) - MOST_NAMED} more" if len(some) > MOST_NAMED else ""
    text = "access ended for %s%s; %d calls and %d streams were cut"
    log.info(text, ", ".join(some[:MOST_NAMED]), more, *cut)
