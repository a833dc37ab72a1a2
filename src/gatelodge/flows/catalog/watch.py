"""Watches what servers say of themselves: tools are written down, all else is remembered.

A tool whose definition differs from its pin is refused from the moment the observation is
committed (guarantee access:deny-by-default); nobody has to look at a page first.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import HouseError
from gatelodge.core.view import PolicyView
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.catalog.pace import ObservationPace
from gatelodge.flows.catalog.stock import ToolObserver
from gatelodge.flows.incidents import contained
from gatelodge.ports.store import Store
from gatelodge.ports.upstream import Upstreams
from gatelodge.ports.world import Clock, FreshIds

log = logging.getLogger(__name__)

DEBOUNCE_SECONDS = 0.25
AGAIN_SECONDS = 5.0
LONGEST_AGAIN = 60.0


class ToolWatcher:
    """Observes a server when it is met and when it says that something changed.

    Each server by itself and one look at a time, so that one which is slow to answer holds up no
    other, and none more often than its pace allows. It hears from the moment it is made, so that no
    server is met before. Owned by the event loop.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        store: Store,
        clock: Clock,
        ids: FreshIds,
        offers: OfferMemory,
        view: Callable[[], PolicyView],
    ) -> None:
        self._upstreams = upstreams
        self._stocktaking = ToolObserver(store, clock, ids, view)
        self._ids = ids
        self._offers = offers
        self._view = view
        self._changed: set[str] = set()
        self._looking: set[str] = set()
        self._pauses: dict[str, float] = {}
        self._paces: dict[str, ObservationPace] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        upstreams.on_list_changed(self._request_look)

    async def run(self) -> None:
        """Observe what changed, until cancelled."""
        async with asyncio.TaskGroup() as looks:
            while True:
                await self._wake.wait()
                # A server that starts says several things in a row; they become one look.
                await asyncio.sleep(DEBOUNCE_SECONDS)
                self._wake.clear()
                # What is said during a look waits for the next: this one may have read before.
                ready = self._changed - self._looking
                self._changed -= ready
                for server in self._approved_servers(ready):
                    self._looking.add(server.id)
                    looks.create_task(self._look_once(server))

    def _request_look(self, server: str) -> None:
        pace = self._paces.get(server)
        if pace is not None and pace.free_at > asyncio.get_running_loop().time():
            # It is put off and not dropped: the last change of a restless server has to be seen.
            self._look_at(server, pace.free_at)
            return
        self._changed.add(server)
        self._wake.set()

    def _look_at(self, server: str, when: float) -> None:
        """Look at that time, unless a look is to come before."""
        timer = self._timers.get(server)
        if timer is None or timer.cancelled() or timer.when() > when:
            if timer is not None:
                timer.cancel()
            loop = asyncio.get_running_loop()
            self._timers[server] = loop.call_later(when - loop.time(), self._queue_look, server)

    def _queue_look(self, server: str) -> None:
        self._timers.pop(server, None)
        self._changed.add(server)
        self._wake.set()

    def _approved_servers(self, wanted: Collection[str]) -> list[Server]:
        rows = self._view().state.servers
        return [row for row in rows if row.id in wanted and row.status == "approved"]

    async def _look_once(self, server: Server) -> None:
        timer = self._timers.pop(server.id, None)
        if timer is not None:
            timer.cancel()  # this is that look; two of them would go on for ever
        leaves = 0

        def wrote(more: int) -> None:
            nonlocal leaves
            leaves += more

        try:
            # A look is of the server's doing, and no server ends the gate.
            with contained(f"a look at server {server.alias}", self._ids) as look:
                await self._observe_and_record(server, wrote)
        finally:
            self._looking.discard(server.id)
        if look.failed:
            self._schedule_retry(server, f"the gate failed at it, see {look.incident}")
        if self._approved_servers({server.id}):
            pace = self._paces.setdefault(server.id, ObservationPace())
            pace.looked(asyncio.get_running_loop().time(), leaves)
        else:
            self._forget_server(server.id)
        # The loop passed it over while this look went on, and nothing else would wake it.
        if server.id in self._changed:
            self._changed.discard(server.id)
            self._request_look(server.id)

    def _forget_server(self, server: str) -> None:
        """It left."""
        self._paces.pop(server, None)
        self._pauses.pop(server, None)
        self._stocktaking.forget(server)

    def _schedule_retry(self, server: Server, why: str) -> None:
        """Look again after a pause that grows from one failure to the next; only the first is told.

        A server that can be read now and not then is told of again at each first failure: that is
        no more often than it is looked at.
        """
        if server.id not in self._pauses:
            log.warning("server %s could not be read whole, and is again: %s", server.alias, why)
        pause = self._pauses.get(server.id, AGAIN_SECONDS)
        self._pauses[server.id] = min(pause * 2, LONGEST_AGAIN)
        self._look_at(server.id, asyncio.get_running_loop().time() + pause)

    async def _observe_and_record(self, server: Server, wrote: Callable[[int], None]) -> None:
        """Look, remember and write down; `wrote` is told of each leaf, also where it fails."""
        try:
            seen = await self._upstreams.observe(server)
        except HouseError as fault:
            if self._upstreams.health(server.id).state == "ready":
                self._schedule_retry(server, fault.detail)  # others tell when they are back
            return
        # How much work it is to read, the server decides.
        offer = await asyncio.to_thread(self._offers.read, server, seen)
        if self._approved_servers({server.id}):  # it may have left meanwhile
            self._offers.keep(offer)
        try:
            await self._stocktaking.take(server, [bytes(tool) for tool in seen.tools], wrote)
            await self._stocktaking.hear(server, seen.instructions, wrote)
        except HouseError as fault:
            # Part of it may be written by now; the next look keeps the rest.
            self._schedule_retry(server, fault.detail)
            return
        if not seen.unread:
            self._pauses.pop(server.id, None)
        elif self._upstreams.health(server.id).state == "ready":
            self._schedule_retry(server, "it did not answer to all that was asked")
