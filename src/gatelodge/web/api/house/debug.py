"""What a running node has under way, for the operator on its machine: no person, no payload."""

import asyncio
from collections import Counter

from litestar import get
from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.ports.upstream import ServerLoad
from gatelodge.web.api.authentication import LOCAL_ONLY
from gatelodge.web.api.context import AdminContext
from gatelodge.web.api.parameters import TheGate

_NOTHING = ServerLoad(pending=0, sessions=0, connections=0, children=0)


class CallUnderWay(Struct, frozen=True, kw_only=True):
    """One call: its id in the log (empty before it stands there), its server, how old it is.

    `parked` = it waits for its client to answer, who has the server's questions.
    """

    call: str
    workspace: str
    server: str
    method: str
    seconds: float
    parked: bool


class ServerUnderWay(Struct, frozen=True, kw_only=True):
    """One approved server: how it is, and what is open at it now.

    `pending` are requests that wait for it, `sessions` those of callers of their own, `connections`
    and `children` what carries both.
    """

    workspace: str
    server: str
    state: str
    pending: int
    sessions: int
    connections: int
    children: int
    restarts: int


class JobUnderWay(Struct, frozen=True, kw_only=True):
    """One job that this node runs."""

    job: str
    kind: str
    stage: str
    done: int
    total: int


class TaskCount(Struct, frozen=True):
    """How many tasks of the event loop run the same piece of code."""

    name: str
    count: int


class JournalUnderWay(Struct, frozen=True, kw_only=True):
    """Records on their way: not on disk yet, and durable frames not in the logs yet.

    `frames` is null where nobody counts them (PostgreSQL).
    """

    failed: bool
    records: int
    frames: int | None
    unsigned_seconds: float
    """Since every log was last found signed as far as it went."""


class UnderWay(Struct, frozen=True, kw_only=True):
    """Everything that the node has under way; the oldest calls come first."""

    calls: tuple[CallUnderWay, ...]
    streams: int
    connections: int
    strangers: int
    """Of the connections, those over which no good token came yet."""
    servers: tuple[ServerUnderWay, ...]
    journal: JournalUnderWay
    entries: dict[str, int]
    """Short-lived entries of all nodes by kind, as they were some seconds ago."""
    jobs: tuple[JobUnderWay, ...]
    tasks: tuple[TaskCount, ...]
    failing: dict[str, str]
    """Work that fails, and why."""
    late: tuple[str, ...]
    """Work that was begun long ago and has not ended."""


@get("/debug", opt={"act": LOCAL_ONLY})
async def debug(gate: TheGate) -> UnderWay:
    """Show what this node has under way; on the gate's own machine only."""
    inside, traffic = gate.inside, gate.traffic()
    backlog = inside.journal.backlog
    return UnderWay(
        calls=_running_calls(gate),
        streams=len(inside.inflight.streams()),
        connections=traffic.open,
        strangers=traffic.strangers,
        servers=_approved_servers(gate),
        journal=JournalUnderWay(
            failed=inside.recorder.failed,
            records=backlog.records,
            frames=backlog.frames,
            unsigned_seconds=_seconds_since(gate, inside.sequencer.signed_at),
        ),
        entries=inside.entries(),
        jobs=tuple(
            JobUnderWay(job=job.id, kind=job.kind, stage=job.stage, done=job.done, total=job.total)
            for job in gate.jobs.running
        ),
        tasks=_tasks_by_name(),
        failing=inside.faults(),
        late=tuple(sorted(inside.health.late())),
    )


def _running_calls(gate: AdminContext) -> tuple[CallUnderWay, ...]:
    state = gate.view().state
    slugs = {str(each.id): each.slug for each in state.workspaces}
    aliases = {str(each.id): each.alias for each in state.servers}
    # A listen stream lasts as long as its client likes, and would always stand first as the oldest.
    running = [each for each in gate.inside.inflight.running() if each.kind == "call"]
    return tuple(
        CallUnderWay(
            call=each.call,
            workspace=slugs.get(each.workspace, ""),
            server=aliases.get(each.server, ""),
            method=each.method,
            seconds=_seconds_since(gate, each.began),
            parked=each.parked,
        )
        for each in sorted(running, key=lambda each: each.began)
    )


def _approved_servers(gate: AdminContext) -> tuple[ServerUnderWay, ...]:
    state, load = gate.view().state, gate.inside.load()
    slugs = {each.id: each.slug for each in state.workspaces}

    def told(server: Server) -> ServerUnderWay:
        health, open_now = gate.upstreams.health(server.id), load.get(server.id, _NOTHING)
        return ServerUnderWay(
            workspace=slugs.get(server.workspace, ""),
            server=server.alias,
            state=health.state,
            pending=open_now.pending,
            sessions=open_now.sessions,
            connections=open_now.connections,
            children=open_now.children,
            restarts=health.restarts,
        )

    # The others are not reached, so nothing is open at them.
    found = [told(each) for each in state.servers if each.status == "approved"]
    return tuple(sorted(found, key=lambda each: (each.workspace, each.server)))


def _tasks_by_name() -> tuple[TaskCount, ...]:
    """By the name of what they run: those of the loop are numbers, or hold an id."""
    counted = Counter(_name_of_task(each) for each in asyncio.all_tasks())
    return tuple(TaskCount(name, many) for name, many in counted.most_common())


def _name_of_task(task: "asyncio.Task[object]") -> str:
    work = task.get_coro()
    return str(getattr(work, "__qualname__", type(work).__name__))


def _seconds_since(gate: AdminContext, began: float) -> float:
    return round(max(0.0, gate.clock.boottime() - began), 3)


ROUTES = (debug,)
