"""Tools: list, show, approve, block, review, and what differs from the pins."""

from anyio import to_thread
from litestar import get, post
from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import NotFound
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import pins, servers, tools
from gatelodge.flows.identity.revocation import RevocationReceipt
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.pages import PAGE, ItemPage, PageRequest, page
from gatelodge.web.api.parameters import Asks, Here, JSONBody, Limits, Named
from gatelodge.web.api.rules.tool_responses import (
    InstructionsState,
    ToolDetail,
    ToolDifference,
    ToolShape,
    difference,
    differs,
    instructions,
    tool_detail,
    tool_shape,
)


class ShownDefinition(Struct, frozen=True, forbid_unknown_fields=True):
    """Tools by name, each with the digest of the definition that was shown."""

    tools: dict[str, str]


class ToolNames(Struct, frozen=True, forbid_unknown_fields=True):
    """Tools by name."""

    tools: tuple[str, ...]


class OneTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool by name, and a ticket or reason code."""

    tool: str
    why: str = ""


class ToolFinding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found the definition of this digest to do; what is not said stays as it was."""

    digest: str
    read_only: bool | None = None
    destructive: bool | None = None
    open_world: bool | None = None


class ToolFindings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an admin found, by the name of each tool."""

    tools: dict[str, ToolFinding]


class PinnedTools(Struct, frozen=True):
    """The tools whose pin is new."""

    approved: tuple[str, ...]


class UnblockedTools(Struct, frozen=True):
    """Tools that are blocked no more."""

    unblocked: tuple[ToolShape, ...]


class ReviewedTools(Struct, frozen=True):
    """Tools as they stand after their review."""

    reviewed: tuple[ToolShape, ...]


class ServerDifferences(Struct, frozen=True):
    """Everything of a server that is not as approved."""

    server: str
    changes: tuple[ToolDifference, ...]
    instructions: InstructionsState


@get("/tools", opt={"act": "tool.read"})
async def listed(
    place: Here, server: Asks = "", limit: Limits = PAGE, cursor: Asks = ""
) -> ItemPage[ToolShape]:
    """List the tools of one server, or of all."""

    def look(tx: StoreTx) -> list[tuple[Server, Tool]]:
        chosen = [lookup.server(tx, place.id, server)] if server else servers.listed(tx, place.id)
        return [(row, tool) for row in chosen for tool in tools.listed(tx, place.id, row.id)]

    rows = await place.gate.read(look)
    return page(
        rows,
        lambda row: f"{row[0].id}/{row[1].name}",
        lambda row: tool_shape(row[1], row[0].alias, place.name_length),
        PageRequest(limit, cursor),
    )


@get("/servers/{name:str}/tools/show", opt={"act": "tool.read"})
async def show(place: Here, name: Named, tool: Asks = "") -> ToolDetail:
    """Show one tool whole: its last definition, the approved one, and what differs."""

    def look(tx: StoreTx) -> Tool:
        row = lookup.server(tx, place.id, name)
        for found in tx.find(Tool, workspace=place.id, server=row.id, name=tool):
            return found
        text = f"the server {name} has no tool {tool!r}"
        raise NotFound(text, remedy="See `gatelodge tool list`.")

    row = await place.gate.read(look)
    # A definition is as large as its server made it: two of them are compared beside the loop.
    return await to_thread.run_sync(tool_detail, row, name, place.name_length)


@post("/servers/{name:str}/tools/approve", opt={"act": "tool.approve"}, status_code=200)
async def approve(place: Here, name: Named, data: JSONBody[ShownDefinition]) -> PinnedTools:
    """Pin the definitions that were shown; 409 when one of them has changed since."""

    def work(act: GovernanceAct) -> PinnedTools:
        row = lookup.server(act.tx, place.id, name)
        return PinnedTools(tuple(e.name for e in pins.approve(act, place.id, row.id, data.tools)))

    return await place.gate.change(place.caller, work)


@post("/servers/{name:str}/tools/block", opt={"act": "tool.block"}, status_code=200)
async def block(place: Here, name: Named, data: JSONBody[OneTool]) -> RevocationReceipt:
    """Block a tool, whatever is approved; answers when it holds on every node."""
    row = await place.gate.read(lambda tx: lookup.server(tx, place.id, name))

    def work(act: GovernanceAct) -> tuple[str, ...]:
        # By the id that was found above: an alias may have another server by now, and the receipt
        # names this one.
        pins.block(act, place.id, row.id, data.tool)
        return ()

    ended = ("tool", f"{row.id}/{data.tool}", place.id)
    return await place.gate.end(place.caller, ended, data.why, work)


@post("/servers/{name:str}/tools/unblock", opt={"act": "tool.approve"}, status_code=200)
async def unblock(place: Here, name: Named, data: JSONBody[ToolNames]) -> UnblockedTools:
    """Lift blocks; what was approved before holds again, unless it changed."""

    def work(act: GovernanceAct) -> UnblockedTools:
        row = lookup.server(act.tx, place.id, name)
        rows = [pins.unblock(act, place.id, row.id, tool) for tool in data.tools]
        return UnblockedTools(
            tuple(tool_shape(each, row.alias, place.name_length) for each in rows)
        )

    return await place.gate.change(place.caller, work)


@post("/servers/{name:str}/tools/review", opt={"act": "tool.review"}, status_code=200)
async def review(place: Here, name: Named, data: JSONBody[ToolFindings]) -> ReviewedTools:
    """Write down what tools were found to be, each by the digest that was shown."""

    def work(act: GovernanceAct) -> ReviewedTools:
        row = lookup.server(act.tx, place.id, name)
        rows = []
        for tool, said in data.tools.items():
            now = act.the(Tool, name=tool, workspace=place.id, server=row.id)
            found = _merged_annotations(now, said)
            # The digest is compared in this transaction: a review must not vouch for a definition
            # that came behind the look.
            rows.append(pins.review(act, place.id, row.id, tool, found, shown=said.digest))
        return ReviewedTools(tuple(tool_shape(each, row.alias, place.name_length) for each in rows))

    return await place.gate.change(place.caller, work)


@get("/servers/{name:str}/tools/diff", opt={"act": "tool.read"})
async def diff(place: Here, name: Named) -> ServerDifferences:
    """Show what differs from what was approved."""

    def look(tx: StoreTx) -> tuple[Server, list[Tool]]:
        row = lookup.server(tx, place.id, name)
        return row, tools.listed(tx, place.id, row.id)

    row, rows = await place.gate.read(look)

    def compared() -> ServerDifferences:
        changes = tuple(difference(each) for each in rows if differs(each))
        return ServerDifferences(row.alias, changes, instructions(row))

    # All tools of a server are compared here, so it is even longer work.
    return await to_thread.run_sync(compared)


@get("/servers/{name:str}/instructions", opt={"act": "tool.read"})
async def told(place: Here, name: Named) -> InstructionsState:
    """Show what a server tells every session, and what of it was approved."""
    row = await place.gate.read(lambda tx: lookup.server(tx, place.id, name))
    return await to_thread.run_sync(instructions, row)


def _merged_annotations(now: Tool, said: ToolFinding) -> pins.ReviewedAnnotations:
    was_read_only, was_destructive, was_open_world = now.effect
    read_only = was_read_only if said.read_only is None else said.read_only
    destructive = said.destructive
    if destructive is None:
        # Who says that a tool only reads has said that it destroys nothing.
        destructive = was_destructive and not read_only
    open_world = was_open_world if said.open_world is None else said.open_world
    return pins.ReviewedAnnotations(
        read_only=read_only, destructive=destructive, open_world=open_world
    )


ROUTES = (listed, show, approve, block, unblock, review, diff, told)
