"""Tools: list, approve, block, review, and what differs from the pins."""

import msgspec
from litestar import get, post
from msgspec import Raw, Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.flows.act import Act
from gatelodge.flows.admin import servers, tools
from gatelodge.flows.identity.revocation import Receipt
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.given import Asks, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.rules.shapes import ToolShape, standing, title, tool_shape


class Names(Struct, frozen=True, forbid_unknown_fields=True):
    """Tools by name."""

    tools: tuple[str, ...]


class OneTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool by name, and a ticket or reason code."""

    tool: str
    why: str = ""


class Findings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found a tool to be; what is not said stays as it was."""

    tool: str
    read_only: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None


class Pinned(Struct, frozen=True):
    """The tools whose pin is new."""

    approved: tuple[str, ...]


class Difference(Struct, frozen=True, kw_only=True):
    """A tool that is not as approved, with its definition as the server sent it last."""

    name: str
    standing: str
    title: str
    observed: str
    approved: str
    definition: Raw


class Differences(Struct, frozen=True):
    """Everything of a server that is not as approved."""

    server: str
    changes: tuple[Difference, ...]


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
        lambda row: tool_shape(row[1], row[0].alias),
        Asked(limit, cursor),
    )


@post("/servers/{alias:str}/tools/approve", opt={"act": "tool.approve"}, status_code=200)
async def approve(place: Here, alias: Named, data: JSONBody[Names]) -> Pinned:
    """Pin tools as they were last observed."""

    def work(act: Act) -> Pinned:
        row = named.server(act.tx, place.id, alias)
        pinned = tools.approve(act, place.id, row.id, dict.fromkeys(data.tools, ""))
        return Pinned(tuple(each.name for each in pinned))

    return await place.gate.change(place.caller, work)


@post("/servers/{alias:str}/tools/block", opt={"act": "tool.block"}, status_code=200)
async def block(place: Here, alias: Named, data: JSONBody[OneTool]) -> Receipt:
    """Take a tool's approval back; answers when it holds on every node."""
    row = await place.gate.read(lambda tx: named.server(tx, place.id, alias))

    def work(act: Act) -> tuple[str, ...]:
        tools.block(act, place.id, row.id, data.tool)
        return ()

    ended = ("tool", f"{row.id}/{data.tool}", place.id)
    return await place.gate.end(place.caller, ended, data.why, work)


@post("/servers/{alias:str}/tools/review", opt={"act": "tool.review"}, status_code=200)
async def review(place: Here, alias: Named, data: JSONBody[Findings]) -> ToolShape:
    """Write down what a tool was found to be."""

    def work(act: Act) -> ToolShape:
        row = named.server(act.tx, place.id, alias)
        now = act.the(Tool, name=data.tool, workspace=place.id, server=row.id)
        found = tools.review(act, place.id, row.id, data.tool, _found(now, data))
        return tool_shape(found, row.alias)

    return await place.gate.change(place.caller, work)


@get("/servers/{alias:str}/tools/diff", opt={"act": "tool.read"})
async def diff(place: Here, alias: Named) -> Differences:
    """Show what differs from what was approved."""

    def look(tx: Tx) -> Differences:
        row = named.server(tx, place.id, alias)
        rows = tools.listed(tx, place.id, row.id)
        return Differences(row.alias, tuple(_difference(each) for each in rows if _differs(each)))

    return await place.gate.read(look)


def _found(now: Tool, said: Findings) -> tools.Annotations:
    read_only = now.read_only if said.read_only is None else said.read_only
    destructive = said.destructive
    if destructive is None:
        # Who says that a tool only reads has said that it destroys nothing.
        destructive = now.destructive and not read_only
    open_world = now.open_world if said.open_world is None else said.open_world
    return tools.Annotations(read_only=read_only, destructive=destructive, open_world=open_world)


def _differs(row: Tool) -> bool:
    return not row.pinned and (row.present or bool(row.approved))


def _difference(row: Tool) -> Difference:
    return Difference(
        name=row.name,
        standing=standing(row),
        title=title(row.definition),
        observed=row.observed,
        approved=row.approved,
        definition=msgspec.Raw(row.definition.encode()),
    )


ROUTES = (listed, approve, block, review, diff)
