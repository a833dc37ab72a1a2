"""Who sequences among several nodes: the one that holds PostgreSQL's advisory lock."""

import anyio
import anyio.to_thread
import psycopg
from psycopg.conninfo import conninfo_to_dict

from gatelodge.adapters.postgres import LIVENESS, with_ours

_LOCK = 7462119844
_OPTIONS = {"statement_timeout": "5s"}


class PostgresLeader:
    """The port `Leader` on PostgreSQL: a lock that ends with the connection that holds it.

    Two that both believe to lead (one lost its connection and has not noticed) do no harm: the
    ledger's transaction takes each record once, and the slower one gets Conflict.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[tuple[bool]] | None = None
        self._asking = anyio.CapacityLimiter(1)

    async def leads(self) -> bool:
        """True while this node holds the lock; takes it when it is free."""
        return await anyio.to_thread.run_sync(self._try_to_hold_lock, limiter=self._asking)

    async def resign(self) -> None:
        """Give the lock up by closing its connection."""
        await anyio.to_thread.run_sync(self._close_connection, limiter=self._asking)

    def _try_to_hold_lock(self) -> bool:
        try:
            if self._connection is not None:
                # The lock lives as long as its session does: an answer proves that both are there.
                self._connection.execute("SELECT true")
                return True
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                application_name="gatelodge leader",
                options=with_ours(conninfo_to_dict(self._url).get("options"), _OPTIONS),
                **LIVENESS,
            )
            # Without `try` the question would hold its thread until the leader goes, or time is up.
            locking = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
            leads = locking.fetchone() == (True,)
        except psycopg.Error:
            leads = False
        # A session in doubt may hold the lock still; once it is closed another node can lead.
        if not leads:
            self._close_connection()
        return leads

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
