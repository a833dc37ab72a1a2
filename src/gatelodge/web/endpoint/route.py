"""Which endpoint a request's target names: `/k/{workspace}/mcp`, `/k/{workspace}/s/{alias}/mcp`."""

import re

from msgspec import Struct

from gatelodge.core.protocol.shown.names import ALIAS

_TARGET = re.compile(rb"/k/([a-z0-9][a-z0-9-]{0,62})(?:/s/(%b))?/mcp/?(?:\?|$)" % ALIAS.encode())


class EndpointRoute(Struct, frozen=True):
    """A workspace's endpoint; an `alias` narrows it to one server with bare names."""

    workspace: str
    alias: str


def route_of(target: bytes) -> EndpointRoute | None:
    """The endpoint named by a request target, None when it names none."""
    found = _TARGET.match(target)
    if found is None:
        return None
    return EndpointRoute(found[1].decode(), (found[2] or b"").decode())
