"""What is remembered of a server's links, and of what was lately asked for in a session."""

from gatelodge.core.catalog.server import Server
from gatelodge.ports.upstream import UpstreamRequest

MOST_RECENT = 64
"""Different things asked for in a session that are remembered; the oldest are forgotten."""


def link_definition(server: Server) -> tuple[object, ...]:
    """What a change of makes a restart: how the server is reached, and what it is told of whom."""
    return server.transport, server.era, server.hidden_capabilities, server.timing.start_seconds


def remember_recent_request(recent: dict[tuple[str, str], None], request: UpstreamRequest) -> None:
    """Remember what was asked for in a session: what is said there later may be about it."""
    # Rules tell tools apart, but all prompts or resources of a server alike (decision 0014).
    what = (request.method, request.name if request.method == "tools/call" else "")
    recent.pop(what, None)
    recent[what] = None
    if len(recent) > MOST_RECENT:
        del recent[next(iter(recent))]
