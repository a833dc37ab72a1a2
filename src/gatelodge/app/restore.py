"""A restore: a backup becomes a data directory that goes on, in a new shard of every log.

What was signed after the backup is lost, and a log must never be continued from before what it
signed. So the logs of the backup become past ones (`gov@1`), read and proven as ever; new ones
begin under origins of their own (`.../gov@2`), and the first leaf says what is known of the loss.
What was revoked since cannot be known either: every token ends.

The directory is made aside and renamed last: a crash leaves what was there, or a directory aside.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.keys.disk import DiskKeys
from gatelodge.adapters.keys.sources import open_keys
from gatelodge.adapters.keys.system import SystemClock, SystemIds
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.guard import FileGuard
from gatelodge.adapters.ledger.past import leave_behind, past_heads
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.copying import DATABASE, synced
from gatelodge.adapters.store.database import Database, open_database
from gatelodge.adapters.store.migrate import migrate
from gatelodge.adapters.store.place.lock import DirectoryLock
from gatelodge.adapters.store.tx import SqlTx
from gatelodge.app.backup import KEYS, SETTINGS, Manifest, read_manifest
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Conflict, HouseError, KeyMismatch, StoreDown
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Credential, Workspace
from gatelodge.core.records.governance import gov_leaf
from gatelodge.core.records.origin import GOV, Origins, gate_of
from gatelodge.flows.act import Act
from gatelodge.flows.identity import tokens
from gatelodge.flows.identity.keys import enrol, enrolled

_GUARD = Path("guard", "signed.json")
_ENROLLED = b'"t":"key.enrolled"'
_EVER = 10_000

Signed = Mapping[str, tuple[int, bytes]]


class Asked(Struct, frozen=True, kw_only=True):
    """What to restore, in whose name, and what may go for it.

    `replace` lets an old data directory be moved aside; `guard` is a guard file of the lost house.
    """

    source: Path
    by: str
    why: str = ""
    replace: bool = False
    guard: Path | None = None


class Restored(Struct, frozen=True, kw_only=True):
    """What came of it. `signed` is what is known of each log from before the loss."""

    data_dir: str
    shard: int
    backup_at: str
    ended: int
    logs: dict[str, int]
    signed: dict[str, int]
    moved_to: str = ""


def restore(settings: Settings, asked: Asked) -> Restored:
    """Make a data directory from a backup; it serves nobody until `gatelodge up`.

    Raises Invalid (no backup), Conflict (something is there, in use, or PostgreSQL), KeyMismatch.
    """
    if settings.store.url:
        raise Conflict(
            "the store is PostgreSQL, which is restored by its own means",
            remedy="See docs/operations.md, 'Restored database'.",
        )
    home = Path(settings.data_dir).absolute()
    made = read_manifest(asked.source)
    aside = _free(home, replace=asked.replace)
    signed = _known(asked.guard, home / _GUARD if aside else None)
    new = home.with_name(home.name + ".restoring")
    try:
        _laid_out(asked.source, new, home if aside else None)
        result = _cut_off(new, asked, made, signed)
        FileGuard(new / _GUARD).keep(_past_heads(new))
        if aside:
            home.rename(aside)
        elif home.exists():
            home.rmdir()
        # A crash here leaves no data directory, the old one aside and the new one beside it: run
        # the restore again.
        new.rename(home)
        synced(home.parent)
    except OSError as fault:
        raise StoreDown(f"{home} cannot be restored: {fault.strerror}") from fault
    return Restored(
        data_dir=str(home),
        shard=result[0],
        backup_at=made.at,
        ended=result[1],
        logs={log: each.size for log, each in made.logs.items()},
        signed={log: each[0] for log, each in signed.items()},
        moved_to=str(aside or ""),
    )


def _past_heads(directory: Path) -> Signed:
    """The past logs of the new directory: what its guard has to know from the beginning."""
    database = open_database("", directory)
    try:
        with database.read() as connection:
            return {head.log: (head.size, head.root) for head in past_heads(connection)}
    finally:
        database.close()


def _free(home: Path, *, replace: bool) -> Path | None:
    """Where the old data directory goes, None when there is none. Raises Conflict."""
    if not home.exists() or not any(home.iterdir()):
        return None
    if not replace:
        raise Conflict(
            f"{home} is there already",
            remedy="Say --replace to move it aside, or choose another --data-dir.",
        )
    DirectoryLock(home).release()  # nobody may be using it
    number = 1
    while (aside := home.with_name(f"{home.name}.lost-{number}")).exists():
        number += 1
    return aside


def _known(given: Path | None, old: Path | None) -> Signed:
    """What is known to have been signed, from the guards that are left; the larger counts."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in (given, old):
        if path is None or not path.exists():
            continue
        try:
            guard = FileGuard(path)
        except HouseError:
            if path == given:
                raise
            continue  # the old directory's may be what was lost
        for log in guard.logs:
            last = guard.last(log)
            if last is not None and last[0] > found.get(log, (-1, b""))[0]:
                found[log] = last
    return found


def _laid_out(source: Path, new: Path, old: Path | None) -> None:
    shutil.rmtree(new, ignore_errors=True)  # left by a crash, never used
    new.mkdir(mode=0o700, parents=True)
    shutil.copyfile(source / DATABASE, new / DATABASE)
    (new / DATABASE).chmod(0o600)
    keys = [each for each in (source / KEYS, old / KEYS if old else None) if each and each.exists()]
    if not keys:
        raise KeyMismatch(
            "the backup holds no keys",
            remedy=f"Put the house's keys/ into {source}, and try again.",
        )
    shutil.copytree(keys[0], new / KEYS)
    if (source / SETTINGS).exists():
        shutil.copy2(source / SETTINGS, new / SETTINGS)


def _cut_off(new: Path, asked: Asked, made: Manifest, signed: Signed) -> tuple[int, int]:
    """Turn the page in one transaction; returns the new shard, and how many tokens ended."""
    keys = open_keys(f"file:{new}/{KEYS}", create=False)
    database = open_database("", new)
    try:
        migrate(database)
        return _turn(database, keys, asked, _stated(made, signed))
    finally:
        database.close()


def _turn(
    database: Database, keys: DiskKeys, asked: Asked, stated: dict[str, dict[str, str]]
) -> tuple[int, int]:
    clock, ids, seal = SystemClock(), SystemIds(), HeadSeal(keys.journal)
    with database.write() as connection:
        gov = logs.head(connection, GOV)
        told = logs.containing(connection, GOV, _ENROLLED, (0, gov.size), _EVER)
        keys.check(enrolled(leaf.body for leaf in told))
        old = logs.shard(connection)
        leave_behind(connection, old)
        origins = Origins(gate_of(gov.origin), old + 1)
        logs.open_log(connection, GOV, origins(GOV))
        tx = SqlTx(connection, writable=True)
        act = Act(tx=tx, by=asked.by, at=clock.now(), ids=ids, why=asked.why)
        act.record("log.restored", "", shard=old + 1, **stated)
        enrol(act, keys.fingerprints())
        live = [
            token
            for place in tx.find(Workspace)
            for token in tx.find(Credential, workspace=place.id, revoked_at=None)
        ]
        ended = tokens.end(act, *live)
        at, node = rfc3339(clock.now()), ids.new("nod")
        bodies = [gov_leaf(fact, at, node) for fact in tx.facts]
        logs.append_leaves(connection, seal, GOV, bodies)
    return old + 1, len(ended)


def _stated(made: Manifest, signed: Signed) -> dict[str, dict[str, str]]:
    """What the first leaf says: the logs as they came back, and as they are known to have been."""
    return {
        "restored": {log: f"{each.size} {each.root.hex()}" for log, each in made.logs.items()},
        "signed": {log: f"{size} {root.hex()}" for log, (size, root) in signed.items()},
    }
