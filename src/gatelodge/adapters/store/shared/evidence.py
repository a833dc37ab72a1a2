"""Evidence on either engine: rows that are written once, under the digest of what they hold."""

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from sqlalchemy import text

from gatelodge.adapters.store.database import Database
from gatelodge.core.errors import StoreDown
from gatelodge.core.trust.evidence import evidence_digest

T = TypeVar("T")

_KEEP = "INSERT INTO evidence (digest, body) VALUES (:digest, :body) ON CONFLICT DO NOTHING"
_GET = "SELECT body FROM evidence WHERE digest = :digest"


class SqlEvidence:
    """The port `EvidenceStore` on either engine."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._limiter = CapacityLimiter(2)

    async def keep(self, digest: str, body: bytes) -> None:
        """Keep it (`EvidenceStore`)."""

        def write() -> None:
            with self._database.write() as connection:
                connection.execute(text(_KEEP), {"digest": digest, "body": body.decode()})

        await self._run_in_thread(write)

    async def get(self, digest: str) -> bytes | None:
        """The evidence, when it still is what its digest says. Raises StoreDown for another."""

        def read() -> str | None:
            with self._database.read() as connection:
                row = connection.execute(text(_GET), {"digest": digest}).first()
                return None if row is None else str(row[0])

        found = await self._run_in_thread(read)
        if found is None:
            return None
        body = found.encode()
        if evidence_digest(body) != digest:
            raise StoreDown(
                "the evidence of a card is not what its digest says",
                remedy="Somebody changed the database: run `gatelodge audit fsck`, and restore it.",
            )
        return body

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
