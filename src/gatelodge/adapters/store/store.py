"""The governance store: rows and gov leaves in one transaction, and what followers need of it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from msgspec import Struct
from sqlalchemy import Connection, select, text

from gatelodge.adapters.store import tables
from gatelodge.adapters.store.database import Database
from gatelodge.adapters.store.head_watcher import Head, HeadWatcher, OwnCommits, ProvenCommits
from gatelodge.adapters.store.place.room import full
from gatelodge.adapters.store.rows import BY_FIELD, KEPT, structs_of
from gatelodge.adapters.store.tx import SqlTx
from gatelodge.adapters.store.watch import CHANNEL, ChangeFeed, PostgresWatch, SqliteWatch
from gatelodge.core.errors import StoreDown
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.governance import gov_leaf
from gatelodge.core.state import GovernanceState
from gatelodge.ports.store import CommittedChange, FreshnessProof, GovProgress, Rank, StoreTx
from gatelodge.ports.world import Clock

T = TypeVar("T")

_POLL_SECONDS = 0.6
_READ_SECONDS = 10.0
_CHANGE_SECONDS = 45.0

_LOCK_HEAD = text("SELECT size FROM log WHERE id = 'gov' FOR UPDATE")
_ANNOUNCE = text("SELECT pg_notify(:channel, :size)")
_EPOCH = select(tables.epoch.c.value)


class GovLog(Struct, frozen=True):
    """The gov log as the ledger offers it inside a transaction that somebody else opened.

    `append(connection, bodies)` returns the size after it; `read(connection, start, stop)` the
    leaves with start <= index < stop; `head(connection)` the size.
    """

    append: Callable[[Connection, Sequence[bytes]], int]
    read: Callable[[Connection, int, int], list[bytes]]
    head: Callable[[Connection], int]


class SqlStore:
    """The port `Store` on SQLite or PostgreSQL.

    Shared and mutable: `_announced`, `_polled` and `_event`, owned by the event loop.
    """

    def __init__(
        self,
        database: Database,
        gov: GovLog,
        clock: Clock,
        node: str,
        *,
        notify: bool = True,
        poll_seconds: float = 0.25,
    ) -> None:
        self._database = database
        self._gov = gov
        self._clock = clock
        self._node = node
        self._postgres = database.dialect == "postgresql"
        self._notify = notify and self._postgres
        self._watch: ChangeFeed = (
            PostgresWatch(database, notify=notify) if self._postgres else SqliteWatch(database)
        )
        self._proof: ProvenCommits = (
            self._make_head_watcher(poll_seconds) if self._postgres else OwnCommits()
        )
        self._announced = 0
        self._polled = 0
        self._event: anyio.Event | None = None
        self._listening = False
        self._polls = CapacityLimiter(1)  # its own thread: never queued behind other work
        self._reads = CapacityLimiter(4)
        self._loads = CapacityLimiter(1)  # a node that follows waits behind nobody who asks
        # A rank has threads of its own, so that none waits for a thread behind a worse one.
        self._changes: dict[Rank, CapacityLimiter] = {
            "first": CapacityLimiter(2),
            "plain": CapacityLimiter(4),
            "last": CapacityLimiter(1),
        }

    async def change(
        self, work: Callable[[StoreTx], T], rank: Rank = "plain"
    ) -> tuple[T, CommittedChange]:
        """Run `work` in one transaction; its rows and leaves commit together or not at all.

        A caller that is cancelled meanwhile does not undo it. Raises StoreDown, Conflict, or
        whatever `work` raises (then nothing is kept); StoreDown after a lost connection may also
        mean that the commit was made, which a second look at the state tells.
        """
        # A caller who is gone must not keep from this node's waiters that a change was committed.
        with anyio.CancelScope(shield=True):
            given, committed = await _run_with_timeout(
                _CHANGE_SECONDS,
                lambda: self._commit_change_with_reserve(work, rank),
                self._changes[rank],
            )
            self._announce_to_local_waiters(committed.gov)
        return given, committed

    async def read(self, work: Callable[[StoreTx], T]) -> T:
        """Run `work` on a consistent snapshot; writing raises TypeError."""

        def look() -> T:
            with self._database.read() as connection:
                return work(SqlTx(connection, writable=False))

        return await _run_with_timeout(_READ_SECONDS, look, self._reads)

    async def load(
        self, nouns: frozenset[str] | None, previous: GovernanceState | None
    ) -> GovernanceState:
        """The state at the present head; with `nouns` (State field names) only those are read.

        Everything is read when there is no `previous`, or when the epoch is another one. From the
        first load on there is a proof of what was read (`proof`).
        """
        return await _run_with_timeout(
            _READ_SECONDS, lambda: self._load_state(nouns, previous), self._loads
        )

    async def poll(self, applied: int) -> GovProgress:
        """The head, the epoch and the leaves after `applied`. Bounded by 600 ms, else StoreDown.

        No leaves when the head is below `applied`: the caller sees that the log went back.
        """

        def question(connection: Connection) -> GovProgress:
            head = self._gov.head(connection)
            epoch = connection.execute(_EPOCH).scalar_one()
            new = self._gov.read(connection, applied, head) if head > applied else []
            return GovProgress(gov=head, epoch=epoch, leaves=tuple(new))

        before = self._announced
        try:
            seen = await _run_with_timeout(
                _POLL_SECONDS, lambda: self._watch.ask(question), self._polls
            )
        except StoreDown:
            # The thread that was given up still waits, and holds the only place for polls.
            self._watch.abort()
            raise
        if self._proof.strange is not None:  # for a moment at least; that is enough
            gov, epoch = self._proof.strange
            return GovProgress(gov=gov, epoch=epoch, leaves=())
        self._polled = seen.gov
        # Any login may announce any number: one that the next answer does not hold is forgotten.
        if self._announced == before:
            self._announced = 0
        # What was announced beside an answer was read with it, so the socket wakes nobody for it.
        if self._watch.announced():
            self._announce_to_local_waiters(self._watch.announced())
        return seen

    @property
    def proof(self) -> FreshnessProof:
        """Up to when a view is known to hold every commit."""
        return self._proof

    async def wait(self, seconds: float) -> None:
        """Return when a change was announced that no poll has seen, or after that time."""
        if self._announced > self._polled:
            return
        if self._event is None:
            self._event = anyio.Event()
        event, line = self._event, self._watch.socket()
        with anyio.move_on_after(seconds):
            # Only one task can wait for a descriptor; the event or the time wakes any other.
            if line is None or self._listening:
                await event.wait()
                return
            self._listening = True
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(_cancel_when_readable, line, group.cancel_scope)
                    await event.wait()
                    group.cancel_scope.cancel()
            finally:
                self._listening = False

    async def close(self) -> None:
        """Let go of the watching connections; the database is closed by whoever opened it."""
        self._proof.close()
        self._watch.abort()
        # A poll that was cut short owns the connection until its thread has ended.
        async with self._polls:
            self._watch.close()

    def _commit_change_with_reserve(
        self, work: Callable[[StoreTx], T], rank: Rank
    ) -> tuple[T, CommittedChange]:
        """Make a change; for one of people the reserve of the disk is given up if it must be."""
        try:
            return self._commit_change_once(work, rank)
        except StoreDown as fault:
            room = self._database.room
            # What a server caused gets nothing of the room in which access is ended.
            if rank == "last" or room is None or not full(fault) or not room.give_up():
                raise
        return self._commit_change_once(work, rank)

    def _commit_change_once(
        self, work: Callable[[StoreTx], T], rank: Rank
    ) -> tuple[T, CommittedChange]:
        with self._database.write(rank) as connection:
            if self._postgres:
                # The lock on the head row is held to the end: commits happen in the order of the
                # log, and a poller never sees a gap. SQLite's BEGIN IMMEDIATE does the same.
                connection.execute(_LOCK_HEAD)
            tx = SqlTx(connection, writable=True)
            given = work(tx)
            # Within the transaction: rows of which no leaf tells are undone.
            tx.check()
            size = self._append_gov_leaves(connection, tx)
        # A crash here leaves a committed change that nobody was told of: polls find it.
        committed = CommittedChange(gov=size, at=self._clock.boottime())
        self._proof.committed(committed.gov, committed.at)
        return given, committed

    def _make_head_watcher(self, pause: float) -> HeadWatcher:
        def head(connection: Connection) -> Head:
            return self._gov.head(connection), connection.execute(_EPOCH).scalar_one()

        watch = PostgresWatch(self._database, notify=False)
        return HeadWatcher(watch, head, self._clock, pause)

    def _append_gov_leaves(self, connection: Connection, tx: SqlTx) -> int:
        head = self._gov.head(connection)
        if not tx.facts:
            return head
        at = rfc3339(self._clock.now())
        if head:
            # Times of a log never go back, whatever the clocks of the nodes do.
            at = max(at, _time_of(self._gov.read(connection, head - 1, head)[0]))
        bodies = [gov_leaf(fact, at, self._node) for fact in tx.facts]
        size = self._gov.append(connection, bodies)
        if self._notify:
            # It goes out with the commit or not at all; who misses it finds the leaf by a poll.
            connection.execute(_ANNOUNCE, {"channel": CHANNEL, "size": str(size)})
        return size

    def _load_state(
        self, nouns: frozenset[str] | None, previous: GovernanceState | None
    ) -> GovernanceState:
        with self._database.read() as connection:
            gov = self._gov.head(connection)
            epoch = connection.execute(_EPOCH).scalar_one()
            if nouns is None or previous is None or previous.epoch != epoch:
                previous, nouns = GovernanceState(gov=gov, epoch=epoch), frozenset(BY_FIELD)
            rows = _rows_by_field(connection, nouns)
        self._proof.begin()
        return msgspec.structs.replace(previous, gov=gov, epoch=epoch, **rows)

    def _announce_to_local_waiters(self, gov: int) -> None:
        self._announced = max(self._announced, gov)
        event, self._event = self._event, None
        if event is not None:
            event.set()


class _Time(Struct):
    at: str


_time_decoder = msgspec.json.Decoder(_Time)


def _time_of(leaf: bytes) -> str:
    return _time_decoder.decode(leaf).at


def _rows_by_field(connection: Connection, fields: frozenset[str]) -> dict[str, tuple[Any, ...]]:
    rows: dict[str, tuple[Any, ...]] = {}
    for field in fields:
        noun = BY_FIELD[field]
        rows[field] = tuple(structs_of(noun, connection.execute(KEPT[noun].select).all()))
    return rows


async def _run_with_timeout(seconds: float, work: Callable[[], T], limiter: CapacityLimiter) -> T:
    """Run blocking work in a thread; StoreDown when it takes longer.

    The thread then ends alone, and holds its place in the limiter until it does.
    """
    try:
        with anyio.fail_after(seconds):
            # A thread cannot be stopped, and a database that hangs must not hold the caller.
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
    except TimeoutError:
        raise StoreDown(f"the store gave no answer in {seconds:g} s", retry_after=1.0) from None


async def _cancel_when_readable(line: int, scope: anyio.CancelScope) -> None:
    await anyio.wait_readable(line)
    scope.cancel()
