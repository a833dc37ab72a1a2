"""Writing down what servers say of their tools: in short transactions that stand behind all others.

A server causes these, so they are of the last rank, small, and not made at all when nothing is new.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256

from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import Conflict
from gatelodge.core.view import PolicyView
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import pins, tools
from gatelodge.ports.store import Store, StoreTx
from gatelodge.ports.world import Clock, FreshIds

log = logging.getLogger(__name__)

Part = Callable[[GovernanceAct], tools.ToolObservation]

MOST_ROWS = 100
"""Rows that one transaction writes: whoever ends access meanwhile waits for no more."""

MOST_PARTS = 200
"""Transactions for one stock; more than any takes."""


class _KnownStock(Struct, frozen=True):
    """The last stock that was written down: its bytes' digest, and each tool's digest and place."""

    said: bytes
    tools: dict[str, tuple[str, int]]


async def keep_in_parts(
    change: Callable[[Part], Awaitable[tools.ToolObservation]],
    server: Server,
    stock: tools.ObservedTools,
) -> tools.ToolObservation:
    """Keep a stock in transactions that are short; `change` makes one of them.

    A crash between two leaves a stock of which the next look keeps the rest. Raises HouseError.
    """

    def part(act: GovernanceAct) -> tools.ToolObservation:
        return tools.keep_stock(act, server.workspace, server.id, stock, MOST_ROWS)

    kept = tools.ToolObservation(more=True)
    for _ in range(MOST_PARTS):
        seen = await change(part)
        kept = tools.ToolObservation(
            new=kept.new + seen.new,
            changed=kept.changed + seen.changed,
            gone=kept.gone + seen.gone,
            drifted=kept.drifted + seen.drifted,
            skipped=seen.skipped,
            leaves=kept.leaves + seen.leaves,
        )
        if not seen.more:
            return kept
    # Another node sees another list, and each writes over the other's.
    raise Conflict("what a server says of its tools does not stay the same")


class ToolObserver:
    """Keeps stocks of approved servers. Owned by the event loop."""

    def __init__(
        self, store: Store, clock: Clock, ids: FreshIds, view: Callable[[], PolicyView]
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._view = view
        self._known: dict[str, _KnownStock] = {}

    async def take(
        self, server: Server, definitions: Sequence[bytes], wrote: Callable[[int], None]
    ) -> None:
        """Write down what is new; `wrote` is told of each leaf. Raises HouseError."""
        said = _digest_of_definitions(definitions)
        known = self._known.get(server.id)
        if known is not None and known.said == said and known.tools == self._recorded_tools(server):
            return
        # The server decides how much there is to read, so it is read beside the loop.
        stock = await asyncio.to_thread(tools.read_stock, definitions)

        async def change(part: Part) -> tools.ToolObservation:
            def work(tx: StoreTx) -> tools.ToolObservation:
                return part(GovernanceAct(tx=tx, by="system", at=self._clock.now(), ids=self._ids))

            # A server decides how often there is news, so it stands behind all that people change.
            seen, _ = await self._store.change(work, "last")
            # At once: what is written when a later part fails was written because of the server.
            wrote(seen.leaves)
            return seen

        kept = await keep_in_parts(change, server, stock)
        if kept.drifted:
            many = len(kept.drifted)
            told = "1 tool is not as it was" if many == 1 else f"{many} tools are not as they were"
            text = "server %s: %s approved; see gatelodge tool diff %s"
            log.warning(text, server.alias, told, server.alias)
        places = enumerate(stock.tools.items())
        found = {name: (read.digest, place) for place, (name, read) in places}
        # It is known only now: what failed on its way has to be new to the next look.
        self._known[server.id] = _KnownStock(said, found)

    async def hear(self, server: Server, instructions: str, wrote: Callable[[int], None]) -> None:
        """Write down what it tells every session, if that is new; `wrote` is told of the leaf.

        Nobody is told of it before an admin approved it. Raises HouseError.
        """
        # `server` is as old as the look took long: an admin's own look may have come since.
        rows = (row for row in self._view().state.servers if row.id == server.id)
        row = next(rows, server)
        if pins.kept_instructions(instructions) == row.instructions:
            return

        def work(tx: StoreTx) -> bool:
            act = GovernanceAct(tx=tx, by="system", at=self._clock.now(), ids=self._ids)
            return pins.note_instructions(act, server.workspace, server.id, instructions)

        changed, _ = await self._store.change(work, "last")
        wrote(int(changed))
        if changed and row.approved_instructions:
            text = "server %s: its instructions are not those approved; see gatelodge tool diff %s"
            log.warning(text, server.alias, server.alias)

    def forget(self, server: str) -> None:
        """It left."""
        self._known.pop(server, None)

    def _recorded_tools(self, server: Server) -> dict[str, tuple[str, int]]:
        """What stands written now, as this node sees it: an admin may have looked since."""
        rows = self._view().state.tools
        return {
            row.name: (row.observed, row.position)
            for row in rows
            if row.server == server.id and row.present
        }


def _digest_of_definitions(definitions: Sequence[bytes]) -> bytes:
    told = sha256()
    for each in definitions:
        # Each counts with its length, or two lists that are cut differently would look alike.
        told.update(len(each).to_bytes(8, "big") + each)
    return told.digest()
