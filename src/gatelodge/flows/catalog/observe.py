"""Asks a server what tools it has, because an admin wants to know; approves nothing."""

from gatelodge.core.catalog.server import Server
from gatelodge.ports.upstream import Upstreams


async def definitions(upstreams: Upstreams, server: Server) -> list[bytes]:
    """The tool objects as the server sent them, in its order; starts it for that if it must.

    Only for an admin's own wish: a server that is proposed is reached for this one question and
    left again. Raises UpstreamError.
    """
    seen = await upstreams.observe(server)
    return [bytes(tool) for tool in seen.tools]
