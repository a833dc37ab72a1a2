"""A ledger and its sessions on either engine, for the suites that need a real one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

from gatelodge.adapters.keys.sources import open_keys
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import SCRIPTS, VERSION_TABLE
from gatelodge.core.records.governance import GovFact, gov_leaf
from gatelodge.core.records.origin import GOV

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


def sqlite_sessions(path: Path) -> Sessions:
    """SQLite in a file, made when it is new."""
    fresh = not path.exists()
    engine = create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})
    event.listen(engine, "begin", lambda each: each.exec_driver_sql("BEGIN"))
    return _made(Sessions(engine), fresh)


def postgres_sessions(url: str, *, fresh: bool = True) -> Sessions:
    """An empty PostgreSQL database with the tables of the ledger."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    return _made(Sessions(engine), fresh)


def _made(sessions: Sessions, fresh: bool) -> Sessions:
    if fresh:
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
