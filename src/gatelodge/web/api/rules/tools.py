"""Tools: list, show, approve, block, review, and what differs from the pins."""

from anyio import to_thread
from litestar import get, post
from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import NotFound
from gatelodge.flows.act import Act
from gatelodge.flows.admin import pins, servers, tools
from gatelodge.flows.identity.revocation import Receipt
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.given import Asks, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.rules.tool_shapes import (
    Difference,
    Instructions,
    ToolDetail,
    ToolShape,
    difference,
    differs,
    instructions,
    tool_detail,
    tool_shape,
)


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """Tools by name, each with the digest of the definition that was shown."""

    tools: dict[str, str]


class Names(Struct, frozen=True, forbid_unknown_fields=True):
    """Tools by name."""

    tools: tuple[str, ...]


class OneTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool by name, and a ticket or reason code."""

    tool: str
    why: str = ""


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found the definition of this digest to do; what is not said stays as it was."""

    digest: str
    read_only: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None


class Findings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found, by the name of each tool."""

    tools: dict[str, Finding]


class Pinned(Struct, frozen=True):
    """The tools whose pin is new."""

    approved: tuple[str, ...]


class Lifted(Struct, frozen=True):
    """Tools that are blocked no more."""

    unblocked: tuple[ToolShape, ...]


class Reviewed(Struct, frozen=True):
    """Tools as they stand after their review."""

    reviewed: tuple[ToolShape, ...]


class Differences(Struct, frozen=True):
    """Everything of a server that is not as approved."""

    server: str
    changes: tuple[Difference, ...]
    instructions: Instructions


@get("/tools", opt={"act": "tool.read"})
async def listed(
    place: Here, server: Asks = "", limit: Limits = PAGE, cursor: Asks = ""
) -> Page[ToolShape]:
    """List the tools of one server, or of all."""

    def look(tx: Tx) -> list[tuple[Server, Tool]]:
        chosen = [named.server(tx, place.id, server)] if server else servers.listed(tx, place.id)
        return [(row, tool) for row in chosen for tool in tools.listed(tx, place.id, row.id)]

    rows = await place.gate.read(look)
    return page(
        rows,
        lambda row: f"{row[0].id}/{row[1].name}",
        lambda row: tool_shape(row[1], row[0].alias, place.name_length),
        Asked(limit, cursor),
    )


@get("/servers/{alias:str}/tools/show", opt={"act": "tool.read"})
async def show(place: Here, alias: Named, tool: Asks = "") -> ToolDetail:
    """Show one tool whole: its last definition, the approved one, and what differs."""

    def look(tx: Tx) -> Tool:
        row = named.server(tx, place.id, alias)
        for found in tx.find(Tool, workspace=place.id, server=row.id, name=tool):
            return found
        text = f"the server {alias} has no tool {tool!r}"
        raise NotFound(text, remedy="See `gatelodge tool list`.")

    row = await place.gate.read(look)
    return await to_thread.run_sync(tool_detail, row, alias, place.name_length)


@post("/servers/{alias:str}/tools/approve", opt={"act": "tool.approve"}, status_code=200)
async def approve(place: Here, alias: Named, data: JSONBody[Shown]) -> Pinned:
    """Pin the definitions that were shown; 409 when one of them has changed since."""

    def work(act: Act) -> Pinned:
        row = named.server(act.tx, place.id, alias)
        return Pinned(tuple(e.name for e in pins.approve(act, place.id, row.id, data.tools)))

    return await place.gate.change(place.caller, work)


@post("/servers/{alias:str}/tools/block", opt={"act": "tool.block"}, status_code=200)
async def block(place: Here, alias: Named, data: JSONBody[OneTool]) -> Receipt:
    """Block a tool, whatever is approved; answers when it holds on every node."""
    row = await place.gate.read(lambda tx: named.server(tx, place.id, alias))

    def work(act: Act) -> tuple[str, ...]:
        pins.block(act, place.id, row.id, data.tool)
        return ()

    ended = ("tool", f"{row.id}/{data.tool}", place.id)
    return await place.gate.end(place.caller, ended, data.why, work)


@post("/servers/{alias:str}/tools/unblock", opt={"act": "tool.approve"}, status_code=200)
async def unblock(place: Here, alias: Named, data: JSONBody[Names]) -> Lifted:
    """Lift blocks; what was approved before holds again, unless it changed."""

    def work(act: Act) -> Lifted:
        row = named.server(act.tx, place.id, alias)
        rows = [pins.unblock(act, place.id, row.id, name) for name in data.tools]
        return Lifted(tuple(tool_shape(each, row.alias, place.name_length) for each in rows))

    return await place.gate.change(place.caller, work)


@post("/servers/{alias:str}/tools/review", opt={"act": "tool.review"}, status_code=200)
async def review(place: Here, alias: Named, data: JSONBody[Findings]) -> Reviewed:
    """Write down what tools were found to be, each by the digest that was shown."""

    def work(act: Act) -> Reviewed:
        row = named.server(act.tx, place.id, alias)
        rows = []
        for name, said in data.tools.items():
            now = act.the(Tool, name=name, workspace=place.id, server=row.id)
            shown = (row.id, name, said.digest)
            rows.append(pins.review(act, place.id, shown, _found(now, said)))
        return Reviewed(tuple(tool_shape(each, row.alias, place.name_length) for each in rows))

    return await place.gate.change(place.caller, work)


@get("/servers/{alias:str}/tools/diff", opt={"act": "tool.read"})
async def diff(place: Here, alias: Named) -> Differences:
    """Show what differs from what was approved."""

    def look(tx: Tx) -> tuple[Server, list[Tool]]:
        row = named.server(tx, place.id, alias)
        return row, tools.listed(tx, place.id, row.id)

    row, rows = await place.gate.read(look)

    def compared() -> Differences:
        changes = tuple(difference(each) for each in rows if differs(each))
        return Differences(row.alias, changes, instructions(row))

    return await to_thread.run_sync(compared)


@get("/servers/{alias:str}/instructions", opt={"act": "tool.read"})
async def told(place: Here, alias: Named) -> Instructions:
    """Show what a server tells every session, and what of it was approved."""
    row = await place.gate.read(lambda tx: named.server(tx, place.id, alias))
    return await to_thread.run_sync(instructions, row)


def _found(now: Tool, said: Finding) -> pins.Annotations:
    was_read_only, was_destructive, was_open_world = now.effect
    read_only = was_read_only if said.read_only is None else said.read_only
    destructive = said.destructive
    if destructive is None:
        # Who says that a tool only reads has said that it destroys nothing.
        destructive = was_destructive and not read_only
    open_world = was_open_world if said.open_world is None else said.open_world
    return pins.Annotations(read_only=read_only, destructive=destructive, open_world=open_world)


ROUTES = (listed, show, approve, block, unblock, review, diff, told)
