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

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.app.announce import Announce
from gatelodge.app.build import Ground
from gatelodge.app.node import Rooms
from gatelodge.core.catalog.server import Server, StdioTransport
from gatelodge.core.errors import UpstreamError
from gatelodge.core.ids import PrincipalId, ServerId
from gatelodge.core.people import Agent, Group, Member, Workspace
from gatelodge.core.policy.rules import GranteeKind, Level
from gatelodge.flows.act import Act
from gatelodge.flows.admin import agents, grants, groups, members, servers, tools
from gatelodge.ports.store import Tx
from gatelodge.ports.upstream import Observed

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
            )
        )
    return tuple(found)


async def demonstrate(rooms: Rooms, announce: Announce) -> None:
    """Set up what is not there yet, and say what was done."""
    ground = rooms.ground
    workspace = await ground.store.read(lambda tx: tx.find(Workspace, slug="main")[0])
    await _change(ground, lambda act: _people(act, workspace))
    announce.step(f"demo: {_ALICE} and {_BOB} are members, ci is an agent")
    known = {s.alias for s in await ground.store.read(lambda tx: servers.listed(tx, workspace.id))}
    new = [offer for offer in offered() if offer.alias not in known]
    for offer in new:
        if not offer.installed:
            announce.step(f"demo: {offer.alias} is not installed; `make up` installs it with Node")
    there = [offer for offer in new if offer.installed]
    # They take a second each to start, so they do it together; the log has them in order.
    sightings = await asyncio.gather(*(_sight(rooms, workspace, offer) for offer in there))
    for offer, sighting in zip(there, sightings, strict=True):
        announce.step(await _add_server(rooms, workspace, offer, sighting))
    announce.demonstrated()


class _Sighting(Struct, frozen=True):
    """What a server showed, and under which transport; or why it could not be seen."""

    transport: StdioTransport
    definitions: list[bytes]
    fault: str = ""


async def _sight(rooms: Rooms, workspace: Workspace, offer: DemoServer) -> _Sighting:
    """Observe a server under a uid of its own, or else under the gate's."""
    transport = offer.transport
    if os.geteuid() != 0:
        transport = replace(transport, run_as="gateway")
    try:
        seen = await _observed(rooms, workspace, offer, transport)
    except UpstreamError as refused:
        if transport.run_as == "gateway":
            return _Sighting(transport, [], refused.detail)
        # Its interpreter stands where only the gate's own account can read.
        transport = replace(transport, run_as="gateway")
        try:
            seen = await _observed(rooms, workspace, offer, transport)
        except UpstreamError as still:
            return _Sighting(transport, [], still.detail)
    return _Sighting(transport, [bytes(tool) for tool in seen.tools])


async def _add_server(
    rooms: Rooms, workspace: Workspace, offer: DemoServer, sighting: _Sighting
) -> str:
    """Register, approve, pin and grant in one transaction."""
    if sighting.fault:
        return f"demo: {offer.alias} does not start: {sighting.fault}"

    def add(act: Act) -> Server:
        proposal = servers.Proposal(transport=sighting.transport)
        server = servers.register(act, workspace.id, offer.alias, proposal)
        tools.take_stock(act, workspace.id, server.id, sighting.definitions)
        tools.approve(act, workspace.id, server.id)
        _grant(act, workspace, server)
        return servers.approve(act, workspace.id, server.id)

    await _change(rooms.ground, add)
    whose = "a uid of its own" if sighting.transport.run_as == "own" else "the gate's own uid"
    count = len(sighting.definitions)
    return f"demo: {offer.alias} is approved with {count} tools (not isolated, {whose})"


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
    """Two members, a group and an agent; nothing when the group is there already."""
    if act.tx.find(Group, workspace=workspace.id, name="engineering"):
        return
    alice = members.add(act, workspace.id, members.Newcomer(email=_ALICE))
    members.add(act, workspace.id, members.Newcomer(email=_BOB))
    group = groups.create(act, workspace.id, "engineering")
    groups.join(act, workspace.id, group.id, PrincipalId(alice.id))
    agents.add(act, workspace.id, "ci", alice.id)


def _grant(act: Act, workspace: Workspace, server: Server) -> None:
    """The grants of one server, to those who are still there."""
    for kind, name, level in _GRANTS[server.alias]:
        grantee = _grantee(act, workspace, kind, name)
        if grantee is not None:
            wish = grants.Wish(grantee_kind=kind, grantee=grantee, server=server.id, level=level)
            grants.create(act, workspace.id, wish)


def _grantee(act: Act, workspace: Workspace, kind: GranteeKind, name: str) -> str | None:
    """The id of an active member or agent, or of a group; "" for everyone, None when gone."""
    here = workspace.id
    found: list[Member] | list[Agent] | list[Group]
    if kind == "everyone":
        return ""
    if kind == "member":
        found = act.tx.find(Member, workspace=here, email=name, status="active")
    elif kind == "agent":
        found = act.tx.find(Agent, workspace=here, name=name, status="active")
    else:
        found = act.tx.find(Group, workspace=here, name=name)
    return found[0].id if found else None
