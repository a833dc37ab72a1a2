"""The journal of several nodes: rows of the table `pending`, durable with their commit.

One thread and one connection write, one COPY a batch, `synchronous_commit` on. Rows of one node
get rising ids in the order of its appends, because one connection writes them one batch after the
other: an intent always stands before its outcome. Between nodes a lower id may become visible
later, so a reader never remembers how far it came; rows leave in the ledger's own transaction.
"""

import asyncio
import logging
import os
from contextlib import ExitStack, closing
from functools import partial
from threading import Event, Thread

import psycopg
from msgspec import Struct
from psycopg.conninfo import conninfo_to_dict

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.journal.disk import ledger_down_error
from gatelodge.adapters.journal.pipes import WriterPipes
from gatelodge.adapters.postgres import LIVENESS, with_ours
from gatelodge.core.errors import LedgerDown
from gatelodge.ports.journal import (
    JournalBacklog,
    JournalBatch,
    JournalEntry,
    JournalPosition,
    record_landed,
    record_refused,
)

log = logging.getLogger(__name__)

_Waiting = asyncio.Future[None] | None
_Connection = psycopg.Connection[tuple[object, ...]]

_COPY = "COPY pending (node, log, body, opening) FROM STDIN (FORMAT BINARY)"
_READ = "SELECT id, log, body, opening FROM pending ORDER BY id LIMIT %s"
_TYPES = ("text", "text", "bytea", "bytea")
_OPTIONS = {"synchronous_commit": "on", "statement_timeout": "10s"}
_COMMIT_SECONDS = 1.0
"""Nobody waits longer for a commit: a database that hangs looks the same as one that is gone."""
_GRACE_SECONDS = 0.1
_MOST_KEPT = 10_000
_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class _JournalCommit(Struct):
    """One transaction: rows, who waits for it, and whether it was committed, once that is known."""

    entries: list[JournalEntry]
    waiting: list[_Waiting]
    committed: bool | None = None


class PostgresJournal:
    """A Journal (port) on PostgreSQL; made by `open`, used on one event loop.

    A lost connection, or a commit that hangs, fails everything that waits, since nobody knows
    whether the commit was made, and nothing of it is tried again: its calls were refused. If the
    commit was made after all, an intent without an effect stands in the log and is closed later.
    `failed` is true until the database answers again; until then only records that nobody waits
    for are taken, 10,000 of them, and written as soon as it does. `_job` and `_fault` are the
    thread's while it works, else the loop's.
    """

    def __init__(self, url: str, node: str, connection: _Connection, pipes: WriterPipes) -> None:
        self._url, self._node, self._first = url, node, connection
        self._loop = asyncio.get_running_loop()
        self._entries: list[JournalEntry] = []
        self._futures: list[_Waiting] = []
        self._idle = True
        self._failed = self._hangs = False
        self._patience: asyncio.TimerHandle | None = None
        self._job: _JournalCommit | None = None
        self._fault: psycopg.Error | None = None
        self._closing: asyncio.Future[None] | None = None
        self._ending = Event()
        self._reader: _Connection | None = None
        self._pipes = pipes
        self._thread = Thread(target=self._write_on, name="journal", daemon=True)
        self._thread.start()
        self._loop.add_reader(pipes.told, self._complete_commit_or_resume)

    @classmethod
    async def open(cls, url: str, node: str) -> "PostgresJournal":
        """Connect. Raises LedgerDown: the database does not answer, or too many files are open."""
        try:
            connection = await opened_aside(partial(_open_connection, url), _Connection.close)
        except psycopg.Error as fault:
            raise LedgerDown("the journal's database does not answer") from fault
        with ExitStack() as opened:
            opened.callback(connection.close)
            try:
                pipes = opened.enter_context(closing(WriterPipes()))
            except OSError as fault:
                raise ledger_down_error(fault) from fault
            journal = cls(url, node, connection, pipes)
            opened.pop_all()
        return journal

    def append(self, entry: JournalEntry, durable: _Waiting) -> None:
        """Queue an entry; see the port."""
        refused = self.failed and (durable is not None or len(self._entries) >= _MOST_KEPT)
        if refused or self._closing is not None:
            if durable is not None:
                record_refused(durable, LedgerDown("the journal takes no records now"))
            return
        self._entries.append(entry)
        self._futures.append(durable)
        if self._idle:
            self._idle = False
            self._loop.call_soon(self._hand_over)

    @property
    def failed(self) -> bool:
        """True while the database cannot be reached or does not answer."""
        return self._failed or self._hangs

    @property
    def backlog(self) -> JournalBacklog:
        """What is gathered or being committed; rows that wait belong to all nodes."""
        job = self._job
        written = job is None or self._idle or job.committed is not None
        records = len(self._entries)
        if job is not None and not written:
            records += len(job.entries)
        return JournalBacklog(records, None)

    async def read(self, limit: int) -> JournalBatch:
        """The oldest rows of every node; they stay until the ledger has appended them."""
        try:
            rows = await asyncio.to_thread(self._read_pending_rows, limit)
        except psycopg.Error as fault:
            broken, self._reader = self._reader, None
            if broken is not None:
                broken.close()
            raise LedgerDown("the journal cannot be read") from fault
        entries = tuple(
            JournalEntry(log, bytes(body), bytes(opening)) for _, log, body, opening in rows
        )
        return JournalBatch(entries, rows=tuple(row[0] for row in rows))

    async def rewind(self, to: JournalPosition | None) -> None:
        """Nothing to do: what was not appended is still there."""

    async def forget(self, end: JournalPosition) -> None:
        """Nothing to do: the ledger's transaction deleted the rows."""

    async def examine(self, mark: JournalPosition | None) -> list[str]:  # noqa: ARG002 - the port's
        """Nothing: rows are as durable as the logs beside them, and go in their transactions."""
        return []

    async def rest(self, mark: JournalPosition | None) -> None:
        """Nothing to do: what is left is in the table."""

    async def close(self) -> None:
        """Make what is queued durable, then end the thread and its connections."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            if self._idle or self._failed:
                self._closing.set_result(None)
        await asyncio.shield(self._closing)
        if self._thread.is_alive():
            self._ending.set()
            # A thread that connects now gets no more work.
            self._loop.remove_reader(self._pipes.told)
            self._job = None
            os.write(self._pipes.wake, b"\0")
            await asyncio.to_thread(self._thread.join)
            self._pipes.close()
            if self._reader is not None:
                self._reader.close()

    def _hand_over(self) -> None:
        # One that was on its way when `close` was called must give the thread no more work.
        if self._ending.is_set():
            return
        if not self._entries:
            self._idle = True
            if self._closing is not None and not self._closing.done():
                self._closing.set_result(None)
            return
        self._job = _JournalCommit(self._entries, self._futures)
        self._entries, self._futures = [], []
        self._patience = self._loop.call_later(_COMMIT_SECONDS, self._extend_commit_deadline)
        os.write(self._pipes.wake, b"\0")

    def _extend_commit_deadline(self) -> None:
        """No word of the commit yet; it may be that this process slept, and that it is there."""
        self._patience = self._loop.call_later(_GRACE_SECONDS, self._fail_hung_commit)

    def _fail_hung_commit(self) -> None:
        """The commit takes too long: what becomes of it is found out later, by nobody who waits."""
        log.error("the journal's database does not answer: no call is forwarded")
        self._hangs = True
        self._refuse_waiting_callers("the journal's database does not answer")

    def _refuse_waiting_callers(self, why: str) -> None:
        """Fail everyone who waits; what nobody waits for stays for the next commit."""
        assert self._job is not None
        for future in self._job.waiting:
            if future is not None:
                record_refused(future, _uncertain_commit_error(why, self._job))
        for future in self._futures:
            if future is not None:
                record_refused(future, LedgerDown(why))
        gathered = zip(self._entries, self._futures, strict=True)
        self._entries = [entry for entry, future in gathered if future is None]
        self._futures = [None] * len(self._entries)

    def _complete_commit_or_resume(self) -> None:
        """The thread says that it committed, that it failed, or that it is connected again."""
        os.read(self._pipes.told, 1)
        if self._failed:
            log.warning("the journal is written again")
            self._failed = False
            self._loop.call_soon(self._hand_over)
            return
        assert self._job is not None
        assert self._patience is not None
        self._patience.cancel()
        if self._hangs:
            log.warning("the journal's database answers again")
        self._hangs = False
        # Those who were refused while it hung ask this: their record may stand after all.
        self._job.committed = self._fault is None
        if self._fault is not None:
            log.error("the journal lost its database: no call is forwarded")
            self._failed, self._fault = True, None
            self._refuse_waiting_callers("the journal lost its database")
            if self._closing is not None and not self._closing.done():
                self._closing.set_result(None)
            return
        for future in self._job.waiting:
            if future is not None:
                record_landed(future)
        self._loop.call_soon(self._hand_over)

    def _write_on(self) -> None:
        """The writer's thread: one transaction at a time; after a loss, connect until it works."""
        connection = self._first
        while os.read(self._pipes.wake_end, 1) and (job := self._job) is not None:
            try:
                self._commit_entries(connection, job.entries)
            except psycopg.Error as fault:
                connection.close()
                self._fault = fault
                # Once for the fault, and below for the new connection: the loop hears of both.
                os.write(self._pipes.tell, b"\0")
                again = self._reconnect_with_backoff()
                if again is None:
                    return
                connection = again
            os.write(self._pipes.tell, b"\0")
        connection.close()

    def _commit_entries(self, connection: _Connection, entries: list[JournalEntry]) -> None:
        node = self._node
        with (
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(_COPY) as copy,
        ):
            copy.set_types(_TYPES)
            for entry in entries:
                copy.write_row((node, entry.log, entry.body, entry.opening))

    def _reconnect_with_backoff(self) -> _Connection | None:
        attempt = 0
        while not self._ending.is_set():
            try:
                return _open_connection(self._url)
            except psycopg.Error:
                # Not a sleep: `close` ends the pause, and does not wait it out.
                self._ending.wait(_BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)])
                attempt += 1
        return None

    def _read_pending_rows(self, limit: int) -> list[tuple[int, str, bytes, bytes]]:
        if self._reader is None or self._reader.closed:
            self._reader = _open_connection(self._url)
        with self._reader.cursor(binary=True) as cursor:
            rows = cursor.execute(_READ, (limit,)).fetchall()
        if self._closing is not None:
            self._reader.close()  # a last look after the end leaves nothing open
        return rows  # type: ignore[return-value]  # the columns' types are those of the table


def _uncertain_commit_error(why: str, job: _JournalCommit) -> LedgerDown:
    """Of a record whose commit took too long: it may come to stand in the log all the same."""
    fault = LedgerDown(why)
    fault.landed = lambda: job.committed
    return fault


def _open_connection(url: str) -> _Connection:
    return psycopg.connect(
        url,
        autocommit=True,
        application_name="gatelodge journal",
        options=with_ours(conninfo_to_dict(url).get("options"), _OPTIONS),
        **LIVENESS,
    )
