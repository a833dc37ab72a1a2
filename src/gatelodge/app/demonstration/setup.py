"""Sets up the demo: its servers are built, approved, pinned and granted, by the real flows.

Running it twice changes nothing; a server that was missing the first time is added.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gatelodge.app.announce import StartupAnnouncer
from gatelodge.app.build import OpenResources
from gatelodge.app.demonstration.people import transport_before
from gatelodge.app.demonstration.servers import (
    SERVERS,
    BuiltDemoServer,
    DemoServer,
    build_server,
)
from gatelodge.app.node import NodeComponents
from gatelodge.core.catalog.server import Server, Transport
from gatelodge.core.errors import UpstreamError
from gatelodge.core.people import Agent, Group, Member, Workspace
from gatelodge.core.policy.rules import GranteeKind, Level
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import agents, grants, groups, members, pins, servers, tools
from gatelodge.flows.admin.definitions import proposals
from gatelodge.ports.store import StoreTx

T = TypeVar("T")

_SECONDS, _LOOK_SECONDS = 10.0, 0.02
_ALICE, _BOB = "alice@example.test", "bob@example.test"
_GRANTS: dict[str, tuple[tuple[GranteeKind, str, Level], ...]] = {
    "time": (("everyone", "", "all"),),
    "git": (("group", "engineering", "all"), ("agent", "ci", "use")),
    "filesystem": (("group", "engineering", "all"),),
    "everything": (("member", _BOB, "all"),),
    "memory": (("member", _BOB, "all"),),
}
"""For each server, who may use it: a kind and a name (none for everyone), and how far."""


async def demonstrate(rooms: NodeComponents, announce: StartupAnnouncer) -> None:
    """Set up what is not there yet, and say what was done."""
    ground = rooms.ground
    workspace = await ground.store.read(lambda tx: tx.find(Workspace, slug="main")[0])
    if workspace.demo:
        announce.step("demo: a fortnight of history is made up, and every page says so")
    await _change_store_as_system(ground, lambda act: _add_demo_people(act, workspace))
    announce.step(f"demo: {_ALICE} and {_BOB} are members, ci is an agent")
    known = await ground.store.read(lambda tx: _aliases_with_tools(tx, workspace))
    new = [offer for offer in SERVERS if offer.alias not in known]
    # They are fetched, and take a second each to start, so they do it together; what was done is
    # told in one order, whichever is faster.
    try:
        async with asyncio.TaskGroup() as group:
            built = [group.create_task(_build_demo_server(rooms, offer)) for offer in new]
            done = [
                group.create_task(_approve_when_built(rooms, workspace, offer.alias, each))
                for offer, each in zip(new, built, strict=True)
            ]
            for each in built:
                announce.step(f"demo: {(await each).says}")
            for ended in done:
                if said := await ended:
                    announce.step(f"demo: {said}")
        if any(", weak:" in each.result() for each in done):
            announce.step(
                "demo: the tier here is weak; gatelodge doctor says what a better one takes"
            )
    except BaseExceptionGroup as several:
        # The others have ended, so none of them writes while the gate stops.
        raise several.exceptions[0] from None
    announce.demonstrated()


def _aliases_with_tools(tx: StoreTx, workspace: Workspace) -> set[str]:
    """The aliases of servers that have tools. One without was cut off on its way here.

    Those of the made-up history are not there yet either.
    """
    here = servers.listed(tx, workspace.id)
    return {
        server.alias
        for server in here
        if not _of_history(server) and tools.listed(tx, workspace.id, server.id)
    }


def _of_history(server: Server) -> bool:
    """Say whether it is as the history left it: disabled, and reached in a way that nobody ran."""
    offered = any(each.alias == server.alias for each in SERVERS)
    return offered and server.transport == transport_before(server.alias)


async def _build_demo_server(rooms: NodeComponents, offer: DemoServer) -> BuiltDemoServer:
    return await build_server(rooms.artifacts, offer, rooms.ground.settings.hosting.first_uid)


async def _approve_when_built(
    rooms: NodeComponents, workspace: Workspace, alias: str, built: asyncio.Task[BuiltDemoServer]
) -> str:
    """What is said of it; empty when it was left out."""
    transport = (await built).transport
    return "" if transport is None else await _approve_and_pin(rooms, workspace, alias, transport)


async def _approve_and_pin(
    rooms: NodeComponents, workspace: Workspace, alias: str, transport: Transport
) -> str:
    """Approve a server, look at it where it goes on serving, and pin what it has; says how it went.

    Approving first is safe, since no tool is pinned yet.
    """
    standing = await rooms.ground.store.read(
        lambda tx: bool(tx.find(Server, workspace=workspace.id, alias=alias))
    )

    def approve(act: GovernanceAct) -> Server:
        server = _register_or_revise_server(act, workspace, alias, transport)
        return servers.approve(act, workspace.id, server.id)

    server = await _change_store_as_system(rooms.ground, approve)
    try:
        async with asyncio.timeout(_SECONDS):
            # The pool keeps what stands in the view, so the approval has to have arrived there.
            while server not in rooms.follower.view.state.servers:  # noqa: ASYNC110 - bounded by the timeout above
                await asyncio.sleep(_LOOK_SECONDS)
        await rooms.upstreams.reconcile(rooms.follower.view.state.servers)
        seen = await rooms.upstreams.observe(server)
    except TimeoutError:
        return f"{alias} is approved, but this node has not heard of it yet"
    except UpstreamError as fault:
        return f"{alias} does not start: {fault.detail}"
    definitions = [bytes(tool) for tool in seen.tools]

    def pin(act: GovernanceAct) -> None:
        tools.take_stock(act, workspace.id, server.id, definitions)
        rows = tools.listed(act.tx, workspace.id, server.id)
        offered = {row.name: row.observed for row in rows if row.present and not row.blocked}
        pins.approve(act, server, offered)
        pins.note_instructions(act, workspace.id, server.id, seen.instructions)
        told = pins.instructions_digest(pins.kept_instructions(seen.instructions))
        pins.approve_instructions(act, workspace.id, server.id, told)
        # What a history gave, and took away again, is not given anew.
        if not standing:
            _create_server_grants(act, workspace, server)

    await _change_store_as_system(rooms.ground, pin)
    found = rooms.upstreams.health(server.id).isolation
    return f"{alias} is approved with {len(definitions)} tools, {found}"


def _register_or_revise_server(
    act: GovernanceAct, workspace: Workspace, alias: str, transport: Transport
) -> Server:
    proposal = proposals.ServerProposal(transport=transport)
    found = act.tx.find(Server, workspace=workspace.id, alias=alias)
    if found:
        return servers.revise(act, workspace.id, found[0].id, proposal)
    return servers.register(act, workspace.id, alias, proposal)


async def _change_store_as_system(ground: OpenResources, work: Callable[[GovernanceAct], T]) -> T:
    def run(tx: StoreTx) -> T:
        return work(GovernanceAct(tx=tx, by="system", at=ground.clock.now(), ids=ground.ids))

    done, _ = await ground.store.change(run)
    return done


def _add_demo_people(act: GovernanceAct, workspace: Workspace) -> None:
    """Two members, a group and an agent; nothing when the group is there already."""
    # They are made in one transaction, so one of them tells for all.
    if act.tx.find(Group, workspace=workspace.id, name="engineering"):
        return
    alice = members.add(act, workspace.id, _ALICE)
    members.add(act, workspace.id, _BOB)
    group = groups.create(act, workspace.id, "engineering")
    groups.add_member(act, group, alice)
    agents.add(act, workspace.id, "ci", alice)


def _create_server_grants(act: GovernanceAct, workspace: Workspace, server: Server) -> None:
    """The grants of one server, to those who are still there."""
    for kind, name, level in _GRANTS[server.alias]:
        grantee = _id_of_grantee(act, workspace, kind, name)
        if grantee is not None:
            grants.give(act, workspace.id, grantee, server, level=level)


def _id_of_grantee(
    act: GovernanceAct, workspace: Workspace, kind: GranteeKind, name: str
) -> grants.Grantee | None:
    """An active member or agent, a group, or everyone; None when gone."""
    here = workspace.id
    found: list[Member] | list[Agent] | list[Group]
    if kind == "everyone":
        return kind
    if kind == "member":
        found = act.tx.find(Member, workspace=here, email=name, status="active")
    elif kind == "agent":
        found = act.tx.find(Agent, workspace=here, name=name, status="active")
    else:
        found = act.tx.find(Group, workspace=here, name=name)
    return found[0] if found else None
