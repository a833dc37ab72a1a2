"""A quarantine stands in the gov log: the gate itself took a server out of use."""

import asyncio
import logging
from collections.abc import Callable

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import HouseError
from gatelodge.core.view import PolicyView
from gatelodge.flows.act import GovernanceAct
from gatelodge.ports.store import Store, StoreTx
from gatelodge.ports.world import Clock, FreshIds

log = logging.getLogger(__name__)


class QuarantineRecords:
    """Writes a leaf for each quarantine. One follows another only behind an admin's restart."""

    def __init__(
        self, store: Store, clock: Clock, ids: FreshIds, view: Callable[[], PolicyView]
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._view = view
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def note(self, server: str) -> None:
        """A server was quarantined on this node."""
        self._waiting.put_nowait(server)

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            server = await self._waiting.get()
            rows = self._view().state.servers
            row = next((each for each in rows if each.id == server), None)
            if row is not None:
                await self._write(row)

    async def _write(self, row: Server) -> None:
        def work(tx: StoreTx) -> None:
            act = GovernanceAct(tx=tx, by="system", at=self._clock.now(), ids=self._ids)
            act.record("server.quarantined", row.workspace, server=row.id)

        try:
            # Behind all that people change: a server decides whether it ends again and again.
            await self._store.change(work, "last")
        except HouseError as fault:
            log.warning("the quarantine of %s could not be recorded: %s", row.alias, fault.detail)
