"""A whole copy of an SQLite database, taken in one moment while others write to it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from gatelodge.core.errors import Conflict, StoreDown

DATABASE = "gatelodge.db"


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy the database, check the copy, make it durable. Raises StoreDown, Conflict (it is there).

    The copy is one file without a journal of its own. A crash leaves `TARGET.part`, never used.
    """
    if target.exists():
        raise Conflict(f"{target} is there already", remedy="Move it away, and try again.")
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(part)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
            told = new.execute("PRAGMA quick_check").fetchone()
        if told != ("ok",):
            raise StoreDown(f"the copy of {source} is not sound", remedy="Look at the disk.")
        synced(part)
        part.rename(target)
        synced(target.parent)
    except (OSError, sqlite3.Error) as fault:
        part.unlink(missing_ok=True)
        raise StoreDown(f"{source} cannot be copied to {target}: {fault}") from fault


def synced_whole(directory: Path) -> None:
    """Make a directory with all that is in it durable."""
    for place, _, files in os.walk(directory):
        for name in files:
            synced(Path(place, name))
        synced(Path(place))


def synced(path: Path) -> None:
    """Make a file or directory durable."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
