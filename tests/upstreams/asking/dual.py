"""A server on the Python SDK that speaks both eras over HTTP, each of its tools asking in one.

It prints its URL first.
"""

import socket
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from pydantic import BaseModel

server = MCPServer("dual", log_level="CRITICAL")
SCHEMA = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}


class Count(BaseModel):
    count: int


@server.tool(structured_output=False)
async def need(ctx: Context) -> str | InputRequiredResult:
    """Ends with its question, as the modern era has it."""
    if ctx.input_responses:
        return str(ctx.input_responses["count"].content["count"])
    form = ElicitRequestFormParams(message="How many?", requested_schema=SCHEMA)
    return InputRequiredResult(input_requests={"count": ElicitRequest(params=form)})


@server.tool(structured_output=False)
async def push(ctx: Context) -> str:
    """Asks in the middle of its work, as a legacy era has it."""
    answer = await ctx.elicit("How many?", Count)
    return str(answer.data.count)


@server.prompt()
def greet() -> str:
    """There to be listed."""
    return "Hello."


listener = socket.create_server(("127.0.0.1", 0))
sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
sys.stdout.flush()
app = server.streamable_http_app()
uvicorn.Server(uvicorn.Config(app, log_level="critical")).run([listener])
