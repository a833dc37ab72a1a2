"""A server on the Python SDK over streamable HTTP, both eras on one URL: sdk_server.py PORT."""

import sys

from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server = MCPServer("sdk", instructions="From the SDK.")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def steps(ctx: Context) -> str:
    """Report progress twice."""
    await ctx.report_progress(1, 2)
    await ctx.report_progress(2, 2)
    return "done"


@server.tool()
async def touch(ctx: Context) -> str:
    """Say that the counter changed, and that the tools did."""
    await ctx.notify_resource_updated("res://counter")
    await ctx.notify_tools_changed()
    return "touched"


@server.tool()
async def declared(ctx: Context) -> str:
    """What the client can do, as it was told here."""
    can = ctx.client_capabilities
    return "{}" if can is None else can.model_dump_json(exclude_none=True, by_alias=True)


class Name(BaseModel):
    name: str


@server.tool()
async def greet(ctx: Context) -> str:
    """Ask for a name during the call; only a legacy client can be asked so."""
    asked = await ctx.elicit("Who are you?", Name)
    return f"Hello {asked.data.name}" if asked.action == "accept" else "Nobody"


@server.resource("res://counter")
def counter() -> str:
    """A number."""
    return "1"


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
