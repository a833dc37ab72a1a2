"""Servers: list, propose, observe, approve, disable, enable, remove."""

from anyio import to_thread
from litestar import get, post
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.catalog.server import EraWish, Server, Timing, Tool, Transport, Withholdable
from gatelodge.core.errors import Conflict
from gatelodge.flows.act import Act
from gatelodge.flows.admin import pins, servers, tools
from gatelodge.flows.admin.definitions import edits
from gatelodge.flows.admin.definitions.proposals import Proposal, description_digest
from gatelodge.flows.catalog import observe
from gatelodge.flows.catalog.stock import keep_in_parts
from gatelodge.flows.identity.revocation import Receipt
from gatelodge.ports.store import Tx
from gatelodge.ports.upstream import Health
from gatelodge.web.api import named
from gatelodge.web.api.gate import Place, Rehearsal
from gatelodge.web.api.given import Asks, Flag, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.people.shapes import Why
from gatelodge.web.api.rules.shapes import ServerShape, server_shape
from gatelodge.web.api.rules.tool_shapes import Instructions, ToolShape, instructions, tool_shape


class NewServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is to be reached; values of headers and variables may be references.

    `withheld` is what it is never told that a client declared.
    """

    alias: str
    transport: Transport
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    withheld: tuple[Withholdable, ...] = ()
    timing: Timing | None = None


class Approval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    instructions: Instructions
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


@get("/servers", opt={"act": "server.read"})
async def listed(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> Page[ServerShape]:
    """List the servers and how they are doing."""

    def look(tx: Tx) -> Page[ServerShape]:
        return page(
            servers.listed(tx, place.id),
            lambda row: row.id,
            lambda row: _shape(tx, place, row),
            Asked(limit, cursor),
        )

    return await place.gate.read(look)


@post("/servers", opt={"act": "server.register"})
async def register(place: Here, data: JSONBody[NewServer]) -> ServerShape:
    """Propose a server; nobody can use it before it is approved."""
    proposal = Proposal(
        transport=data.transport,
        era=data.era,
        tags=data.tags,
        withheld=data.withheld,
        timing=data.timing or Timing(),
    )

    def work(act: Act) -> ServerShape:
        row = servers.register(act, place.id, data.alias, proposal)
        return _shape(act.tx, place, row)

    return await place.gate.change(place.caller, work)


@get("/servers/{alias:str}", opt={"act": "server.read"})
async def show(place: Here, alias: Named) -> ServerShape:
    """Show one server."""
    return await place.gate.read(lambda tx: _shape(tx, place, named.server(tx, place.id, alias)))


@get("/servers/{alias:str}/health", opt={"act": "server.read"})
async def health(place: Here, alias: Named) -> Health:
    """How a server is doing on this node."""
    return _health(place, await _named(place, alias))


@post("/servers/{alias:str}/edit", opt={"act": "server.register"}, status_code=200)
async def edit(
    place: Here, alias: Named, data: JSONBody[edits.Edit], *, dry_run: Flag = False
) -> ServerShape | Rehearsal:
    """Change a server in place; one that is reached in another way waits for approval again."""

    def work(act: Act) -> ServerShape:
        row = named.server(act.tx, place.id, alias)
        wanted = edits.edited(act, row, data)
        return _shape(act.tx, place, servers.revise(act, place.id, row.id, wanted))

    if dry_run:
        return await place.gate.rehearse(place.caller, work, "")
    return await place.gate.change(place.caller, work)


@post("/servers/{alias:str}/observe", opt={"act": "tool.observe"}, status_code=200)
async def look_again(place: Here, alias: Named) -> ObservedServer:
    """Reach the server and read its tools; approves nothing."""
    row = await place.gate.change(
        place.caller,
        lambda act: servers.look_at(act, place.id, named.server(act.tx, place.id, alias).id),
    )
    found = await observe.look(place.gate.upstreams, row)
    # How much work its lists are, the server decides: they are read beside the loop.
    refused = await to_thread.run_sync(observe.left_out, row, found)
    definitions = [bytes(each) for each in found.tools]
    stock = await to_thread.run_sync(tools.read_stock, definitions)
    seen = await keep_in_parts(lambda part: place.gate.change(place.caller, part), row, stock)
    if pins.kept_instructions(found.instructions) != row.instructions:

        def note(act: Act) -> bool:
            return pins.note_instructions(act, place.id, row.id, found.instructions)

        await place.gate.change(place.caller, note)
    now = await _named(place, alias)
    rows = await place.gate.read(lambda tx: tools.listed(tx, place.id, row.id))
    length = place.name_length
    return ObservedServer(
        alias=now.alias,
        digest=description_digest(now),
        instructions=instructions(now),
        tools=tuple(tool_shape(each, row.alias, length) for each in rows if each.present),
        new=seen.new,
        changed=seen.changed,
        gone=seen.gone,
        skipped=(*refused, *seen.skipped),
    )


@post("/servers/{alias:str}/approve", opt={"act": "server.approve"}, status_code=200)
async def approve(place: Here, alias: Named, data: JSONBody[Approval]) -> ApprovedServer:
    """Approve the server, and of its tools and instructions what was shown; 409 when it changed."""

    def work(act: Act) -> ApprovedServer:
        row = named.server(act.tx, place.id, alias)
        if data.description != description_digest(row):
            raise Conflict(
                f"not what was shown any more: the description of {alias}",
                remedy=f"Look at it again: gatelodge server show {alias}",
            )
        pinned = pins.approve(act, place.id, row.id, data.tools)
        if data.instructions:
            pins.approve_instructions(act, place.id, row.id, data.instructions)
        changed = servers.approve(act, place.id, row.id)
        return ApprovedServer(row.alias, changed.status, tuple(each.name for each in pinned))

    return await place.gate.change(place.caller, work)


@post("/servers/{alias:str}/enable", opt={"act": "server.approve"}, status_code=200)
async def enable(place: Here, alias: Named) -> ServerShape:
    """Let a disabled server serve again, with the pins it had."""

    def work(act: Act) -> ServerShape:
        row = named.server(act.tx, place.id, alias)
        if row.status == "proposed":
            raise Conflict(
                f"{row.alias} waits for its approval",
                remedy=f"See its tools, then: gatelodge server approve {row.alias}",
            )
        return _shape(act.tx, place, servers.approve(act, place.id, row.id))

    return await place.gate.change(place.caller, work)


@post("/servers/{alias:str}/disable", opt={"act": "server.disable"}, status_code=200)
async def disable(place: Here, alias: Named, data: JSONBody[Why]) -> Receipt:
    """Stop a server, running calls included; answers when it holds on every node."""
    row = await _named(place, alias)

    def work(act: Act) -> tuple[str, ...]:
        servers.disable(act, place.id, row.id)
        return ()

    return await place.gate.end(place.caller, ("server", row.id, place.id), data.why, work)


@post("/servers/{alias:str}/remove", opt={"act": "server.remove"}, status_code=200)
async def remove(
    place: Here, alias: Named, data: JSONBody[Why], *, dry_run: Flag = False
) -> Receipt | Rehearsal:
    """Remove a server with its tools and the grants on it, cutting what runs."""
    row = await _named(place, alias)

    def work(act: Act) -> tuple[str, ...]:
        return servers.remove(act, place.id, row.id).grants

    if dry_run:
        return await place.gate.rehearse(place.caller, work, data.why)
    return await place.gate.end(place.caller, ("server", row.id, place.id), data.why, work)


async def _named(place: Place, alias: str) -> Server:
    return await place.gate.read(lambda tx: named.server(tx, place.id, alias))


def _shape(tx: Tx, place: Place, row: Server) -> ServerShape:
    present = tx.find(Tool, workspace=place.id, server=row.id, present=True)
    return server_shape(row, present, _health(place, row))


def _health(place: Place, row: Server) -> Health:
    """How a server is doing; its last words are for those who may register one."""
    found = place.gate.upstreams.health(row.id)
    return found if place.caller.may("server.register") else replace(found, said=())


ROUTES = (listed, register, show, health, edit, look_again, approve, enable, disable, remove)
