"""Who is measured, in the order of the table."""

from collections.abc import Sequence

from bench.targets.anchors import Direct, Nginx
from bench.targets.contextforge import ContextForge
from bench.targets.fastmcp_proxy import FastmcpProxy
from bench.targets.gatelodge import Gatelodge
from bench.targets.target import Place, Target

__all__ = ["Place", "Target", "every_target"]


def every_target() -> Sequence[Target]:
    return (
        Direct(),
        Nginx(),
        Gatelodge("strict", "intent durable before the call is forwarded"),
        Gatelodge("strict", "as strict, with a client and a server of the legacy era", "legacy"),
        Gatelodge("overlap", "no answer before its intent is durable"),
        Gatelodge("async", "written, not waited for"),
        FastmcpProxy(),
        ContextForge(),
    )
