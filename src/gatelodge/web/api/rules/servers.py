"""What of servers and tools is not declared: proposed, edited, observed, approved; what differs.

They take how a server is reached, and what was shown of what it offers.
"""

from anyio import to_thread
from litestar import get, post
from msgspec import Struct

from gatelodge.core.catalog.server import (
    EraWish,
    HidableCapability,
    Server,
    ServerTiming,
    Tool,
    Transport,
)
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import pins, servers, tools
from gatelodge.flows.admin.definitions import edits
from gatelodge.flows.admin.definitions.proposals import (
    ServerProposal,
    check_description,
    description_digest,
)
from gatelodge.flows.admin.definitions.shapes import (
    ToolDifference,
    ToolShape,
    difference,
    differs,
)
from gatelodge.flows.catalog.offers import left_out
from gatelodge.flows.catalog.stock import keep_in_parts
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.foreseen import DryRun
from gatelodge.ports.store import StoreTx
from gatelodge.ports.upstream import ServerHealth
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Flag, Here, JSONBody, Named
from gatelodge.web.api.rules.artifacts import check_transport_image


class NewServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is to be reached; values of headers and variables may be references.

    `hidden_capabilities` is what it is never told that a client declared.
    """

    alias: str
    transport: Transport
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    hidden_capabilities: tuple[HidableCapability, ...] = ()
    timing: ServerTiming | None = None


class ServerApproval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was shown, by digest: the description, tools by name, the instructions if any."""

    description: str
    tools: dict[str, str] = {}
    instructions: str = ""


class ObservedServer(Struct, frozen=True, kw_only=True):
    """What a server has now, and what is new since the last look.

    `digest` is that of its description; `instructions` is what it tells every session.
    """

    alias: str
    digest: str
    instructions: pins.InstructionsState
    tools: tuple[ToolShape, ...]
    new: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    skipped: tuple[str, ...]


class ApprovedServer(Struct, frozen=True):
    """An approved server, and the tools whose pin is new."""

    alias: str
    status: str
    approved: tuple[str, ...]


class ServerDifferences(Struct, frozen=True):
    """Everything of a server that is not as approved."""

    server: str
    changes: tuple[ToolDifference, ...]
    instructions: pins.InstructionsState


_OF_TOOLS = {"act": "tool.read", "noun": "tools"}


@post("/servers", opt={"act": "server.register"})
async def register(place: Here, data: JSONBody[NewServer]) -> servers.ServerShape:
    """Propose a server; nobody can use it before it is approved."""
    proposal = ServerProposal(
        transport=data.transport,
        era=data.era,
        tags=data.tags,
        hidden_capabilities=data.hidden_capabilities,
        timing=data.timing or ServerTiming(),
    )

    await check_transport_image(place.gate, data.transport)

    def work(act: GovernanceAct) -> servers.ServerShape:
        row = servers.register(act, place.id, data.alias, proposal)
        return servers.shape_of(act.tx, row, place.showing)

    return await place.gate.change(place.caller, work)


@get("/servers/{name:str}/health", opt={"act": "server.read"})
async def health(place: Here, name: Named) -> ServerHealth:
    """How a server is doing on this node."""
    return servers.health_of(await _find_server(place, name), place.showing)


@post("/servers/{name:str}/edit", opt={"act": "server.register"}, status_code=200)
async def edit(
    place: Here, name: Named, data: JSONBody[edits.ServerEdit], *, dry_run: Flag = False
) -> servers.ServerShape | DryRun:
    """Change a server in place; one that is reached in another way waits for approval again.

    409 when it is not what was shown, where `description` says what that was.
    """
    if data.image is not None:
        await check_transport_image(place.gate, await _edited_transport(place, name, data))

    def work(act: GovernanceAct) -> servers.ServerShape:
        return servers.shape_of(act.tx, change_server(act, place, name, data), place.showing)

    if dry_run:
        return await place.gate.rehearse(place.caller, work, "", place.id)
    return await place.gate.change(place.caller, work)


def change_server(
    act: GovernanceAct, place: WorkspaceContext, name: str, wish: edits.ServerEdit
) -> Server:
    """Change a server within a transaction, as that wish says. Raises as an edit does."""
    row = lookup.server(act.tx, place.id, name)
    return servers.revise(act, place.id, row.id, edits.edited(act, row, wish))


@post("/servers/{name:str}/observe", opt={"act": "tool.observe"}, status_code=200)
async def look_again(place: Here, name: Named) -> ObservedServer:
    """Reach the server and read its tools; approves nothing."""
    row = await place.gate.change(
        place.caller,
        lambda act: servers.look_at(act, place.id, lookup.server(act.tx, place.id, name).id),
    )
    # Behind the change: the process that this may start stands in the log before it runs.
    found = await place.gate.upstreams.observe(row)
    # How much work its lists are, the server decides: they are read beside the loop.
    refused = await to_thread.run_sync(left_out, row, found)
    definitions = [bytes(each) for each in found.tools]
    stock = await to_thread.run_sync(tools.read_stock, definitions)
    seen = await keep_in_parts(lambda part: place.gate.change(place.caller, part), row, stock)
    if pins.kept_instructions(found.instructions) != row.instructions:

        def note(act: GovernanceAct) -> bool:
            return pins.note_instructions(act, place.id, row.id, found.instructions)

        await place.gate.change(place.caller, note)
    # Read anew, since the parts above changed the row, and somebody may have edited it meanwhile.
    now = await _find_server(place, name)

    def shapes(tx: StoreTx) -> list[ToolShape]:
        rows = tx.find(Tool, workspace=place.id, server=row.id, present=True)
        return pins.shapes(tx, rows, place.showing) if rows else []

    return ObservedServer(
        alias=now.alias,
        digest=description_digest(now),
        instructions=pins.instructions(now),
        tools=tuple(await place.gate.read(shapes)),
        new=seen.new,
        changed=seen.changed,
        gone=seen.gone,
        skipped=(*refused, *seen.skipped),
    )


@post("/servers/{name:str}/approve", opt={"act": "server.approve"}, status_code=200)
async def approve(place: Here, name: Named, data: JSONBody[ServerApproval]) -> ApprovedServer:
    """Approve the server, and of its tools and instructions what was shown; 409 when it changed."""

    def work(act: GovernanceAct) -> ApprovedServer:
        row = lookup.server(act.tx, place.id, name)
        # Within the transaction: an edit behind the look would else have another command approved
        # than the one that was shown.
        check_description(row, data.description)
        pinned = pins.approve(act, row, data.tools)
        # An empty digest approves none: sessions go on hearing what was approved.
        if data.instructions:
            pins.approve_instructions(act, place.id, row.id, data.instructions)
        changed = servers.approve(act, place.id, row.id)
        return ApprovedServer(row.alias, changed.status, pinned.approved)

    return await place.gate.change(place.caller, work)


@get("/servers/{name:str}/tools/diff", opt=_OF_TOOLS)
async def diff(place: Here, name: Named) -> ServerDifferences:
    """Show what differs from what was approved."""

    def look(tx: StoreTx) -> tuple[Server, list[Tool]]:
        row = lookup.server(tx, place.id, name)
        return row, tools.listed(tx, place.id, row.id)

    row, rows = await place.gate.read(look)

    def compared() -> ServerDifferences:
        changes = tuple(difference(each) for each in rows if differs(each))
        return ServerDifferences(row.alias, changes, pins.instructions(row))

    # Of all tools of a server it is long work: beside the loop, and with no snapshot held.
    return await to_thread.run_sync(compared)


@get("/servers/{name:str}/instructions", opt=_OF_TOOLS)
async def told(place: Here, name: Named) -> pins.InstructionsState:
    """Show what a server tells every session, and what of it was approved."""
    return await to_thread.run_sync(pins.instructions, await _find_server(place, name))


async def _edited_transport(
    place: WorkspaceContext, name: str, data: edits.ServerEdit
) -> Transport:
    def look(tx: StoreTx) -> Transport:
        return edits.edited_transport(lookup.server(tx, place.id, name), data)

    return await place.gate.read(look)


async def _find_server(place: WorkspaceContext, name: str) -> Server:
    return await place.gate.read(lambda tx: lookup.server(tx, place.id, name))


ROUTES = (register, health, edit, look_again, approve, diff, told)
