"""A backup: the database of one moment, the keys that open it, and what its logs were.

    DIR/backup.json    what it is: when, of which house, size and root of each log, a digest
    DIR/gatelodge.db   the whole database, checked
    DIR/keys/          unless they are kept apart, and with them DIR/secrets/
    DIR/gatelodge.toml the settings file, where it stands in the data directory

The journal is not in it: what was acknowledged before the backup began was sequenced into the logs
first. `backup.json` is written last, so that a directory without it is no backup.
"""

import shutil
import sqlite3
from contextlib import closing
from hashlib import file_digest
from pathlib import Path

import msgspec
from msgspec import Struct

import gatelodge
from gatelodge.adapters.files import replace_file
from gatelodge.adapters.keys.system import SystemClock
from gatelodge.adapters.store.copying import DATABASE, copy_sqlite, synced_whole
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Conflict, GateUnreachable, Invalid, StoreDown
from gatelodge.core.instant import rfc3339

MANIFEST = "backup.json"
KEYS = "keys"
SECRETS = "secrets"
SETTINGS = "gatelodge.toml"
_KIND = "gatelodge-backup"


class LogState(Struct, frozen=True):
    """A log as a backup holds it."""

    origin: str
    size: int
    root: bytes


class BackupManifest(Struct, frozen=True, kw_only=True):
    """What a backup is. `digest` is the hex SHA-256 of the database in it."""

    v: int = 1
    t: str = _KIND
    version: str
    at: str
    digest: str
    keys: bool
    logs: dict[str, LogState]


def take(settings: Settings, directory: Path, *, keys: bool) -> BackupManifest:
    """Back the data directory up into a new or empty one, while a gate may run on it.

    Raises Conflict (something is there, or the store is PostgreSQL), GateUnreachable, StoreDown.
    """
    if settings.store.url:
        raise Conflict(
            "the logs and the state are in PostgreSQL, which has its own means",
            remedy="Use pg_dump or continuous archiving, and keep keys/ and guard/ of each node: "
            "see docs/operations.md.",
        )
    home = Path(settings.data_dir)
    if not (home / DATABASE).exists():
        raise GateUnreachable(f"there is no gate in {home}", remedy="Name its --data-dir.")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise Conflict(f"{directory} is not empty", remedy="Choose a new directory.")
        copy_sqlite(home / DATABASE, directory / DATABASE)
        if keys:
            # Behind the database: every key that its copy enrolled is then there, and a later one
            # may be.
            shutil.copytree(home / KEYS, directory / KEYS)
        if keys and (home / SECRETS).is_dir():
            shutil.copytree(home / SECRETS, directory / SECRETS)
        if (home / SETTINGS).exists():
            shutil.copy2(home / SETTINGS, directory / SETTINGS)
        # Durable before the manifest is there, which vouches for all of it.
        synced_whole(directory)
        made = BackupManifest(
            version=gatelodge.__version__,
            at=rfc3339(SystemClock().now()),
            digest=digest_of(directory / DATABASE),
            keys=keys,
            logs=logs_in(directory / DATABASE),
        )
        replace_file(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(made), indent=1))
    except OSError as fault:
        raise StoreDown(f"the backup cannot be written: {fault.strerror or fault}") from fault
    return made


def read_manifest(directory: Path) -> BackupManifest:
    """What this backup says of itself, after its database was compared with it.

    Raises Invalid when it is none, or is not whole.
    """
    try:
        made = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=BackupManifest)
        whole = digest_of(directory / DATABASE) == made.digest
    except (OSError, msgspec.MsgspecError):
        raise Invalid(
            f"{directory} is no backup", remedy="Name a directory that `gatelodge backup` made."
        ) from None
    if made.t != _KIND or made.v != 1 or not whole:
        raise Invalid(
            f"the backup in {directory} is not whole, or of another version",
            remedy="Take another one; nothing was changed.",
        )
    return made


def digest_of(path: Path) -> str:
    """The hex SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def logs_in(database: Path) -> dict[str, LogState]:
    """Every log in a database that nobody writes."""
    uri = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute("SELECT id, origin, size, root FROM log ORDER BY id")
        return {row[0]: LogState(row[1], row[2], bytes(row[3])) for row in rows}
