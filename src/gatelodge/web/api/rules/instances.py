"""What runs of the workspace's servers on this node: looked at, and ended.

Every node tells of its own. Who may read servers may see what runs of them; what an instance wrote
may hold what it was sent, so that is for whoever may register servers.
"""

import asyncio
import contextlib
from typing import Annotated, Any, Literal

from litestar import get, post
from litestar.params import QueryParameter
from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import Conflict, NotFound
from gatelodge.core.hosting.facts import PROMISES, PromisedFact, deviations, facts_in_words
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.core.ids import Instant, is_agent
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Member
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import servers
from gatelodge.flows.hosting.attestation import attest_instance
from gatelodge.flows.hosting.pause import pause_instance
from gatelodge.flows.hosting.recorded_instance import RecordedInstance
from gatelodge.flows.hosting.tail import ErrorLine
from gatelodge.flows.identity.revocation import RevocationReceipt
from gatelodge.flows.nouns import lookup
from gatelodge.ports.runtime import InstanceStats, RuntimeGap, RuntimeOffer
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import PAGE, ItemPage, PageRequest, page
from gatelodge.web.api.parameters import Asks, Here, Limits, Named

_READ = {"act": "server.read", "noun": "instance"}
_END = {"act": "server.disable", "noun": "instance"}
_STATS_SECONDS = 2.0
_TO_RUN = {
    "disabled": "Let it serve again: gatelodge server enable {}",
    "proposed": "Approve it first: gatelodge server approve {}",
}
_LIST = "See what runs: gatelodge instance list"

After = Annotated[int, QueryParameter(ge=0, description="Lines after the one of this number.")]


class RunningInstance(Struct, frozen=True, kw_only=True):
    """One instance: whose it is (empty = shared), what runs it, what it takes now.

    What it takes is 0 where its runtime cannot tell.
    """

    id: str
    server: str
    state: Literal["running", "paused"]
    owner: str
    tier: str
    runtime: str
    isolation: str
    pid: int
    node: str
    started_at: str
    seconds: int
    memory_bytes: int
    cpu_seconds: float
    throttled_seconds: float
    processes: int


class InstanceDetail(RunningInstance, frozen=True, kw_only=True):
    """One instance with what was found of it after its start, and what its tier promises.

    `deviations` is what differs from that: nothing, or it would not run. `secrets` are told by name
    and way. `refused` are the places that it last wanted to connect to in vain, for whoever may
    register servers; they are kept in memory only.
    """

    wanted: str
    promises: str
    facts: str
    deviations: tuple[str, ...]
    image: str
    limits: InstanceLimits
    secrets: tuple[str, ...]
    refused: tuple[str, ...]


class AttestedInstance(Struct, frozen=True, kw_only=True):
    """What holds an instance at this moment, each promise of its tier beside what was found.

    `before` is what was found at its start. `deviations` is what differs from the promises: then it
    was `ended`, and its record says `isolation`.
    """

    id: str
    server: str
    at: str
    runtime: str
    source: str
    tier: str
    wanted: str
    promises: tuple[PromisedFact, ...]
    facts: str
    before: str
    deviations: tuple[str, ...]
    ended: bool


class ErrorTailShape(Struct, frozen=True, kw_only=True):
    """The last lines that instances of a server wrote to their standard error.

    `next` is the number to ask after for what comes later.
    """

    lines: tuple[ErrorLine, ...]
    next: int


class PausedInstance(Struct, frozen=True, kw_only=True):
    """Whether an instance stands still now; where its runtime cannot, what to do about that."""

    id: str
    state: Literal["running", "paused"]
    says: str = ""
    remedy: str = ""


class EndedInstances(Struct, frozen=True, kw_only=True):
    """Which instances were ended on this node, and in how many milliseconds.

    `receipt` is there when the server was disabled, and killed on every other node too.
    """

    ended: tuple[str, ...]
    ms: int
    receipt: RevocationReceipt | None = None


class RestartedServer(Struct, frozen=True, kw_only=True):
    """A server that begins anew on this node."""

    alias: str
    health: str


@get("/instances", opt=_READ)
async def listed(
    place: Here, server: Asks = "", limit: Limits = PAGE, cursor: Asks = ""
) -> ItemPage[RunningInstance]:
    """List what runs on this node, oldest first; of one server, or of all."""
    found = _visible(place)
    if server:
        row = await place.gate.read(lambda tx: lookup.server(tx, place.id, server))
        found = [each for each in found if each.server == row.id]
    told = page(found, lambda each: each.name, lambda each: each, PageRequest(limit, cursor))
    shapes = await _shapes(place, list(told.items))
    return ItemPage(items=tuple(RunningInstance(**each) for each in shapes), next=told.next)


@get("/runtimes", opt=_READ)
async def runtimes(place: Here) -> ItemPage[RuntimeOffer]:
    """Show what this node's machine can isolate, by a trial start of each runtime in use."""
    return ItemPage(items=await place.gate.hosted.offers())


@get("/instances/{name:str}", opt=_READ)
async def show(place: Here, name: Named) -> InstanceDetail:
    """Show one instance: what was found of its isolation, and what its tier promises."""
    found = _one(place, name)
    (fields,) = await _shapes(place, [found])
    facts = found.facts
    return InstanceDetail(
        **fields,
        wanted=found.wanted,
        promises=PROMISES[facts.tier],
        facts=facts_in_words(facts),
        deviations=deviations(facts, found.wanted, found.limits),
        image=found.image,
        limits=found.limits,
        secrets=found.secrets,
        refused=place.gate.hosted.refused_places(found.name)
        if place.caller.may("server.register")
        else (),
    )


@post("/instances/{name:str}/attest", opt=_END, status_code=200)
async def attest(place: Here, name: Named) -> AttestedInstance:
    """Read anew what holds one instance, on record; end it where its tier's promise is broken."""
    found = _one(place, name)
    names = await place.gate.read(lambda tx: _names(tx, place, [found]))
    before = found.facts
    told = await attest_instance(place.gate.hosted, found, place.gate.clock)
    return AttestedInstance(
        id=found.name,
        server=names.get(found.server, ""),
        at=rfc3339(told.at),
        runtime=told.facts.runtime,
        source=told.facts.source,
        tier=told.facts.tier,
        wanted=found.wanted,
        promises=told.promises,
        facts=facts_in_words(told.facts),
        before=facts_in_words(before),
        deviations=told.deviations,
        ended=told.ended,
    )


@get("/servers/{name:str}/logs", opt={"act": "server.register", "noun": "instance"})
async def logs(place: Here, name: Named, after: After = 0) -> ErrorTailShape:
    """Show the last lines that a server's instances on this node wrote to standard error."""
    row = await place.gate.read(lambda tx: lookup.server(tx, place.id, name))
    lines, last = place.gate.hosted.error_lines(row.id, after)
    return ErrorTailShape(lines=tuple(lines), next=last)


@post("/instances/{name:str}/stop", opt=_END, status_code=200)
async def stop(place: Here, name: Named) -> EndedInstances:
    """End one instance in order; the next call that needs one starts it anew."""
    return await _end_instance(place, name, "stopped", None)


@post("/instances/{name:str}/kill", opt=_END, status_code=200)
async def kill(place: Here, name: Named) -> EndedInstances:
    """Kill one instance at once; the next call that needs one starts it anew."""
    return await _end_instance(place, name, "killed", 0.0)


@post("/instances/{name:str}/pause", opt=_END, status_code=200)
async def pause(place: Here, name: Named) -> PausedInstance:
    """Have one instance stand still, its memory as it is; the next call has it go on."""
    found = _one(place, name)
    gap = await pause_instance(place.gate.upstreams, found)
    return await _record_turn(place, found, "instance.paused", gap)


@post("/instances/{name:str}/resume", opt=_END, status_code=200)
async def resume(place: Here, name: Named) -> PausedInstance:
    """Have a paused instance go on."""
    found = _one(place, name)
    gap = await found.resume()
    return await _record_turn(place, found, "instance.resumed", gap)


@post("/servers/{name:str}/kill", opt=_END, status_code=200)
async def kill_server(place: Here, name: Named) -> EndedInstances:
    """Disable a server, and kill at once what runs of it, on every node."""
    gate = place.gate
    row = await gate.read(lambda tx: lookup.server(tx, place.id, name))

    def work(act: GovernanceAct) -> tuple[str, ...]:
        ended = servers.disable(act, act.the(Server, workspace=place.id, id=row.id))
        # Each node that reads this kills what runs there, also of one that was disabled before.
        act.record("instance.ended", place.id, server=row.id, reason="killed")
        return ended.ids

    chosen = [each for each in _visible(place) if each.server == row.id]
    # Told before the view ends them in order, so that their records say what was meant.
    gate.hosted.foretell("killed", server=row.id)
    receipt = await gate.end(place.caller, ("server", row.id, place.id), "", work)
    ms = await gate.hosted.end_now(chosen, "killed")
    return EndedInstances(ended=tuple(each.name for each in chosen), ms=ms, receipt=receipt)


@post("/servers/{name:str}/restart", opt={"act": "server.approve"}, status_code=200)
async def restart(place: Here, name: Named) -> RestartedServer:
    """End what runs of a server on this node and begin anew, also when it is quarantined."""

    def work(act: GovernanceAct) -> Server:
        row = lookup.server(act.tx, place.id, name)
        if row.status != "approved":
            raise Conflict(
                f"{row.alias} is {row.status}, so nothing of it runs",
                remedy=_TO_RUN.get(row.status, "See: gatelodge server show {}").format(row.alias),
            )
        act.record("server.restarted", place.id, server=row.id)
        return row

    row = await place.gate.change(place.caller, work)
    place.gate.upstreams.restart(row.id)
    return RestartedServer(alias=row.alias, health=place.gate.upstreams.health(row.id).state)


async def _end_instance(
    place: WorkspaceContext, name: str, how: Literal["stopped", "killed"], seconds: float | None
) -> EndedInstances:
    """Write who ends it, and end it; a crash in between leaves the leaf, and ends it as well."""
    found = _one(place, name)

    def work(act: GovernanceAct) -> None:
        act.record("instance.ended", place.id, server=found.server, instance=found.name, reason=how)

    await place.gate.change(place.caller, work)
    ms = await place.gate.hosted.end_now([found], how, seconds=seconds)
    return EndedInstances(ended=(found.name,), ms=ms)


async def _record_turn(
    place: WorkspaceContext,
    found: RecordedInstance,
    kind: Literal["instance.paused", "instance.resumed"],
    gap: RuntimeGap | None,
) -> PausedInstance:
    """Write who had it stand still or go on; what did not happen is not written.

    Where it cannot be written, or the node crashes before, it goes on: nothing stands unrecorded.
    """

    def work(act: GovernanceAct) -> None:
        act.record(kind, place.id, server=found.server, instance=found.name)

    if gap is None:
        try:
            await place.gate.change(place.caller, work)
        except BaseException:
            found.wake()
            raise
    state: Literal["running", "paused"] = "running" if found.pausing.since is None else "paused"
    says, remedy = ("", "") if gap is None else (gap.says, gap.remedy)
    return PausedInstance(id=found.name, state=state, says=says, remedy=remedy)


def _visible(place: WorkspaceContext) -> list[RecordedInstance]:
    return [each for each in place.gate.hosted.running() if each.workspace == place.id]


def _one(place: WorkspaceContext, name: str) -> RecordedInstance:
    found = next((each for each in _visible(place) if each.name == name), None)
    if found is None:
        raise NotFound(f"no instance {name!r} runs on this node", remedy=_LIST)
    return found


async def _shapes(place: WorkspaceContext, found: list[RecordedInstance]) -> list[dict[str, Any]]:
    """The fields of their shapes; what they take is asked of all at once."""
    names = await place.gate.read(lambda tx: _names(tx, place, found))
    stats = await asyncio.gather(*(_stats_in_time(each) for each in found))
    now, boot = place.gate.clock.now(), place.gate.clock.boottime()
    return [
        {
            "id": each.name,
            "server": names.get(each.server, ""),
            "state": "running" if each.pausing.since is None else "paused",
            "owner": names.get(each.owner, each.owner),
            "tier": each.facts.tier,
            "runtime": each.facts.runtime,
            "isolation": each.isolation,
            "pid": each.pid,
            "node": place.gate.hosted.node,
            "started_at": rfc3339(Instant(now - round((boot - each.began) * 1_000_000))),
            "seconds": round(boot - each.began),
            "memory_bytes": taken.memory_bytes,
            "cpu_seconds": round(taken.cpu_seconds, 3),
            "throttled_seconds": round(taken.throttled_seconds, 3),
            "processes": taken.processes,
        }
        for each, taken in zip(found, stats, strict=True)
    ]


def _names(tx: StoreTx, place: WorkspaceContext, found: list[RecordedInstance]) -> dict[str, str]:
    """What people call their servers and owners."""
    names = {row.id: row.alias for row in tx.find(Server, workspace=place.id)}
    called: dict[str, str] = {str(key): alias for key, alias in names.items()}
    for owner in {each.owner for each in found if each.owner}:
        if is_agent(owner):
            called |= {
                str(row.id): row.name for row in tx.find(Agent, workspace=place.id, id=owner)
            }
        else:
            called |= {
                str(row.id): row.email for row in tx.find(Member, workspace=place.id, id=owner)
            }
    return called


async def _stats_in_time(instance: RecordedInstance) -> InstanceStats:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STATS_SECONDS):
            return await instance.stats()
    return InstanceStats()


ROUTES = (listed, runtimes, show, attest, logs, stop, kill, pause, resume, kill_server, restart)
