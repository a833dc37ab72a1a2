"""A whole copy of an SQLite database, taken in one moment while others write to it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from gatelodge.adapters.files import rename_durably, sync_path
from gatelodge.core.errors import Conflict, StoreDown

DATABASE = "gatelodge.db"


def copy_sqlite(source: Path, target: Path, *, renew: bool = False) -> None:
    """Copy the database, check the copy, make it durable. Raises StoreDown, Conflict (it is there).

    With `renew` a copy that is there is replaced, and stays as it is until the new one is whole.

    The copy is one file without a journal of its own, and without short-lived entries and jobs: a
    code that was used since is not usable again in what is restored from it, and a job that ended
    since does not go on there. A crash leaves `TARGET.part`, never used.
    """
    if target.exists() and not renew:
        raise Conflict(f"{target} is there already", remedy="Move it away, and try again.")
    part = target.with_name(target.name + ".part")
    # A crash left this one behind, half written: it is begun anew and never gone on with.
    part.unlink(missing_ok=True)
    try:
        # SQLite would make the file as the umask says, and names and e-mail addresses stand in it.
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            # Read-only, because the gate's one write connection alone may write and checkpoint.
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(part)) as new,
        ):
            # All pages in one step: a copy in steps begins again whenever somebody writes.
            old.backup(new)
            _without_entries(new)
            # The copy is in WAL mode like its source; the rename would leave side files behind.
            new.execute("PRAGMA journal_mode=DELETE")
            told = new.execute("PRAGMA quick_check").fetchone()
        if told != ("ok",):
            raise StoreDown(f"the copy of {source} is not sound", remedy="Look at the disk.")
        # Synced before it gets its name: what bears that name after a loss of power is whole.
        sync_path(part)
        rename_durably(part, target)
    except (OSError, sqlite3.Error) as fault:
        part.unlink(missing_ok=True)
        raise StoreDown(f"{source} cannot be copied to {target}: {fault}") from fault


def _without_entries(copy: sqlite3.Connection) -> None:
    # Otherwise the deleted values could still be read in the free pages of the copy.
    copy.execute("PRAGMA secure_delete=ON")
    # A database is copied before a migration too, and an older schema lacks these tables.
    there = "SELECT name FROM sqlite_master WHERE name IN ('ephemeral', 'jobs')"
    for (name,) in copy.execute(there).fetchall():
        copy.execute(f"DELETE FROM {name}")  # noqa: S608 - one of the two above
    copy.commit()


def synced_whole(directory: Path) -> None:
    """Make a directory with all that is in it durable."""
    for place, _, files in os.walk(directory):
        for name in files:
            sync_path(Path(place, name))
        sync_path(Path(place))
