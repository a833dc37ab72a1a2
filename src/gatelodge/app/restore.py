"""A restore: a backup becomes a data directory that goes on, in a new shard of every log.

What was signed after the backup is lost, and a log must never be continued from before what it
signed. So the logs of the backup become past ones (`gov@1`), read and proven as ever; new ones
begin under origins of their own (`.../gov@2-` and a random mark, since one backup can be restored
more than once), and the first leaf says what is known of the loss. What was revoked since cannot be
known either: every token ends.

The directory is made aside and renamed last: a crash leaves what was there, or a directory aside.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.files import sync_path
from gatelodge.adapters.keys.disk import DiskKeys
from gatelodge.adapters.keys.sources import open_keys
from gatelodge.adapters.keys.system import SystemClock, SystemIds
from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.guard import FileGuard
from gatelodge.adapters.ledger.past import check_sealed, leave_behind, past_heads
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.adapters.store.copying import DATABASE, synced_whole
from gatelodge.adapters.store.database import Database, open_database
from gatelodge.adapters.store.migrate import migrate
from gatelodge.adapters.store.place.lock import DirectoryLock
from gatelodge.adapters.store.tx import SqlTx
from gatelodge.app.backup import KEYS, SECRETS, SETTINGS, BackupManifest, read_manifest
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Conflict, HouseError, Invalid, KeyMismatch, StoreDown
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Credential, Workspace
from gatelodge.core.records.governance import gov_leaf
from gatelodge.core.records.origin import (
    GOV,
    LogOrigins,
    gate_of,
    is_past,
    number_of,
    past,
    shard_of,
)
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.identity import tokens
from gatelodge.flows.identity.keys import enrol, enrolled

_GUARD = Path("guard", "signed.json")
_ENROLLED = b'"t":"key.enrolled"'
_EVER = 10_000

_MARK_OCTETS = 8
_LOGS_IN_A_LEAF = 150

Signed = Mapping[str, tuple[int, bytes]]


class RestoreRequest(Struct, frozen=True, kw_only=True):
    """What to restore, in whose name, and what may go for it.

    `replace` lets an old data directory be moved aside; `guard` is a guard file of the lost house.
    """

    source: Path
    by: str
    why: str = ""
    replace: bool = False
    guard: Path | None = None


class RestoreResult(Struct, frozen=True, kw_only=True):
    """What came of it. `signed` is what is known of each log from before the loss.

    The logs bear the number of their shard: `gov@1`.
    """

    data_dir: str
    shard: int
    backup_at: str
    ended: int
    logs: dict[str, int]
    signed: dict[str, int]
    moved_to: str = ""


def restore(settings: Settings, asked: RestoreRequest) -> RestoreResult:
    """Make a data directory from a backup; it serves nobody until `gatelodge up`.

    Raises Invalid (no backup, no guard file), KeyMismatch, and Conflict: something is there, it is
    in use, or the store is PostgreSQL.
    """
    if settings.store.url:
        raise Conflict(
            "the store is PostgreSQL, which is restored by its own means",
            remedy="See docs/operations.md, 'Restored database'.",
        )
    home = Path(settings.data_dir).absolute()
    made = read_manifest(asked.source)
    with _nobody_in(home, replace=asked.replace) as aside:
        new = home.with_name(home.name + ".restoring")
        old = home if aside else _aside_of_crashed_restore(home, new)
        known = _merge_guard_files(asked.guard, old / _GUARD if old else None)
        try:
            _laid_out(asked.source, new, old)
            shard, ended = _cut_off(new, asked, made, known)
            # The new guard knows the past logs from the start: it is what tells when one is put
            # back.
            FileGuard(new / _GUARD).keep(_past_heads(new), shard)
            synced_whole(new)
            _swap_in_new_directory(new, home, aside)
        except OSError as fault:
            raise StoreDown(f"{home} cannot be restored: {fault.strerror or fault}") from fault
        finally:
            _remove_failed_restore(new, old, home)
    return RestoreResult(
        data_dir=str(home),
        shard=shard,
        backup_at=made.at,
        ended=ended,
        logs={log: size for log, (size, _) in _logs_of_backup(made).items()},
        signed={log: size for log, (size, _) in known.signed.items()},
        moved_to=str(aside or ""),
    )


def _swap_in_new_directory(new: Path, home: Path, aside: Path | None) -> None:
    """The new directory stands where the old one stood, or all is as it was. Raises OSError."""
    if aside:
        home.rename(aside)
    # A crash here leaves no data directory, the old one aside and the new one beside it: the
    # next restore goes by both. An empty directory is replaced by the rename itself.
    try:
        new.rename(home)
    except OSError:
        if aside:
            aside.rename(home)
        raise
    sync_path(home.parent)


def _remove_failed_restore(new: Path, old: Path | None, home: Path) -> None:
    """Nothing is left of a restore that failed, but for the sign that a crash once cut one off."""
    if not new.exists():
        return
    shutil.rmtree(new, ignore_errors=True)
    if old is not None and old != home:
        new.mkdir(mode=0o700, exist_ok=True)


def _aside_of_crashed_restore(home: Path, new: Path) -> Path | None:
    """The directory that a restore moved aside before a crash cut it off."""
    moved = [each for each in home.parent.glob(f"{home.name}.lost-*") if _place_of(each)]
    return max(moved, key=_place_of) if new.exists() and moved else None


def _place_of(aside: Path) -> int:
    number = aside.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _past_heads(directory: Path) -> Signed:
    """The past logs of the new directory: what its guard has to know from the beginning."""
    database = open_database("", directory)
    try:
        with database.read() as connection:
            return {head.log: (head.size, head.root) for head in past_heads(connection)}
    finally:
        database.close()


@contextmanager
def _nobody_in(home: Path, *, replace: bool) -> Iterator[Path | None]:
    """Where the old data directory goes, None when there is none; no gate begins to use it.

    Raises Conflict.
    """
    if os.path.ismount(home):
        raise Conflict(
            f"{home} is the root of a mounted disk, which nothing can be put in the place of",
            remedy="Restore into a directory below it, and let data_dir name that one.",
        )
    if home.exists() and not home.is_dir():
        raise Conflict(
            f"{home} is there already, and is no directory",
            remedy="Move it away, or choose another --data-dir.",
        )
    if not home.exists() or not any(home.iterdir()):
        yield None
        return
    if not replace:
        raise Conflict(
            f"{home} is there already",
            remedy="Say --replace to move it aside, or choose another --data-dir.",
        )
    lock = DirectoryLock(home)
    try:
        moved = [_place_of(each) for each in home.parent.glob(f"{home.name}.lost-*")]
        yield home.with_name(f"{home.name}.lost-{max(moved, default=0) + 1}")
    finally:
        lock.release()


class _KnownSignature(Struct, frozen=True):
    """What was signed, as far as it is known, and the highest number of a shard that was begun."""

    signed: Signed
    shard: int


def _merge_guard_files(given: Path | None, old: Path | None) -> _KnownSignature:
    """What the guards say that are left; the larger counts. Raises Invalid, LogForked."""
    if given is not None and not os.path.exists(given):  # noqa: PTH110 - also false where one may not look
        # Without it a signature that somebody holds would not be told of as lost.
        raise Invalid(
            f"the guard file {given} is not there, or this account cannot reach it",
            remedy="Name the guard/signed.json that is left, or leave out --guard.",
        )
    found: dict[str, tuple[int, bytes]] = {}
    shard = 1
    for path in (given, old):
        if path is None or not path.exists():
            continue
        try:
            guard = FileGuard(path)
        except HouseError:
            if path == given:
                raise
            continue  # the old directory's may be what was lost
        shard = max(shard, guard.shard)
        for log in guard.logs:
            name, last = _log_name_with_shard(log, guard.shard), guard.last(log)
            if last is not None and last[0] > found.get(name, (-1, b""))[0]:
                found[name] = last
    return _KnownSignature(found, shard)


def _logs_of_backup(made: BackupManifest) -> Signed:
    """The logs as they come back."""
    shard = _shard_of(made)
    return {
        _log_name_with_shard(log, shard): (each.size, each.root) for log, each in made.logs.items()
    }


def _shard_of(made: BackupManifest) -> int:
    return number_of(shard_of(made.logs[GOV].origin)) if GOV in made.logs else 1


def _log_name_with_shard(log: str, shard: int) -> str:
    """The log with the number of its shard, which says of which it is in any house of its line."""
    return log if is_past(log) else past(log, shard)


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
    given = [source / SECRETS, *([old / SECRETS] if old else [])]
    kept = next((each for each in given if each.is_dir()), None)
    if kept is not None:
        shutil.copytree(kept, new / SECRETS)
    if (source / SETTINGS).exists():
        shutil.copy2(source / SETTINGS, new / SETTINGS)


def _cut_off(
    new: Path, asked: RestoreRequest, made: BackupManifest, known: _KnownSignature
) -> tuple[int, int]:
    """Turn the page in one transaction; returns the new shard, and how many tokens ended."""
    keys = open_keys(f"file:{new}/{KEYS}", create=False)
    database = open_database("", new)
    try:
        migrate(database)
        return _begin_new_shard(database, keys, asked, _logs_of_backup(made), known)
    finally:
        database.close()


def _begin_new_shard(
    database: Database, keys: DiskKeys, asked: RestoreRequest, back: Signed, known: _KnownSignature
) -> tuple[int, int]:
    clock, ids, seal = SystemClock(), SystemIds(), HeadSeal(keys.journal)
    with database.write() as connection:
        gov = logs.head(connection, GOV)
        told = logs.containing(connection, GOV, _ENROLLED, (0, gov.size), _EVER)
        # The new logs are signed with these keys, and nothing that is sealed opens without them.
        keys.check(enrolled(leaf.body for leaf in told))
        # A backup that somebody wrote into is no history to begin a shard behind.
        check_sealed(connection, seal)
        old = number_of(logs.shard(connection))
        # A number that no house of this line is known to have had, and a mark that none has.
        number = 1 + max(old, known.shard)
        leave_behind(connection, old)
        mark = ids.random(_MARK_OCTETS).hex()
        origins = LogOrigins(gate_of(gov.origin), f"{number}-{mark}")
        logs.open_log(connection, GOV, origins(GOV))
        tx = SqlTx(connection, writable=True)
        act = GovernanceAct(tx=tx, by=asked.by, at=clock.now(), ids=ids, why=asked.why)
        for stated in _statements_of_restore(back, known.signed):
            act.record("log.restored", "", shard=number, **stated)
        enrol(act, keys.fingerprints())
        live = [
            token
            for place in tx.find(Workspace)
            for token in tx.find(Credential, workspace=place.id, revoked_at=None)
        ]
        # In the same transaction: no state exists in which the shard is there and a token is good.
        ended = tokens.end(act, *live)
        at, node = rfc3339(clock.now()), ids.new("nod")
        bodies = [gov_leaf(fact, at, node) for fact in tx.facts]
        logs.append_leaves(connection, seal, GOV, bodies)
    return number, len(ended)


def _statements_of_restore(back: Signed, signed: Signed) -> Iterator[dict[str, dict[str, str]]]:
    """What the first leaf says: the logs as they came back, and as they are known to have been.

    A house of very many logs needs several leaves for it.
    """
    names = sorted({*back, *signed}, key=lambda log: (not log.startswith(GOV), log))
    for start in range(0, len(names), _LOGS_IN_A_LEAF):
        part = names[start : start + _LOGS_IN_A_LEAF]
        yield {"restored": _heads_as_text(back, part), "signed": _heads_as_text(signed, part)}


def _heads_as_text(known: Signed, logs: list[str]) -> dict[str, str]:
    return {log: f"{known[log][0]} {known[log][1].hex()}" for log in logs if log in known}
