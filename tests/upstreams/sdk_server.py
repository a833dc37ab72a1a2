"""A server on the Python SDK over streamable HTTP, both eras on one URL: sdk_server.py PORT."""

import sys

from mcp.server.mcpserver import Context, MCPServer

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


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
