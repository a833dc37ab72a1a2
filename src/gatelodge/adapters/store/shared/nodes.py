"""The nodes that share a store, each with how far it has applied the gov log."""

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from sqlalchemy import text

from gatelodge.adapters.store.database import Database
from gatelodge.ports.store import NodeSeen

T = TypeVar("T")

_PUT = """
    INSERT INTO nodes (node, boot, applied, seen_at, lease_ms, cut_streams, cut_calls)
    VALUES (:node, :boot, :applied, {now}, :lease_ms, :cut_streams, :cut_calls)
    ON CONFLICT (node) DO UPDATE SET boot = excluded.boot, applied = excluded.applied,
        seen_at = excluded.seen_at, lease_ms = excluded.lease_ms,
        cut_streams = excluded.cut_streams, cut_calls = excluded.cut_calls
"""
_LIVE = """
    SELECT node, boot, applied, seen_at, lease_ms, cut_streams, cut_calls FROM nodes
    WHERE seen_at >= {now} - :within ORDER BY node
"""
_KNOWN = text(
    "SELECT node, boot, applied, seen_at, lease_ms, cut_streams, cut_calls FROM nodes ORDER BY node"
)
_FORGET = text("DELETE FROM nodes WHERE node = :node AND seen_at = :seen_at")
_LEAVE = text("DELETE FROM nodes WHERE node = :node")


class SqlNodes:
    """The port `Nodes` on either engine."""

    def __init__(self, database: Database) -> None:
        now = database.now  # nodes are compared by one clock, not by their own
        self._database = database
        self._put = text(_PUT.format(now=now))
        self._live = text(_LIVE.format(now=now))
        # Threads of its own: an end of access waits for acknowledgements, and those for nobody.
        self._limiter = CapacityLimiter(2)

    async def acknowledge(self, seen: NodeSeen) -> None:
        """Write down how far this node is; `seen_at` is taken from the store's own clock."""
        given = {name: getattr(seen, name) for name in seen.__struct_fields__ if name != "seen_at"}

        def write() -> None:
            with self._database.write("first") as connection:  # an end of access waits for it
                connection.execute(self._put, given)

        await self._run_in_thread(write)

    async def live(self, within_ms: int) -> tuple[NodeSeen, ...]:
        """Nodes seen within that time by the store's own clock."""

        def look() -> tuple[NodeSeen, ...]:
            with self._database.read() as connection:
                rows = connection.execute(self._live, {"within": within_ms * 1_000})
                return tuple(NodeSeen(*row) for row in rows)

        return await self._run_in_thread(look)

    async def known(self) -> tuple[NodeSeen, ...]:
        """Every node that has not left, whenever it was seen."""

        def look() -> tuple[NodeSeen, ...]:
            with self._database.read() as connection:
                return tuple(NodeSeen(*row) for row in connection.execute(_KNOWN))

        return await self._run_in_thread(look)

    async def forget(self, seen: NodeSeen) -> None:
        """Strike out a node that died, unless it was seen again meanwhile."""

        def drop() -> None:
            with self._database.write() as connection:
                connection.execute(_FORGET, {"node": seen.node, "seen_at": seen.seen_at})

        await self._run_in_thread(drop)

    async def leave(self, node: str) -> None:
        """This node is going; nobody waits for it any more."""

        def drop() -> None:
            with self._database.write() as connection:
                connection.execute(_LEAVE, {"node": node})

        await self._run_in_thread(drop)

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
