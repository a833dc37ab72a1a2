"""`--demo`: local MCP servers, people and grants that show the product; nothing is downloaded.

What is installed beside the gate is used: the reference servers `time` and `git` from Python, and
`everything` from Node when it stands in `examples/demo/node_modules`. Running it twice changes
nothing.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.app.announce import Announce
from gatelodge.app.build import Ground
from gatelodge.app.node import Rooms
from gatelodge.core.catalog.server import Server, StdioTransport
from gatelodge.core.errors import UpstreamError
from gatelodge.core.ids import PrincipalId, ServerId
from gatelodge.core.people import Group, Workspace
from gatelodge.core.policy.rules import GranteeKind, Level
from gatelodge.flows.act import Act
from gatelodge.flows.admin import agents, grants, groups, members, servers, tools
from gatelodge.ports.store import Tx
from gatelodge.ports.upstream import Observed

_NODE = Path("examples/demo/node_modules/@modelcontextprotocol")
_MISSING = "not installed; `make up` installs it"


class DemoServer(Struct, frozen=True):
    """A server of the demo: its alias, how it is started, and why it is not there, if so."""

    alias: str
    command: tuple[str, ...]
    missing: str = ""


def offered() -> tuple[DemoServer, ...]:
    """The servers that this machine has."""
    found = []
    for alias in ("time", "git"):
        module = f"mcp_server_{alias}"
        absent = "" if importlib.util.find_spec(module) else _MISSING
        found.append(DemoServer(alias, (sys.executable, "-m", module), absent))
    node, script = shutil.which("node"), (_NODE / "server-everything/dist/index.js").resolve()
    absent = "" if node and script.exists() else _MISSING
    found.append(DemoServer("everything", (node or "node", str(script), "stdio"), absent))
    return tuple(found)


async def demonstrate(rooms: Rooms, announce: Announce) -> None:
    """Set up what is not there yet, and say what was done."""
    ground = rooms.ground
    workspace = await ground.store.read(lambda tx: tx.find(Workspace, slug="main")[0])
    known = {s.alias for s in await ground.store.read(lambda tx: servers.listed(tx, workspace.id))}
    for offer in offered():
        if offer.alias in known:
            continue
        if offer.missing:
            announce.step(f"demo: {offer.alias} is {offer.missing}")
            continue
        announce.step(await _add_server(rooms, workspace, offer))
    await _change(ground, lambda act: _people(act, workspace))
    announce.step("demo: alice@example.test and bob@example.test are members, ci is an agent")


async def _add_server(rooms: Rooms, workspace: Workspace, offer: DemoServer) -> str:
    """Observe first, then register, approve and pin in one transaction."""
    transport = StdioTransport(command=offer.command)
    note = "not isolated, a uid of its own"
    try:
        seen = await _observed(rooms, workspace, offer, transport)
    except UpstreamError as refused:
        if os.geteuid() != 0:
            return f"demo: {offer.alias} does not start: {refused.detail}"
        # Its interpreter stands where only the gate's own account can read.
        transport = replace(transport, run_as="gateway")
        note = "not isolated, the gate's own uid"
        try:
            seen = await _observed(rooms, workspace, offer, transport)
        except UpstreamError as still:
            return f"demo: {offer.alias} does not start: {still.detail}"
    definitions = [bytes(tool) for tool in seen.tools]

    def add(act: Act) -> Server:
        proposal = servers.Proposal(transport=transport)
        server = servers.register(act, workspace.id, offer.alias, proposal)
        tools.take_stock(act, workspace.id, server.id, definitions)
        tools.approve(act, workspace.id, server.id)
        return servers.approve(act, workspace.id, server.id)

    await _change(rooms.ground, add)
    return f"demo: {offer.alias} is approved with {len(definitions)} tools ({note})"


async def _observed(
    rooms: Rooms, workspace: Workspace, offer: DemoServer, transport: StdioTransport
) -> Observed:
    ground = rooms.ground
    asked = Server(
        id=ServerId(ground.ids.new("srv")),
        workspace=workspace.id,
        alias=offer.alias,
        transport=transport,
        created_at=ground.clock.now(),
    )
    return await rooms.upstreams.observe(asked)


async def _change(ground: Ground, work: Callable[[Act], object]) -> None:
    def run(tx: Tx) -> None:
        work(Act(tx=tx, by="system", at=ground.clock.now(), ids=ground.ids))

    await ground.store.change(run)


def _people(act: Act, workspace: Workspace) -> None:
    """Two members, a group, an agent, and grants: each sees something else."""
    if act.tx.find(Group, workspace=workspace.id, name="engineering"):
        return
    alice = members.add(act, workspace.id, members.Newcomer(email="alice@example.test"))
    bob = members.add(act, workspace.id, members.Newcomer(email="bob@example.test"))
    group = groups.create(act, workspace.id, "engineering")
    groups.join(act, workspace.id, group.id, PrincipalId(alice.id))
    agent = agents.add(act, workspace.id, "ci", alice.id)
    by_alias = {server.alias: server.id for server in servers.listed(act.tx, workspace.id)}
    wanted: tuple[tuple[str, GranteeKind, str, Level], ...] = (
        ("time", "everyone", "", "all"),
        ("git", "group", group.id, "all"),
        ("git", "agent", agent.id, "use"),
        ("everything", "member", bob.id, "all"),
    )
    for alias, kind, grantee, level in wanted:
        if alias in by_alias:
            wish = grants.Wish(
                grantee_kind=kind, grantee=grantee, server=by_alias[alias], level=level
            )
            grants.create(act, workspace.id, wish)
