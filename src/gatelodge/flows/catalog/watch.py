"""Watches what servers say of themselves: tools are written down, all else is remembered.

A tool whose definition differs from its pin is refused from the moment the observation is
committed (guarantee access:deny-by-default); nobody has to look at a page first.
"""

import asyncio
from collections.abc import Callable, Collection

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import HouseError
from gatelodge.core.view import View
from gatelodge.flows.act import Act
from gatelodge.flows.admin import tools
from gatelodge.flows.catalog.offers import Offers
from gatelodge.ports.store import Store, Tx
from gatelodge.ports.upstream import Upstreams
from gatelodge.ports.world import Clock, Ids

DEBOUNCE_SECONDS = 0.25
AGAIN_SECONDS = 5.0
LONGEST_AGAIN = 300.0


class Watch:
    """Observes a server when it is met and when it says that something changed.

    Each server by itself and one look at a time, so that one which is slow to answer holds up no
    other. It hears from the moment it is made, so that no server is met before. Owned by the event
    loop.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        store: Store,
        clock: Clock,
        ids: Ids,
        offers: Offers,
        view: Callable[[], View],
    ) -> None:
        self._upstreams = upstreams
        self._store = store
        self._clock = clock
        self._ids = ids
        self._offers = offers
        self._view = view
        self._changed: set[str] = set()
        self._looking: set[str] = set()
        self._pauses: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        upstreams.on_list_changed(self._hear)

    async def run(self) -> None:
        """Observe what changed, until cancelled."""
        async with asyncio.TaskGroup() as looks:
            while True:
                await self._wake.wait()
                await asyncio.sleep(DEBOUNCE_SECONDS)
                self._wake.clear()
                ready = self._changed - self._looking
                self._changed -= ready
                for server in self._approved(ready):
                    self._looking.add(server.id)
                    looks.create_task(self._look(server))

    def _hear(self, server: str) -> None:
        self._changed.add(server)
        self._wake.set()

    def _approved(self, wanted: Collection[str]) -> list[Server]:
        rows = self._view().state.servers
        return [row for row in rows if row.id in wanted and row.status == "approved"]

    async def _look(self, server: Server) -> None:
        await self._observe(server)
        self._looking.discard(server.id)
        if server.id in self._changed:
            self._wake.set()

    def _again(self, server: str) -> None:
        """Look again at one that is there but did not say what it offers; others tell when back."""
        if self._upstreams.health(server).state == "ready":
            pause = self._pauses.get(server, AGAIN_SECONDS)
            self._pauses[server] = min(pause * 2, LONGEST_AGAIN)
            loop = asyncio.get_running_loop()
            self._timers[server] = loop.call_later(pause, self._hear, server)

    async def _observe(self, server: Server) -> None:
        timer = self._timers.pop(server.id, None)
        if timer is not None:
            timer.cancel()  # this is that look; two of them would go on for ever
        try:
            seen = await self._upstreams.observe(server)
        except HouseError:
            self._again(server.id)
            return
        if seen.unread:
            self._again(server.id)
        else:
            self._pauses.pop(server.id, None)
        if self._approved({server.id}):  # it may have left meanwhile
            self._offers.keep(server, seen)
        definitions = [bytes(tool) for tool in seen.tools]

        def keep(tx: Tx) -> None:
            act = Act(tx=tx, by="system", at=self._clock.now(), ids=self._ids)
            tools.take_stock(act, server.workspace, server.id, definitions)

        try:
            await self._store.change(keep)
        except HouseError:
            self._hear(server.id)
