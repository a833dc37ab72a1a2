"""What of tools is not declared: what of a server differs from what was approved, all at once."""

from anyio import to_thread
from litestar import get
from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.flows.admin import pins, tools
from gatelodge.flows.admin.definitions.shapes import ToolDifference, difference, differs
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.parameters import Here, Named


class ServerDifferences(Struct, frozen=True):
    """Everything of a server that is not as approved."""

    server: str
    changes: tuple[ToolDifference, ...]
    instructions: pins.InstructionsState


@get("/servers/{name:str}/tools/diff", opt={"act": "tool.read"})
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


@get("/servers/{name:str}/instructions", opt={"act": "tool.read"})
async def told(place: Here, name: Named) -> pins.InstructionsState:
    """Show what a server tells every session, and what of it was approved."""
    row = await place.gate.read(lambda tx: lookup.server(tx, place.id, name))
    return await to_thread.run_sync(pins.instructions, row)


ROUTES = (diff, told)
