"""Whether this node lives, whether it can serve, and what an admin wants to know of it."""

from litestar import get
from msgspec import Struct

import gatelodge
from gatelodge.core.errors import Stale, Unavailable
from gatelodge.core.ids import Instant, WorkspaceId
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Workspace
from gatelodge.core.records.origin import kind_of
from gatelodge.core.view import PolicyView
from gatelodge.tlog import checkpoint, note
from gatelodge.web.api.authentication import OPEN
from gatelodge.web.api.context import AdminCaller, AdminContext
from gatelodge.web.api.parameters import TheCaller, TheGate

_LIVE_MS = 5_000
_PLAYED = (
    "what happened before the first start was made up; to begin afresh, start without --demo in "
    "another data directory"
)
_SEE = "See the gate's log, and docs/operations.md, 'What happens when'."


class AliveResponse(Struct, frozen=True):
    """The process answers; nothing more is said to strangers."""

    status: str = "ok"


class LogHead(Struct, frozen=True, kw_only=True):
    """A log: its size, the size of its newest signed checkpoint, and what the guard remembers."""

    log: str
    origin: str
    size: int
    checkpoint: int
    guard: int


class NodeLine(Struct, frozen=True, kw_only=True):
    """A node that was seen lately, and how much of the gov log it has applied."""

    node: str
    applied: int
    seen_at: str
    lease_ms: int


class NodeStatus(Struct, frozen=True, kw_only=True):
    """This node: the view it serves by, the logs, and the nodes beside it."""

    version: str
    gov: int
    fresh: bool
    unready: str
    """Why no call is served now; empty when they are."""
    remedy: str
    faults: tuple[str, ...]
    durability: str
    log_key: str
    logs: tuple[LogHead, ...]
    nodes: tuple[NodeLine, ...]
    demo: str
    """What of its data was made up by the demo, and how to begin afresh; empty for none."""


@get("/health", opt={"act": OPEN})
async def health() -> AliveResponse:
    """Say that the process answers."""
    return AliveResponse()


@get("/ready", opt={"act": OPEN})
async def ready(gate: TheGate) -> AliveResponse:
    """Say whether this node serves calls now; 503 and why when it does not."""
    fault = gate.unready()
    if fault is not None:
        raise fault
    return AliveResponse()


@get("/node", opt={"act": "audit.read"})
async def node(gate: TheGate, caller: TheCaller) -> NodeStatus:
    """Show the view, the logs and the nodes; members see their own workspace's logs and faults."""
    view = await gate.present()
    heads = await _log_heads(gate, caller)
    seen = await gate.nodes.live(_LIVE_MS)
    fault = unserving(gate)
    played = await gate.read(lambda tx: any(each.demo for each in tx.find(Workspace)))
    return NodeStatus(
        version=gatelodge.__version__,
        gov=view.gov,
        fresh=gate.fresh(),
        faults=faults_for(view, caller),
        unready="" if fault is None else fault.detail,
        remedy="" if fault is None else fault.remedy or _SEE,
        durability=gate.settings.audit.durability,
        log_key=gate.vkey,
        demo=_PLAYED if played else "",
        logs=heads,
        nodes=tuple(
            NodeLine(
                node=each.node,
                applied=each.applied,
                seen_at=rfc3339(Instant(each.seen_at)),
                lease_ms=each.lease_ms,
            )
            for each in seen
            # A command that opened the house by itself serves nobody, and would be shown as a node.
            if each.node != gate.idle
        ),
    )


def faults_for(view: PolicyView, caller: AdminCaller) -> tuple[str, ...]:
    """What is left out of the view, as far as the caller may see it: it names tools."""
    return view.faults if caller.local else view.left_out.get(WorkspaceId(caller.workspace), ())


def unserving(gate: AdminContext) -> Unavailable | None:
    """Why this node serves no call, where it is one that should.

    A command opens the house for itself alone: it answers from the store, and needs no lease.
    """
    fault = gate.unready()
    return None if gate.idle and isinstance(fault, Stale) else fault


async def _log_heads(gate: AdminContext, caller: AdminCaller) -> tuple[LogHead, ...]:
    """The logs that the caller may see.

    What was signed is read before the sizes: a log only grows, so a size that is smaller than what
    was signed before it was read is a loss, and never a busy node.
    """
    known = [head.log for head in await gate.ledger.heads()]
    guarded = {log: gate.guard.last(log) for log in known}
    signed = {log: await gate.ledger.checkpoint(log) for log in known}
    return tuple(
        LogHead(
            log=head.log,
            origin=head.origin,
            size=head.size,
            checkpoint=_size_of_checkpoint(signed.get(head.log)),
            guard=(guarded.get(head.log) or (0, b""))[0],
        )
        for head in await gate.ledger.heads()
        if caller.local or kind_of(head.log) in {"gov", f"calls:{caller.workspace}"}
    )


def _size_of_checkpoint(signed: bytes | None) -> int:
    return checkpoint.parse(note.parse(signed).text).size if signed else 0


ROUTES = (health, ready, node)
