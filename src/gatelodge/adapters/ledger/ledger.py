"""The ledger on SQLite or PostgreSQL: batches in, leaves, tiles and proofs out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from gatelodge.adapters.ledger import logs, tables
from gatelodge.adapters.ledger.edge import PendingAppend, RightEdge
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.core.errors import Conflict, NotFound
from gatelodge.ports.journal import (
    AppendedLeaves,
    JournalBatch,
    JournalEntry,
    JournalPosition,
    LeafAt,
    LeafPlace,
    LedgerHead,
)
from gatelodge.tlog import proof
from gatelodge.tlog.errors import ProofFailed

_PIECE = 64
"""Leaves hashed without a pause: about 0.3 ms."""
_EDGES = 64
"""Right edges kept in memory, up to 200 kB each."""

T = TypeVar("T")
Session = Callable[[], AbstractContextManager[Connection]]
"""A transaction that commits when its block ends; raises StoreDown for the driver's errors."""

_mark, _pending, _checkpoint = tables.journal_mark, tables.pending, tables.checkpoint

_MARK = select(_mark.c.segment, _mark.c.offset, _mark.c.frame)
_MARK = _MARK.where(_mark.c.node == bindparam("journal"))
_TAKE = delete(_pending).where(_pending.c.id.in_(bindparam("rows", expanding=True)))
_NEWEST = (
    select(_checkpoint.c.note)
    .where(_checkpoint.c.log == bindparam("log"))
    .order_by(_checkpoint.c.size.desc())
    .limit(1)
)
_EVERY = (
    select(_checkpoint.c.note)
    .where(_checkpoint.c.log == bindparam("log"))
    .order_by(_checkpoint.c.size)
)
_AT_SIZE = select(_checkpoint.c.note).where(
    _checkpoint.c.log == bindparam("log"), _checkpoint.c.size == bindparam("size")
)


class SqlLedger:
    """The port `Ledger`. Work runs in worker threads, one appender at a time.

    `journal` names the file journal that this ledger empties; one data directory has one. `_edges`
    are guarded by `_turn`.
    """

    def __init__(
        self, write: Session, read: Session, seal: HeadSeal, *, journal: str = "file"
    ) -> None:
        self._write = write
        self._read = read
        self._seal = seal
        self._journal = journal
        self._edges: dict[str, RightEdge] = {}
        self._turn = anyio.Lock()
        self._appending = anyio.CapacityLimiter(1)
        self._reading = anyio.CapacityLimiter(4)

    async def open_log(self, log: str, origin: str) -> LedgerHead:
        """Create the log when it is not there yet; returns its head."""
        return await self._run_in_write_transaction(lambda c: logs.open_log(c, log, origin))

    async def append(
        self, batch: JournalBatch, places: Mapping[str, LeafPlace]
    ) -> dict[str, AppendedLeaves]:
        """Append a batch, mark it as used and set the floors: one transaction, or nothing."""
        async with self._turn:
            grown = await self._compute_log_growths(batch)
            # The caller staged the leaves without this lock, so another append may have come first.
            for each in grown:
                if each.log in places and places[each.log].first != each.first:
                    raise Conflict(f"somebody else appended to {each.log}")
            # Edges of a batch that fails are not kept: what the database has is asked again.
            landed = await self._run_in_write_transaction(
                lambda c: self._write_batch(c, batch, grown, places)
            )
            self._cache_edges(grown)
        return landed

    async def journal_end(self) -> JournalPosition | None:
        """How far the file journal was sequenced at the last append."""
        return await self._run_in_read_transaction(self._journal_end)

    async def heads(self) -> tuple[LedgerHead, ...]:
        """Every log's head, by id."""
        return await self._run_in_read_transaction(lambda c: tuple(logs.heads(c, self._seal)))

    async def leaves(self, log: str, start: int, stop: int) -> list[LeafAt]:
        """Leaves with start <= index < stop, as far as there are any."""
        return await self._run_in_read_transaction(lambda c: logs.read_leaves(c, log, start, stop))

    async def leaves_at(self, log: str, places: Sequence[int]) -> list[LeafAt]:
        """The leaves at these places, as far as there are any, in the order of the log."""
        return await self._run_in_read_transaction(lambda c: logs.leaves_at(c, log, places))

    async def containing(
        self, log: str, text: str, span: tuple[int, int], limit: int
    ) -> list[LeafAt]:
        """The first leaves with start <= index < stop whose bytes hold this text."""
        wanted = text.encode()
        return await self._run_in_read_transaction(
            lambda c: logs.containing(c, log, wanted, span, limit)
        )

    async def tile(self, log: str, level: int, n: int) -> bytes:
        """The hashes of a tile, empty when it is not there."""
        return await self._run_in_read_transaction(lambda c: logs.tile(c, log, level, n))

    async def bundle(self, log: str, n: int) -> bytes:
        """The packed entries of a bundle, empty when it is not there."""
        return await self._run_in_read_transaction(lambda c: logs.bundle(c, log, n))

    async def inclusion(self, log: str, index: int, size: int) -> list[bytes]:
        """The inclusion proof of `index` in the tree of `size`. Raises NotFound: not in it."""
        return await self._run_in_read_transaction(
            lambda c: _proof_or_not_found(
                lambda: proof.inclusion(index, size, logs.nodes(c, log, size))
            )
        )

    async def consistency(self, log: str, old: int, new: int) -> list[bytes]:
        """The consistency proof between two sizes. Raises NotFound: `old` is the larger."""
        return await self._run_in_read_transaction(
            lambda c: _proof_or_not_found(
                lambda: proof.consistency(old, new, logs.nodes(c, log, new))
            )
        )

    async def root_at(self, log: str, size: int) -> bytes:
        """The root over the first `size` leaves. Raises LogForked: the tiles do not reach it."""
        return await self._run_in_read_transaction(lambda c: logs.root_at(c, log, size))

    async def seek(self, log: str, at: str) -> int:
        """An index at or before every leaf whose time is `at` or later."""
        return await self._run_in_read_transaction(lambda c: logs.seek(c, log, at))

    async def seek_end(self, log: str, at: str) -> int:
        """An index beyond every leaf whose time is before `at`."""
        return await self._run_in_read_transaction(lambda c: logs.seek_end(c, log, at))

    async def times(self, log: str, n: int) -> tuple[str, str]:
        """The first and last time in a bundle as the ledger keeps them."""
        return await self._run_in_read_transaction(lambda c: logs.times(c, log, n))

    async def save_checkpoint(self, log: str, size: int, note: bytes) -> None:
        """Keep a signed checkpoint; the same one may be saved twice."""

        def save(connection: Connection) -> None:
            here = {"log": log, "size": size}
            # No upsert: the triggers refuse any change of a checkpoint, even to the same bytes.
            if connection.execute(_AT_SIZE, here).first() is None:
                connection.execute(_checkpoint.insert(), {**here, "note": note})

        await self._run_in_write_transaction(save)

    async def checkpoint(self, log: str) -> bytes | None:
        """The newest signed checkpoint of a log."""
        found = await self._run_in_read_transaction(
            lambda c: c.execute(_NEWEST, {"log": log}).scalar_one_or_none()
        )
        return None if found is None else bytes(found)

    async def checkpoints(self, log: str) -> list[bytes]:
        """Every signed checkpoint of a log, smallest first."""
        return await self._run_in_read_transaction(
            lambda c: [bytes(n) for n in c.execute(_EVERY, {"log": log}).scalars()]
        )

    async def _compute_log_growths(self, batch: JournalBatch) -> list[PendingAppend]:
        """What the batch makes of its logs.

        The hashing is done here, on the event loop, in pieces with a pause after each: on a thread
        it would take the interpreter from the calls beside it for milliseconds at a time.
        """
        by_log: dict[str, list[JournalEntry]] = {}
        for log, run in groupby(batch.entries, attrgetter("log")):
            by_log.setdefault(log, []).extend(run)
        grown: list[PendingAppend] = []
        for log, entries in by_log.items():
            growth = PendingAppend(log, await self._take_or_load_edge(log))
            for start in range(0, len(entries), _PIECE):
                piece = entries[start : start + _PIECE]
                growth.take([each.body for each in piece], [each.opening for each in piece])
                await anyio.lowlevel.checkpoint()
            grown.append(growth)
        return grown

    async def _take_or_load_edge(self, log: str) -> RightEdge:
        """The edge as this ledger left it; the database's when it is not known."""
        # The edge is taken out, so that after a failure the next append asks the database.
        kept = self._edges.pop(log, None)
        if kept is not None:
            return kept
        # It locks the head's row, which PostgreSQL refuses in a transaction that only reads.
        return await self._run_in_write_transaction(lambda c: logs.edge(c, self._seal, log))

    def _cache_edges(self, grown: list[PendingAppend]) -> None:
        for each in grown:
            self._edges[each.log] = each.edge
        while len(self._edges) > _EDGES:
            del self._edges[next(iter(self._edges))]

    def _write_batch(
        self,
        connection: Connection,
        batch: JournalBatch,
        grown: list[PendingAppend],
        places: Mapping[str, LeafPlace],
    ) -> dict[str, AppendedLeaves]:
        self._mark_batch_as_used(connection, batch)
        floors = {log: place.floor for log, place in places.items()}
        return logs.write(connection, self._seal, grown, floors)

    def _mark_batch_as_used(self, connection: Connection, batch: JournalBatch) -> None:
        """Mark the batch as used, in the transaction that appends it; Conflict if it was."""
        if batch.rows:
            taken = connection.execute(_TAKE, {"rows": list(batch.rows)})
            # Two leaders of one moment may have read the same rows; only one of them deletes them.
            if taken.rowcount != len(batch.rows):
                raise Conflict("another sequencer took these records")
        if batch.end is None:
            return
        # The mark moves in the leaves' transaction: no crash can use a record twice or lose one.
        mark = self._journal_end(connection)
        if mark is not None and not _is_start_at_mark(mark, batch.start):
            raise Conflict("these records were sequenced before")
        end = msgspec.structs.asdict(batch.end)
        if mark is None:
            connection.execute(_mark.insert(), {"node": self._journal, **end})
        else:
            connection.execute(update(_mark).where(_mark.c.node == self._journal).values(**end))

    def _journal_end(self, connection: Connection) -> JournalPosition | None:
        row = connection.execute(_MARK, {"journal": self._journal}).one_or_none()
        return None if row is None else JournalPosition(row.segment, row.offset, row.frame)

    async def _run_in_write_transaction(self, work: Callable[[Connection], T]) -> T:
        def inside() -> T:
            with self._write() as connection:
                return work(connection)

        # A cancelled caller must not leave an append that nobody counted.
        with anyio.CancelScope(shield=True):
            made = await anyio.to_thread.run_sync(inside, limiter=self._appending)
        return made  # noqa: RET504 - a cancel scope may swallow, so mypy wants it here

    async def _run_in_read_transaction(self, work: Callable[[Connection], T]) -> T:
        def inside() -> T:
            with self._read() as connection:
                return work(connection)

        # Reads have a limiter of their own: a long search must not keep an append waiting.
        return await anyio.to_thread.run_sync(inside, limiter=self._reading)


def _is_start_at_mark(mark: JournalPosition, start: JournalPosition | None) -> bool:
    """True when a batch begins where the last one ended, at the frame that comes next."""
    if start is None or (mark.segment, mark.offset) != (start.segment, start.offset):
        return False
    # A mark of the first version has no frame, so only its place can be compared.
    return not mark.frame or mark.frame == start.frame


def _proof_or_not_found(make: Callable[[], list[bytes]]) -> list[bytes]:
    try:
        return make()
    except ProofFailed as fault:
        raise NotFound("there is no such place in the log") from fault
