"""Who sequences among several nodes: the one that holds PostgreSQL's advisory lock."""

import anyio
import anyio.to_thread
import psycopg

_LOCK = 7462119844
_CONNECT_SECONDS = 5


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
        return await anyio.to_thread.run_sync(self._ask, limiter=self._asking)

    async def resign(self) -> None:
        """Give the lock up by closing its connection."""
        await anyio.to_thread.run_sync(self._close, limiter=self._asking)

    def _ask(self) -> bool:
        try:
            if self._connection is not None:
                self._connection.execute("SELECT true")
                return True
            connection: psycopg.Connection[tuple[bool]] = psycopg.connect(
                self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS
            )
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        except psycopg.Error:
            self._close()
            return False
        if row is None or not row[0]:
            connection.close()
            return False
        self._connection = connection
        return True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
