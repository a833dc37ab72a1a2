"""The database's door: who may write, what a reader sees, and no driver's name beyond it.

SQLite has one write connection under a process-wide lock, every transaction BEGIN IMMEDIATE, and
read connections that cannot write. That one connection alone writes and checkpoints, which also
keeps clear of the WAL-reset race of SQLite before 3.51.3 (it needs two). PostgreSQL writes at
READ COMMITTED (who must be alone takes a row lock) and reads one REPEATABLE READ snapshot.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from gatelodge.adapters.postgres import LIVENESS, with_ours
from gatelodge.adapters.store.place.lock import DirectoryLock
from gatelodge.adapters.store.place.room import DiskRoom
from gatelodge.adapters.store.queue import WAIT_SECONDS, WriterQueue
from gatelodge.core.errors import Conflict, Invalid, LogForked, StoreDown
from gatelodge.ports.store import Rank

Dialect = Literal["sqlite", "postgresql"]

_READERS = 11
_FENCE = "SQLITE_CONSTRAINT_TRIGGER"
"""A trigger's refusal; it is no clash of rows, and PostgreSQL tells the two apart by itself."""
_FAILED_IO = "SQLITE_IOERR"
_UNWRITABLE = (
    *(_FAILED_IO, "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT"),
    *("53", "58", "25006"),  # PostgreSQL: no resources, a fault of its system, read-only
)
"""Faults of the store and its disk, by their names or by how they begin."""
_NOW: dict[Dialect, str] = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS BIGINT)",
    "postgresql": "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)",
}
_POSTGRES_OPTIONS = {
    "synchronous_commit": "on",  # a commit that was answered survives a crash of the server
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
_POSTGRES_CONNECT = {"application_name": "gatelodge", **LIVENESS}
_POSTGRES_WATCH = {
    "application_name": "gatelodge-watch",
    "connect_timeout": 2,
    "tcp_user_timeout": 1_000,
}


class Database:
    """One open database. `write()` and `read()` are all that anyone gets of it."""

    def __init__(
        self, writer: Engine, reader: Engine, watcher: Engine | None, lock: DirectoryLock
    ) -> None:
        self.unwritable = ""
        """Why the last change could not be made, where that is no fault of the change."""
        self.room: DiskRoom | None = None
        """The disk that changes go to, where somebody looks after it."""
        self._suspect = False
        self._writer = writer
        self._reader = reader
        self._watcher = watcher
        self._directory = lock
        self._queue = WriterQueue() if watcher is None else None
        self._errors = _driver_errors(writer)

    @property
    def dialect(self) -> Dialect:
        """`sqlite` or `postgresql`."""
        return "sqlite" if self._watcher is None else "postgresql"

    @property
    def now(self) -> str:
        """SQL for the store's own clock, in microseconds; it stands still within a statement."""
        return _NOW[self.dialect]

    @contextmanager
    def write(self, rank: Rank = "plain") -> Iterator[Connection]:
        """A transaction that commits when the block ends and is undone when it raises.

        On SQLite it is the only writer from its first statement on, and `rank` is its place among
        those that wait. Raises StoreDown, Conflict.
        """
        turn = nullcontext() if self._queue is None else self._queue.turn(rank)
        with turn:
            # All of it within the turn: the next writer must know that this one failed, and nobody
            # else may hold the connection that is thrown away here.
            try:
                with self.translated():
                    if self._suspect:
                        self._begin_anew()
                    with self._writer.begin() as connection:
                        yield connection
            except StoreDown as fault:
                self._note_store_fault(fault)
                raise
            self.unwritable = ""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot; writing raises StoreDown."""
        with self.translated(), self._reader.begin() as connection:
            yield connection

    def watch(self) -> Connection:
        """A PostgreSQL connection of its own, outside any pool, each statement by itself."""
        assert self._watcher is not None
        return self._watcher.connect()

    def check_lock(self) -> None:
        """Raise Conflict when the directory is not ours any more."""
        self._directory.check()

    def _note_store_fault(self, fault: StoreDown) -> None:
        """See what a failed change says of the store itself."""
        cause = fault.__cause__
        name = _engine_name_of_fault(cause) if isinstance(cause, self._errors) else ""
        if name.startswith(_UNWRITABLE):
            self.unwritable = f"the store takes no changes ({name})"
        self._suspect = self._suspect or name.startswith(_FAILED_IO)

    def _begin_anew(self) -> None:
        """After a failed write or sync: nothing is built on what the page cache says was written.

        A new connection copies every committed change into the database and syncs it, and begins
        the write-ahead log from its start. Raises the driver's errors; then it is tried again.
        """
        self._writer.dispose()
        raw = self._writer.raw_connection()
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            raw.close()
        self._suspect = False

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's exceptions into ours; the cause stays attached for the log."""
        try:
            yield
        except self._errors as fault:
            if isinstance(fault, IntegrityError) and _engine_name_of_fault(fault) != _FENCE:
                raise Conflict("the change clashes with what is already there") from fault
            # PostgreSQL keeps no NUL in a text, say: that is the caller's fault, not the store's.
            if isinstance(fault, DataError):
                raise Invalid("something in it is no text or number that can be kept") from fault
            raise StoreDown(f"the store failed ({_engine_name_of_fault(fault)})") from fault

    def close(self) -> None:
        """Close the connections and let another process use the directory."""
        self._reader.dispose()
        self._writer.dispose()
        if self._watcher is not None:
            self._watcher.dispose()
        # Last: while a connection is open no other process may use the directory.
        self._directory.release()


def open_database(url: str, directory: Path) -> Database:
    """Open PostgreSQL at `url`, or SQLite at `DIRECTORY/gatelodge.db` when it is empty.

    Takes the lock of the directory either way. Raises Conflict (another process holds it), Invalid
    (no such kind of URL) and StoreDown (not writable, not reachable).
    """
    target = _postgres_url(url) if url else None
    with ExitStack() as opened:
        # First of all: two processes must not both judge, or make, what lies in the directory.
        lock = DirectoryLock(directory)
        opened.callback(lock.release)
        database = _open_sqlite(directory, lock) if target is None else _open_postgres(target, lock)
        opened.callback(database.close)
        with database.write():
            pass  # the first connection: better refused now than at the first change
        opened.pop_all()
    return database


def _open_sqlite(directory: Path, lock: DirectoryLock) -> Database:
    path = directory / "gatelodge.db"
    # Asked before there is a file: SQLite would begin an empty history after one that was signed.
    _refuse_a_lost_one(path)
    try:
        # SQLite would follow a link that stands there, and make the file as the umask says.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as fault:
        raise StoreDown(
            f"cannot write {path}: {fault.strerror}",
            remedy="Give this process's user the right to write it.",
        ) from fault

    def for_writing() -> sqlite3.Connection:
        # With a level the driver would begin transactions itself, and deferred ones.
        made = sqlite3.connect(
            path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        return _prepared(
            made,
            "journal_mode=WAL",
            # With NORMAL a loss of power takes the last commits, perhaps an end of access.
            "synchronous=FULL",
            "foreign_keys=ON",
            # What is taken away, such as a value of the vault, is overwritten in its page.
            "secure_delete=FAST",
            # Without a limit the write-ahead log stays as large as its largest burst made it.
            f"journal_size_limit={64 * 1024 * 1024}",
        )

    def for_reading() -> sqlite3.Connection:
        made = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        return _prepared(made, "query_only=ON")

    writer = create_engine(
        "sqlite://", creator=for_writing, poolclass=QueuePool, pool_size=1, max_overflow=0
    )
    reader = create_engine(
        "sqlite://", creator=for_reading, poolclass=QueuePool, pool_size=_READERS, max_overflow=0
    )
    # The lock comes before the first read: a change is judged on the very state that it changes.
    event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    # Without BEGIN each statement of a reader would see another snapshot.
    event.listen(reader, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return Database(writer, reader, None, lock)


def _prepared(made: sqlite3.Connection, *pragmas: str) -> sqlite3.Connection:
    """The connection as it is to be; closed again when that fails. Raises the driver's errors."""
    try:
        for pragma in pragmas:
            made.execute(f"PRAGMA {pragma}")
    except BaseException:
        made.close()
        raise
    return made


def _refuse_a_lost_one(path: Path) -> None:
    """Raise LogForked where there is no database, though what is made after it is there.

    A crash in the first start leaves an empty file at most, and neither guard nor journal.
    """
    if path.exists() and path.stat().st_size:
        return
    after = (path.parent / "guard" / "signed.json", *(path.parent / "journal").glob("*.seg"))
    for each in after:
        if each.exists():
            raise LogForked(
                f"{path} is missing or empty, though {each} belongs to it",
                remedy="Put the database back from its newest backup; read docs/operations.md.",
            )


def _open_postgres(url: URL, lock: DirectoryLock) -> Database:
    given = url.query.get("options", "")
    said = given if isinstance(given, str) else given[-1]  # twice in a URL: as libpq has it
    connect = {**_POSTGRES_CONNECT, "options": with_ours(said, _POSTGRES_OPTIONS)}
    engine = create_engine(
        url,
        connect_args=connect,
        pool_size=_READERS,
        max_overflow=3,  # an end of access and what a server caused have threads of their own
        pool_timeout=WAIT_SECONDS,
        # A database that was restarted costs no change: a dead connection is found before its use.
        pool_pre_ping=True,
        use_native_hstore=False,
    )
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    watcher = create_engine(
        url,
        connect_args={**connect, **_POSTGRES_WATCH},
        poolclass=NullPool,
        # Each look sees the present head, and no transaction is left open between two looks.
        isolation_level="AUTOCOMMIT",
        use_native_hstore=False,
    )
    return Database(engine, reader, watcher, lock)


def _postgres_url(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError:
        target = None
    if target is None or target.drivername not in ("postgresql", "postgres"):
        raise Invalid(
            "store.url is not a PostgreSQL URL",
            remedy="Write postgresql://user@host/database, or leave it empty for SQLite.",
        )
    return target.set(drivername="postgresql+psycopg")


def _driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    """What may come out of a block: SQLAlchemy's errors, and the raw driver's beneath it."""
    driver: type[Exception] = engine.dialect.import_dbapi().Error
    return (SQLAlchemyError, driver)


def _engine_name_of_fault(fault: BaseException) -> str:
    """The engine's own short name of the fault; its text may hold values, so it is not shown."""
    raw = fault.orig if isinstance(fault, DBAPIError) else fault
    name = getattr(raw, "sqlite_errorname", None) or getattr(raw, "sqlstate", None)
    return str(name or type(raw).__name__)
