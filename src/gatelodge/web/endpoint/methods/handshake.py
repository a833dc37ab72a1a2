"""Handshakes: discovery of the modern era, sessions and their log level of the legacy one."""

from collections.abc import Callable

from msgspec import Raw

from gatelodge.core.ids import Instant, ServerId
from gatelodge.core.jsontext.jsonrpc import result_body
from gatelodge.core.protocol.bridge.levels import read_level
from gatelodge.core.protocol.capabilities import (
    LEGACY_EXTENSIONS,
    TASKS,
    declared,
    offered,
)
from gatelodge.core.protocol.envelope import read_text
from gatelodge.core.protocol.result import discover_result, initialize_result, instructions
from gatelodge.core.protocol.session import CONTEXT, LegacySession, pack
from gatelodge.core.protocol.version import LEGACY, MODERN
from gatelodge.core.view import reachable
from gatelodge.core.view_entry import ServerView
from gatelodge.flows.gateway.listing import ListViewer, allowed_tools
from gatelodge.flows.gateway.sessions import LIFE_MICROSECONDS
from gatelodge.web.endpoint.context import EndpointContext, answer_here, answer_invalid
from gatelodge.web.endpoint.request_context import RequestContext

_INSTRUCTIONS = (
    "Tools of several servers behind one governed endpoint; each call is decided by a rule and"
    " recorded. A denied call says which rule and whom to ask."
)
_TASKS = frozenset((TASKS,))


async def discover(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer server/discover (MCP 2026-07-28)."""

    def result() -> bytes:
        here = _visible_servers(gate, visit)
        extensions = LEGACY_EXTENSIONS | _TASKS if visit.route.alias else _TASKS
        capabilities = offered(_capabilities_of_servers(gate, here), extensions)
        return discover_result(gate.info, (MODERN,), _combined_instructions(here), capabilities)

    await _answer_handshake(gate, visit, result)


async def initialize(gate: EndpointContext, visit: RequestContext) -> None:
    """Open a legacy session: a sealed id, bound to the caller and this endpoint."""
    wanted = read_text(visit.message.params.get("protocolVersion"))
    if wanted is None:
        await answer_invalid(gate, visit, "params.protocolVersion is missing")
        return
    # An unknown revision is answered with the newest of the era (2025-11-25 basic/lifecycle).
    visit.proto = wanted if wanted in LEGACY else LEGACY[0]
    assert visit.caller is not None
    session = LegacySession(
        principal=visit.who.id,
        workspace=visit.workspace.id,
        alias=visit.route.alias,
        version=visit.proto,
        client=visit.caller.client,
        ends_at=gate.clock.now() + LIFE_MICROSECONDS,
        nonce=gate.ids.random(12),
        capabilities=declared(visit.message.params.get("capabilities"), "legacy"),
    )
    visit.answer.header(b"mcp-session-id: " + gate.sealer.seal(pack(session), CONTEXT).encode())

    def result() -> bytes:
        here = _visible_servers(gate, visit)
        extensions = LEGACY_EXTENSIONS if visit.route.alias else frozenset[str]()
        capabilities = offered(_capabilities_of_servers(gate, here), extensions)
        return initialize_result(gate.info, visit.proto, _combined_instructions(here), capabilities)

    await _answer_handshake(gate, visit, result)


async def ping(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer a legacy ping."""
    await answer_here(gate, visit, result_body(visit.message.id, b"{}"))


async def set_level(gate: EndpointContext, visit: RequestContext) -> None:
    """Remember the least severe log message that a legacy session wants to hear."""
    session = visit.session
    level = read_level(visit.message.params.get("level"))
    if not level or session is None:
        await answer_invalid(gate, visit, "params.level is not a log level")
        return
    gate.sessions.of(
        session.nonce, session.ends_at, gate.clock.now(), visit.answerable
    ).level = level
    await answer_here(gate, visit, result_body(visit.message.id, b"{}"))


async def _answer_handshake(
    gate: EndpointContext, visit: RequestContext, result: Callable[[], bytes]
) -> None:
    told = result()
    body = result_body(visit.message.id, told)
    await answer_here(gate, visit, body, still=lambda: result() == told)


def _visible_servers(gate: EndpointContext, visit: RequestContext) -> list[ServerView]:
    """The servers of which this caller may use something here, by alias."""
    at, alias = Instant(gate.clock.now()), visit.route.alias
    look = ListViewer(visit.view, visit.who, visit.workspace, alias, at)
    # The instructions of any other server would give away that it is there.
    seen: set[ServerId] = {tool.server for tool in allowed_tools(look)}
    for kind in ("prompts", "resources"):
        servers = reachable(visit.view, visit.who, visit.workspace, at, kind, alias)
        seen.update(server.id for server in servers)
    return [server for _, server in sorted(visit.workspace.servers.items()) if server.id in seen]


def _capabilities_of_servers(gate: EndpointContext, servers: list[ServerView]) -> list[Raw]:
    return [offer.capabilities for s in servers if (offer := gate.offers.of(s.id)) is not None]


def _combined_instructions(servers: list[ServerView]) -> str:
    """The gate's own words, and of each server those that an admin approved."""
    return instructions(_INSTRUCTIONS, [(each.alias, each.server.told) for each in servers])
