"""What a server is called that is made of an artifact, when nobody says."""

import re

from gatelodge.core.hosting.source import read_source
from gatelodge.core.protocol.shown.names import alias_for

_AFFIXES = re.compile(
    r"^(?:mcp[-_.]server|server|mcp)[-_.]|(?:[-_.]mcp[-_.]server|[-_.]mcp|[-_.]server)$",
    re.IGNORECASE,
)


def alias_of_source(source: str) -> str:
    """A short alias for what an artifact holds: `time` for mcp-server-time. Raises Invalid."""
    found = read_source(source)
    name = re.split(r"[/\\]", found.name.rstrip("/"))[-1]
    if found.kind in ("mcpb", "url", "oci"):
        name = re.sub(r"(?:-[0-9][^-]*)?\.(?:mcpb|dxt|whl|tgz|tar|tar\.gz|zip)$|:.*$", "", name)
    return alias_for(_AFFIXES.sub("", name) or name)
