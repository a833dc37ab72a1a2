"""Reading what a server says of itself: all pages of its tools, each tool as it was sent."""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from gatelodge.adapters.upstream.flight import Flight
from gatelodge.core.errors import (
    Invalid,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
)
from gatelodge.core.protocol.upstream import Page, parse_fault, parse_page
from gatelodge.core.protocol.upstream_headers import mirrors
from gatelodge.ports.upstream import Observed, Request

MOST_PAGES = 50
MOST_BYTES = 4 * 1024 * 1024
_REMEDY = "The server offers more than this gate takes; ask its author for fewer tools."


class _Schemed(Struct):
    name: str
    inputSchema: Raw = Raw(b"{}")  # noqa: N815 - the wire's spelling


async def read_tools(
    begin: Callable[[Request], Flight], seconds: float, *, strict_headers: bool
) -> Observed:
    """All tools, without instructions. `strict_headers` = drop those a modern HTTP client must.

    Raises UpstreamError, or LimitReached for more than 50 pages or 4 MiB.
    """
    tools: list[Raw] = []
    dropped = size = 0
    cursors: set[str] = set()
    params: dict[str, Raw] = {}
    until = asyncio.get_running_loop().time() + seconds
    for _ in range(MOST_PAGES):
        page = await _page(begin, params, until, seconds)
        for tool in page.tools:
            whole = bytes(tool)
            size += len(whole)
            if usable(tool, strict_headers=strict_headers):
                tools.append(Raw(whole))
            else:
                dropped += 1
        if size > MOST_BYTES:
            raise LimitReached(f"The tools are larger than {MOST_BYTES} bytes.", remedy=_REMEDY)
        if page.nextCursor is None:
            return Observed(tools=tuple(tools), dropped=dropped)
        if page.nextCursor in cursors:
            raise UpstreamBrokeProtocol("The server's list of tools runs in a circle.")
        cursors.add(page.nextCursor)
        params = {"cursor": Raw(msgspec.json.encode(page.nextCursor))}
    raise LimitReached(f"The list of tools has more than {MOST_PAGES} pages.", remedy=_REMEDY)


async def _page(
    begin: Callable[[Request], Flight], params: dict[str, Raw], until: float, seconds: float
) -> Page:
    left = until - asyncio.get_running_loop().time()
    if left <= 0:
        raise UpstreamTimeout(f"The tools were not listed within {seconds:g} s.")
    asked = Request(method="tools/list", params=params, seconds=left, max_bytes=MOST_BYTES)
    flight = begin(asked)
    try:
        reply = await flight.reply
    finally:
        flight.abort("cancelled")
    if reply.result is None:
        code = 0 if reply.error is None else parse_fault(reply.error).code
        if code == -32_601 and not params:
            return Page(tools=[])  # a server of prompts or resources only
        raise UpstreamBrokeProtocol(f"The server answered tools/list with error {code}.")
    page = parse_page(reply.result)
    if page is None:
        raise UpstreamBrokeProtocol("The server answered tools/list with something else.")
    return page


def usable(tool: Raw, *, strict_headers: bool) -> bool:
    """True when a client may use the tool: it has a name, and valid `x-mcp-header`s if asked."""
    try:
        read = msgspec.json.decode(tool, type=_Schemed)
        if strict_headers:
            mirrors(read.inputSchema)
    except (msgspec.MsgspecError, RecursionError, Invalid):
        return False
    return bool(read.name)
