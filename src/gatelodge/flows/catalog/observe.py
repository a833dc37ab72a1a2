"""Asks a server what it has, because an admin wants to know; approves nothing."""

from gatelodge.core.catalog.offer import read_offer
from gatelodge.core.catalog.server import Server
from gatelodge.core.protocol.envelope import members_of, read_text
from gatelodge.core.protocol.shown.conform import nonconformities
from gatelodge.ports.upstream import ObservedOffer, Upstreams


async def look(upstreams: Upstreams, server: Server) -> ObservedOffer:
    """What the server says of itself, each object as it was sent; starts it for that if it must.

    Only for an admin's own wish: a server that is proposed is reached for this one question and
    left again. Raises UpstreamError.
    """
    return await upstreams.observe(server)


def left_out(server: Server, seen: ObservedOffer) -> tuple[str, ...]:
    """What stands in no list, or not in that of some clients, and why."""
    tools = []
    for tool in seen.tools:
        wrong = nonconformities("tools", tool)
        if wrong:
            name = read_text((members_of(tool) or {}).get("name")) or ""
            # The name is the server's own text: it is cut and escaped, for terminals obey some.
            tools.append(f"tool {name[:80]!a}: {wrong[0]}")
    offer = read_offer(
        server, prompts=seen.prompts, resources=seen.resources, templates=seen.templates
    )
    return (*seen.refused, *tools, *offer.left_out)
