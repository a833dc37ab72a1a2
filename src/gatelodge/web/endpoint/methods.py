"""What the gate answers itself: handshakes, discovery, pings and lists."""

from collections.abc import Awaitable, Callable

from gatelodge.core.ids import Instant
from gatelodge.core.protocol.envelope import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    error_body,
    read_text,
    result_body,
)
from gatelodge.core.protocol.result import (
    discover_result,
    for_legacy,
    initialize_result,
    list_result,
)
from gatelodge.core.protocol.session import CONTEXT, Session, pack
from gatelodge.core.protocol.version import LEGACY, MODERN
from gatelodge.flows.gateway.listing import BadCursor, Outlook, page_of, tools_of
from gatelodge.flows.gateway.sessions import LIFE_MICROSECONDS
from gatelodge.web.endpoint.calling import call_tool
from gatelodge.web.endpoint.gate import Gate, answer_here
from gatelodge.web.endpoint.listen import listen
from gatelodge.web.endpoint.visit import Visit

Method = Callable[[Gate, Visit], Awaitable[None]]

_INSTRUCTIONS = (
    "Tools of several servers behind one governed endpoint; each call is decided by a rule and"
    " recorded. A denied call says which rule and whom to ask."
)


async def discover(gate: Gate, visit: Visit) -> None:
    """Answer server/discover (MCP 2026-07-28)."""
    result = discover_result(gate.info, (MODERN,), _INSTRUCTIONS)
    await answer_here(gate, visit, result_body(visit.message.id, result))


async def initialize(gate: Gate, visit: Visit) -> None:
    """Open a legacy session: a sealed id, bound to the caller and this endpoint."""
    wanted = read_text(visit.message.params.get("protocolVersion"))
    if wanted is None:
        body = error_body(visit.message.id, INVALID_PARAMS, "params.protocolVersion is missing")
        await answer_here(gate, visit, body, rpc_code=INVALID_PARAMS)
        return
    visit.proto = wanted if wanted in LEGACY else LEGACY[0]
    assert visit.caller is not None
    session = Session(
        principal=visit.who.id,
        workspace=visit.workspace.id,
        alias=visit.route.alias,
        version=visit.proto,
        client=visit.caller.client,
        ends_at=gate.clock.now() + LIFE_MICROSECONDS,
        nonce=gate.ids.random(12),
    )
    visit.answer.header(b"mcp-session-id: " + gate.sealer.seal(pack(session), CONTEXT).encode())
    result = initialize_result(gate.info, visit.proto, _INSTRUCTIONS)
    await answer_here(gate, visit, result_body(visit.message.id, result))


async def ping(gate: Gate, visit: Visit) -> None:
    """Answer a legacy ping."""
    await answer_here(gate, visit, result_body(visit.message.id, b"{}"))


async def list_tools(gate: Gate, visit: Visit) -> None:
    """Answer tools/list with exactly what this caller may call."""
    raw = visit.message.params.get("cursor")
    cursor = read_text(raw)
    at = Instant(gate.clock.now())
    look = Outlook(visit.view, visit.who, visit.workspace, visit.route.alias, at)
    page = page_of(tools_of(look), "tools", look, cursor, gate.limits.page_size, gate.sealer)
    if isinstance(page, BadCursor) or (raw is not None and cursor is None):
        body = error_body(visit.message.id, INVALID_PARAMS, "invalid cursor")
        status = 400 if visit.era == "modern" else 200
        await answer_here(gate, visit, body, status=status, rpc_code=INVALID_PARAMS)
        return
    bare, legacy = bool(visit.route.alias), visit.era == "legacy"
    raws = [tool.bare if bare else tool.listed for tool in page.items]
    tools = [for_legacy(raw) if legacy else bytes(raw) for raw in raws]
    result = list_result(tools, page.cursor, visit.era)
    await answer_here(gate, visit, result_body(visit.message.id, result))


async def accepted(gate: Gate, visit: Visit) -> None:
    """Take a notification or a response: 202 without a body."""
    await answer_here(gate, visit, b"", status=202)


async def unknown(gate: Gate, visit: Visit) -> None:
    """Say that there is no such method: 404 for the modern era, a plain error for the legacy."""
    body = error_body(visit.message.id, METHOD_NOT_FOUND, "method not found")
    status = 404 if visit.era == "modern" else 200
    await answer_here(gate, visit, body, status=status, rpc_code=METHOD_NOT_FOUND)


MODERN_METHODS: dict[str, Method] = {
    "server/discover": discover,
    "tools/list": list_tools,
    "tools/call": call_tool,
    "subscriptions/listen": listen,
}
LEGACY_METHODS: dict[str, Method] = {
    "initialize": initialize,
    "ping": ping,
    "tools/list": list_tools,
    "tools/call": call_tool,
}
