"""`--demo`: local MCP servers, people and grants that show the product; nothing is downloaded.

What is installed beside the gate is used: the reference servers `time` and `git` from Python, and
`everything`, `filesystem`, `memory` from Node when they stand in `examples/demo/node_modules`.
Running it twice changes nothing; a server that was missing the first time is added.
"""

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.adapters.runtime.process.exec_permissions import PATH, barred
from gatelodge.app.announce import StartupAnnouncer
from gatelodge.app.build import OpenResources
from gatelodge.app.node import NodeComponents
from gatelodge.core.catalog.server import Server, StdioTransport
from gatelodge.core.errors import UpstreamError
from gatelodge.core.people import Agent, Group, Member, Workspace
from gatelodge.core.policy.rules import GranteeKind, Level
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import agents, grants, groups, members, pins, servers, tools
from gatelodge.flows.admin.definitions import proposals
from gatelodge.ports.store import StoreTx

T = TypeVar("T")
RunAs = Literal["own", "gateway"]

_SECONDS, _LOOK_SECONDS = 10.0, 0.02
_NODE = Path(__file__).parents[3] / "examples/demo/node_modules/@modelcontextprotocol"
"""Where `npm ci` puts them in a clone; an installed gate has none."""
_ALICE, _BOB = "alice@example.test", "bob@example.test"
_GRANTS: dict[str, tuple[tuple[GranteeKind, str, Level], ...]] = {
    "time": (("everyone", "", "all"),),
    "git": (("group", "engineering", "all"), ("agent", "ci", "use")),
    "filesystem": (("group", "engineering", "all"),),
    "everything": (("member", _BOB, "all"),),
    "memory": (("member", _BOB, "all"),),
}
"""For each server, who may use it: a kind and a name (none for everyone), and how far."""


class DemoServer(Struct, frozen=True, kw_only=True):
    """A server of the demo: its alias, how it is started, and whether it is there."""

    alias: str
    transport: StdioTransport
    installed: bool
    needs: str


def offered() -> tuple[DemoServer, ...]:
    """The servers of the demo, also those that this machine lacks."""
    found = []
    for alias in ("time", "git"):
        module = f"mcp_server_{alias}"
        found.append(
            DemoServer(
                alias=alias,
                transport=StdioTransport(command=(sys.executable, "-m", module)),
                installed=importlib.util.find_spec(module) is not None,
                needs=f"pip install mcp-server-{alias} beside the gate",
            )
        )
    node = shutil.which("node")
    # These two keep files: in the directory that each child is given as its home, which goes when
    # the child does. Any uid can write there, and no other child can read it.
    scratch = {"MEMORY_FILE_PATH": "/proc/self/cwd/memory.jsonl"}
    for alias, argument, env in (
        ("everything", "stdio", {}),
        ("filesystem", ".", {}),
        ("memory", "", scratch),
    ):
        script = _NODE / f"server-{alias}/dist/index.js"
        command = (node or "node", str(script), *([argument] if argument else []))
        found.append(
            DemoServer(
                alias=alias,
                transport=StdioTransport(command=command, env=env),
                installed=node is not None and script.exists(),
                needs="it needs Node and a clone of the repository (`make up` prepares both)",
            )
        )
    return tuple(found)


async def demonstrate(rooms: NodeComponents, announce: StartupAnnouncer) -> None:
    """Set up what is not there yet, and say what was done."""
    ground = rooms.ground
    workspace = await ground.store.read(lambda tx: tx.find(Workspace, slug="main")[0])
    await _change_store_as_system(ground, lambda act: _add_demo_people(act, workspace))
    announce.step(f"demo: {_ALICE} and {_BOB} are members, ci is an agent")
    known = await ground.store.read(lambda tx: _aliases_with_tools(tx, workspace))
    new = [offer for offer in offered() if offer.alias not in known]
    for offer in new:
        if not offer.installed:
            announce.step(f"demo: {offer.alias} is left out: {offer.needs}")
    # They take a second each to start, so they do it together.
    there = [offer for offer in new if offer.installed]
    try:
        async with asyncio.TaskGroup() as group:
            begun = [group.create_task(_set_up_demo_server(rooms, workspace, at)) for at in there]
    except BaseExceptionGroup as several:
        # The others have ended, so none of them writes while the gate stops.
        raise several.exceptions[0] from None
    for each in begun:
        announce.step(each.result())
    announce.demonstrated()


def _aliases_with_tools(tx: StoreTx, workspace: Workspace) -> set[str]:
    """The aliases of servers that have tools. One without was cut off on its way here."""
    here = servers.listed(tx, workspace.id)
    return {server.alias for server in here if tools.listed(tx, workspace.id, server.id)}


async def _set_up_demo_server(
    rooms: NodeComponents, workspace: Workspace, offer: DemoServer
) -> str:
    """Approve a server, let the gate start it, then pin its tools and grant them at once.

    Approving first is safe, since no tool is pinned yet; and the process that is looked at is
    the one that goes on serving.
    """
    run_as: RunAs = "own" if _may_have_own_uid(rooms, offer) else "gateway"
    transport = replace(offer.transport, run_as=run_as)

    def approve(act: GovernanceAct) -> Server:
        server = _register_or_revise_server(act, workspace, offer, transport)
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
        return f"demo: {offer.alias} is approved, but this node has not heard of it yet"
    except UpstreamError as fault:
        return f"demo: {offer.alias} does not start: {fault.detail}"
    definitions = [bytes(tool) for tool in seen.tools]

    def pin(act: GovernanceAct) -> None:
        tools.take_stock(act, workspace.id, server.id, definitions)
        rows = tools.listed(act.tx, workspace.id, server.id)
        offered = {row.name: row.observed for row in rows if row.present and not row.blocked}
        pins.approve(act, server, offered)
        pins.note_instructions(act, workspace.id, server.id, seen.instructions)
        told = pins.instructions_digest(pins.kept_instructions(seen.instructions))
        pins.approve_instructions(act, workspace.id, server.id, told)
        _create_server_grants(act, workspace, server)

    await _change_store_as_system(rooms.ground, pin)
    whose = "a uid of its own" if run_as == "own" else "the gate's own uid"
    return f"demo: {offer.alias} is approved with {len(definitions)} tools (not isolated, {whose})"


def _register_or_revise_server(
    act: GovernanceAct, workspace: Workspace, offer: DemoServer, transport: StdioTransport
) -> Server:
    proposal = proposals.ServerProposal(transport=transport)
    found = act.tx.find(Server, workspace=workspace.id, alias=offer.alias)
    if found:
        return servers.revise(act, workspace.id, found[0].id, proposal)
    return servers.register(act, workspace.id, offer.alias, proposal)


def _may_have_own_uid(rooms: NodeComponents, offer: DemoServer) -> bool:
    """Say whether a uid of its own, which only root can give, could read and run the server.

    A Python that stands in somebody's closed home cannot be.
    """
    uid = rooms.ground.settings.hosting.first_uid
    files = [word for word in offer.transport.command if word.startswith("/")]
    return os.geteuid() == 0 and not any(barred(file, PATH, uid) for file in files)


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
