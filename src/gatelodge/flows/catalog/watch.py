"""Watches what servers say of themselves and writes down what changed.

A tool whose definition differs from its pin is refused from the moment the observation is
committed (guarantee access:deny-by-default); nobody has to look at a page first.
"""

import asyncio
from collections.abc import Callable

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import HouseError
from gatelodge.core.view import View
from gatelodge.flows.act import Act
from gatelodge.flows.admin import tools
from gatelodge.ports.store import Store, Tx
from gatelodge.ports.upstream import Upstreams
from gatelodge.ports.world import Clock, Ids

DEBOUNCE_SECONDS = 0.25


class Watch:
    """Observes a server again after it said that its tools changed; owned by the event loop."""

    def __init__(
        self,
        upstreams: Upstreams,
        store: Store,
        clock: Clock,
        ids: Ids,
        view: Callable[[], View],
    ) -> None:
        self._upstreams = upstreams
        self._store = store
        self._clock = clock
        self._ids = ids
        self._view = view
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    def begin(self) -> None:
        """Hear of changes from now on."""
        self._upstreams.on_list_changed(self._hear)

    async def run(self) -> None:
        """Observe what changed, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(DEBOUNCE_SECONDS)
            self._wake.clear()
            waiting, self._changed = self._changed, set()
            for server in self._view().state.servers:
                if server.id in waiting and server.status == "approved":
                    await self._observe(server)

    def _hear(self, server: str) -> None:
        self._changed.add(server)
        self._wake.set()

    async def _observe(self, server: Server) -> None:
        try:
            seen = await self._upstreams.observe(server)
        except HouseError:
            return  # its health says why; it tells again when it is back
        definitions = [bytes(tool) for tool in seen.tools]

        def keep(tx: Tx) -> None:
            act = Act(tx=tx, by="system", at=self._clock.now(), ids=self._ids)
            tools.take_stock(act, server.workspace, server.id, definitions)

        try:
            await self._store.change(keep)
        except HouseError:
            self._hear(server.id)
