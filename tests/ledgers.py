"""A database, a ledger and its sessions on either engine, for the suites that need a real one.

On SQLite the migrations make one for all tests, and each is given a copy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

from gatelodge.adapters.keys.sources import open_keys
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.copying import DATABASE
from gatelodge.adapters.store.database import Database, open_database
from gatelodge.adapters.store.migrate import SCRIPTS, VERSION_TABLE, migrate
from gatelodge.core.records.governance import GovFact, gov_leaf
from gatelodge.core.records.leaves import LogOpened, RequestAnswered, encode
from gatelodge.core.records.origin import GOV, LogOrigins

SEAL = HeadSeal(b"k" * 32)


class Sessions:
    """The write and read transactions that the app gives to the ledger."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = Lock()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._lock, self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    def ledger(self) -> SqlLedger:
        return SqlLedger(self.write, self.read, SEAL)


def new_database(directory: Path, url: str = "") -> Database:
    """An open database at the newest schema, with no row in it."""
    if url:
        opened = open_database(url, directory)
        migrate(opened)
        return opened
    put_database(directory)
    return open_database("", directory)


def put_database(directory: Path) -> None:
    """Write one into a data directory, which need not be there yet."""
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / DATABASE).write_bytes(_migrated_database())


@cache
def _migrated_database() -> bytes:
    with TemporaryDirectory() as at:
        made = open_database("", Path(at))
        migrate(made)
        made.close()
        return (Path(at) / DATABASE).read_bytes()


def sqlite_sessions(path: Path) -> Sessions:
    """SQLite in a file, made when it is new."""
    if not path.exists():
        path.write_bytes(_migrated_ledger())
    return _sqlite(path)


def _sqlite(path: Path) -> Sessions:
    engine = create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})
    event.listen(engine, "begin", lambda each: each.exec_driver_sql("BEGIN"))
    return Sessions(engine)


@cache
def _migrated_ledger() -> bytes:
    with TemporaryDirectory() as at:
        path = Path(at) / "ledger.db"
        made = _made(_sqlite(path))
        made.engine.dispose()
        return path.read_bytes()


def postgres_sessions(url: str, *, fresh: bool = True) -> Sessions:
    """An empty PostgreSQL database with the tables of the ledger."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    made = Sessions(engine)
    return _made(made) if fresh else made


def _made(sessions: Sessions) -> Sessions:
    with sessions.write() as connection:
        # By the migrations: tables and triggers are then those of a gate.
        settings = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        settings.set_main_option("script_location", str(SCRIPTS))
        command.upgrade(settings, "head")
    return sessions


def grow_gov_log(directory: Path, leaves: int, url: str = "") -> None:
    """Append so many changes that mean nothing, as the gate itself would have."""
    seal = HeadSeal(open_keys(f"file:{directory}/keys", create=False).journal)
    fact = GovFact(t="group.created", by="system", workspace="", subject={"group": "grp_none"})
    leaf = gov_leaf(fact, "2026-11-22T12:00:00.000000Z", "nod_none")
    database = open_database(url, directory)
    try:
        with database.write() as connection:
            logs.append_leaves(connection, seal, GOV, [leaf] * leaves)
    finally:
        database.close()


def grow_calls_log(directory: Path, log: str, leaves: int, url: str = "") -> None:
    """Append so many records of requests of nobody to a workspace's log, as the gate would have."""
    seal = HeadSeal(open_keys(f"file:{directory}/keys", create=False).journal)
    leaf = RequestAnswered(
        at="2026-11-22T12:00:00.000000Z",
        bytes_in=1,
        bytes_out=2,
        gov=1,
        method="ping",
        ms=1,
        node="nod_none",
        outcome="ok",
        proto="2025-06-18",
    )
    database = open_database(url, directory)
    try:
        with database.write() as connection:
            origin = LogOrigins("", logs.shard(connection))(log)
            if not logs.open_log(connection, log, origin).size:
                first = LogOpened(at=leaf.at, node=leaf.node, origin=origin)
                logs.append_leaves(connection, seal, log, [encode(first)])
            logs.append_leaves(connection, seal, log, [encode(leaf)] * leaves)
    finally:
        database.close()
