"""Brings a database to the shape that this version of the code expects; never back.

Alembic costs half a second to import, so the version row is read by plain SQL first and Alembic
is met only when there is something to do.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from gatelodge.adapters.store.copying import DATABASE, copy_sqlite
from gatelodge.adapters.store.database import Database
from gatelodge.core.errors import Conflict

HEAD = "0013"
VERSION_TABLE = "schema_version"
SCRIPTS = Path(__file__).parent / "migrations"

_LOCK = text("SELECT pg_advisory_xact_lock(7462119843)")  # one node migrates, the others wait


def brought_up(database: Database, directory: Path, *, upgrade: bool) -> None:
    """Make the schema of a new database; change that of an older one only with `upgrade`.

    SQLite is copied first, to `gatelodge.db.schema-VERSION` beside it. Raises Conflict when the
    database is of an older version and nobody said that it may be changed: a command that reads
    must not be what takes the way back.
    """
    with database.read() as connection:
        found = version(connection)
    if found is not None and found < HEAD:
        if not upgrade:
            raise Conflict(
                f"the database has the schema {found} of an older version; this one needs {HEAD}",
                remedy="Start it with `gatelodge up`, which copies the database, then changes it.",
            )
        if database.dialect == "sqlite":
            # Anew each time: after an attempt that failed the older version may have gone on.
            copied = directory / f"{DATABASE}.schema-{found}"
            copy_sqlite(directory / DATABASE, copied, renew=True)
    migrate(database)


def migrate(database: Database) -> bool:
    """Bring the schema to `HEAD` in one transaction; true when the database was empty before.

    Raises Conflict when a newer version of gatelodge has already changed it.
    """
    with database.read() as connection:
        found = version(connection)
    if found == HEAD:
        return False
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(_LOCK)
        # Another node may have migrated while this one waited for the lock.
        found = version(connection)
        if found != HEAD:
            _run_alembic_upgrade(connection, found)
    return found is None


def version(connection: Connection) -> str | None:
    """The schema's version, None when there is no schema yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()  # noqa: S608
    return None if row is None else str(row[0])


def _run_alembic_upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    # Alembic's settings give a percent sign a meaning, and an installation's path may hold one.
    settings.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    settings.set_main_option("recursive_version_locations", "true")
    known = {each.revision for each in ScriptDirectory.from_config(settings).walk_revisions()}
    if found is not None and found not in known:
        raise Conflict(
            f"the database has schema {found}, which this version does not know",
            remedy="Start the newer gatelodge that made it, or restore a backup.",
        )
    command.upgrade(settings, HEAD)
