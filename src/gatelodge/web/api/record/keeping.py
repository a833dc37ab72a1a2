"""How the logs are kept: what is signed of each, by which keys, and whether that work goes well."""

import shutil
from typing import Any

from anyio import to_thread
from litestar import get
from msgspec import Struct

from gatelodge.core.records.origin import calls_log, kind_of
from gatelodge.flows.audit.reading import ever_in_gov, fields
from gatelodge.flows.jobs.kinds import FSCK
from gatelodge.tlog import checkpoint, note
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.house import jobs
from gatelodge.web.api.house.jobs import JobShape
from gatelodge.web.api.parameters import Here, TheGate

_ENROLLED = '"t":"key.enrolled"'
_MOST_KEYS = 100


class KeptSignature(Struct, frozen=True, kw_only=True):
    """A signature of a checkpoint, by its key; `own` = the gate's, else of a witness."""

    name: str
    key_id: str
    own: bool


class KeptLog(Struct, frozen=True, kw_only=True):
    """One log: how large it is, and its newest checkpoint."""

    log: str
    origin: str
    size: int
    signed: int
    root: str
    signatures: tuple[KeptSignature, ...]


class EnrolledKeys(Struct, frozen=True, kw_only=True):
    """When keys came into use, by fingerprint; `index` is the leaf of the gov log."""

    index: int
    at: str
    keys: dict[str, Any]


class LogKeeping(Struct, frozen=True, kw_only=True):
    """The keeping of the logs on the node that answered.

    `signed_ago` is how many seconds ago all that stood in the logs was last found signed;
    `unwritten` and `unmoved` are records on their way to disk, and from the journal to the logs
    (None where a database counts them); `failing` is work that fails, with the reason, `late` work
    that hangs. Bytes are of the disk that holds the data directory.
    """

    key: str
    logs: tuple[KeptLog, ...]
    keys: tuple[EnrolledKeys, ...]
    signed_ago: float
    unwritten: int
    unmoved: int | None
    failing: dict[str, str]
    late: tuple[str, ...]
    disk_free: int
    disk_total: int
    fsck: JobShape | None = None


@get("/audit/keeping", opt={"act": "audit.read"})
async def keeping(place: Here, gate: TheGate) -> LogKeeping:
    """Show how the logs are kept: sizes, checkpoints, keys, lag, and what fails of that work."""
    inside = gate.inside
    disk = await to_thread.run_sync(shutil.disk_usage, gate.settings.data_dir)
    backlog = inside.journal.backlog
    return LogKeeping(
        key=gate.vkey,
        logs=await _kept_logs(place),
        keys=await _enrolled_keys(place),
        signed_ago=round(max(0.0, gate.clock.boottime() - inside.sequencer.signed_at), 1),
        unwritten=backlog.records,
        unmoved=backlog.frames,
        failing=inside.faults(),
        late=tuple(sorted(inside.health.late())),
        disk_free=disk.free,
        disk_total=disk.total,
        fsck=await _last_fsck(place),
    )


async def _kept_logs(place: WorkspaceContext) -> tuple[KeptLog, ...]:
    ledger = place.gate.ledger
    seen = {"gov", calls_log(place.id)}
    names = [head.log for head in await ledger.heads() if kind_of(head.log) in seen]
    # What was signed is read before the sizes, which only grow.
    signed = {name: await ledger.checkpoint(name) for name in names}
    found = []
    for head in await ledger.heads():
        if head.log not in signed:
            continue
        raw = signed[head.log]
        if raw is None:
            found.append(_kept_log(head.log, head.origin, head.size, None, ()))
            continue
        parsed = note.parse(raw)
        lines = tuple(
            KeptSignature(
                name=each.name, key_id=each.key_id.hex(), own=each.name == place.gate.signer.name
            )
            for each in parsed.signatures
        )
        found.append(
            _kept_log(head.log, head.origin, head.size, checkpoint.parse(parsed.text), lines)
        )
    return tuple(found)


def _kept_log(
    log: str,
    origin: str,
    size: int,
    signed: checkpoint.Checkpoint | None,
    signatures: tuple[KeptSignature, ...],
) -> KeptLog:
    return KeptLog(
        log=log,
        origin=origin,
        size=size,
        signed=0 if signed is None else signed.size,
        root="" if signed is None else signed.root.hex(),
        signatures=signatures,
    )


async def _enrolled_keys(place: WorkspaceContext) -> tuple[EnrolledKeys, ...]:
    # Of the whole house: they are fingerprints, which whoever checks a proof needs.
    leaves = await ever_in_gov(place.gate.ledger, _ENROLLED, _MOST_KEYS, None)
    found = []
    for leaf in leaves:
        here = fields(leaf)
        subject = here.get("subject")
        keys = subject.get("keys") if isinstance(subject, dict) else None
        told = keys if isinstance(keys, dict) else {"keys": keys}
        found.append(EnrolledKeys(index=leaf.index, at=str(here.get("at", "")), keys=told))
    return tuple(found)


async def _last_fsck(place: WorkspaceContext) -> JobShape | None:
    if not place.caller.may(FSCK.act):
        return None
    rows = await place.gate.jobs.listed(None if place.caller.local else place.caller.workspace)
    found = [each for each in rows if each.kind == FSCK.name]
    newest = max(found, key=lambda each: each.asked_at, default=None)
    return None if newest is None else jobs.shape_of_job(newest)


ROUTES = (keeping,)
