"""The database's door: who may write, what a reader sees, and no driver's name beyond it.

SQLite has one write connection under a process-wide lock, every transaction BEGIN IMMEDIATE, and
read connections that cannot write. That one connection alone writes and checkpoints, which also
keeps clear of the WAL-reset race of SQLite before 3.51.3 (it needs two). PostgreSQL writes at
READ COMMITTED (who must be alone takes a row lock) and reads one REPEATABLE READ snapshot.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from gatelodge.adapters.store.place.lock import DirectoryLock
from gatelodge.adapters.store.place.room import Room
from gatelodge.adapters.store.queue import WAIT_SECONDS, WriterQueue
from gatelodge.core.errors import Conflict, Invalid, LogForked, StoreDown
from gatelodge.ports.store import Rank

Dialect = Literal["sqlite", "postgresql"]

_READERS = 8
_FENCE = "SQLITE_CONSTRAINT_TRIGGER"
"""A trigger's refusal; it is no clash of rows, and PostgreSQL tells the two apart by itself."""
_FAILED_IO = "SQLITE_IOERR"
_UNWRITABLE = (
    *(_FAILED_IO, "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT"),
    *("53", "58", "25006"),  # PostgreSQL: no resources, a fault of its system, read-only
)
"""Faults of the store and its disk, by their names or by how they begin."""
_POSTGRES_OPTIONS = {
    "synchronous_commit": "on",  # a commit that was answered survives a crash of the server
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
_POSTGRES_CONNECT = {
    "application_name": "gatelodge",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
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
        self.room: Room | None = None
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

    @contextmanager
    def write(self, rank: Rank = "plain") -> Iterator[Connection]:
        """A transaction that commits when the block ends and is undone when it raises.

        On SQLite it is the only writer from its first statement on, and `rank` is its place among
        those that wait. Raises StoreDown, Conflict.
        """
        turn = nullcontext() if self._queue is None else self._queue.turn(rank)
        try:
            with self.translated(), turn:
                if self._suspect:
                    self._begin_anew()
                with self._writer.begin() as connection:
                    yield connection
        except StoreDown as fault:
            self._judge(fault)
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

    def _judge(self, fault: StoreDown) -> None:
        """See what a failed change says of the store itself."""
        cause = fault.__cause__
        name = _named(cause) if isinstance(cause, self._errors) else ""
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
            if isinstance(fault, IntegrityError) and _named(fault) != _FENCE:
                raise Conflict("the change clashes with what is already there") from fault
            if isinstance(fault, DataError):
                raise Invalid("something in it is no text or number that can be kept") from fault
            raise StoreDown(f"the store failed ({_named(fault)})") from fault

    def close(self) -> None:
        """Close the connections and let another process use the directory."""
        self._reader.dispose()
        self._writer.dispose()
        if self._watcher is not None:
            self._watcher.dispose()
        self._directory.release()


def open_database(url: str, directory: Path) -> Database:
    """Open PostgreSQL at `url`, or SQLite at `DIRECTORY/gatelodge.db` when it is empty.

    Takes the lock of the directory either way. Raises Conflict (another process holds it), Invalid
    (no such kind of URL) and StoreDown (not writable, not reachable).
    """
    target = _postgres_url(url) if url else None
    lock = DirectoryLock(directory)
    try:
        database = _sqlite(directory, lock) if target is None else _postgres(target, lock)
        with database.write():
            pass  # the first connection: better refused now than at the first change
    except BaseException:
        lock.release()
        raise
    return database


def _sqlite(directory: Path, lock: DirectoryLock) -> Database:
    path = directory / "gatelodge.db"
    _refuse_a_lost_one(path)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as fault:
        raise StoreDown(
            f"cannot write {path}: {fault.strerror}",
            remedy="Give this process's user the right to write it.",
        ) from fault

    def for_writing() -> sqlite3.Connection:
        made = sqlite3.connect(
            path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("PRAGMA synchronous=FULL")
        made.execute("PRAGMA foreign_keys=ON")
        made.execute(f"PRAGMA journal_size_limit={64 * 1024 * 1024}")
        return made

    def for_reading() -> sqlite3.Connection:
        made = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        made.execute("PRAGMA query_only=ON")
        return made

    writer = create_engine(
        "sqlite://", creator=for_writing, poolclass=QueuePool, pool_size=1, max_overflow=0
    )
    reader = create_engine(
        "sqlite://", creator=for_reading, poolclass=QueuePool, pool_size=_READERS, max_overflow=0
    )
    event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    event.listen(reader, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return Database(writer, reader, None, lock)


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


def _postgres(url: URL, lock: DirectoryLock) -> Database:
    given = str(url.query.get("options", ""))
    options = " ".join([*(f"-c {k}={v}" for k, v in _POSTGRES_OPTIONS.items()), given])
    connect = {**_POSTGRES_CONNECT, "options": options.strip()}
    engine = create_engine(
        url,
        connect_args=connect,
        pool_size=_READERS,
        max_overflow=3,  # an end of access and what a server caused have threads of their own
        pool_timeout=WAIT_SECONDS,
        pool_pre_ping=True,
        use_native_hstore=False,
    )
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    watcher = create_engine(
        url,
        connect_args={**connect, **_POSTGRES_WATCH},
        poolclass=NullPool,
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


def _named(fault: BaseException) -> str:
    """The engine's own short name of the fault; its text may hold values, so it is not shown."""
    raw = fault.orig if isinstance(fault, DBAPIError) else fault
    name = getattr(raw, "sqlite_errorname", None) or getattr(raw, "sqlstate", None)
    return str(name or type(raw).__name__)
