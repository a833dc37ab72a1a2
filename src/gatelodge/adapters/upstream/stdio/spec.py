"""What is started for a stdio server: its definition, with its secrets and its place filled in."""

import asyncio

from gatelodge.adapters.upstream.pending import WireContext
from gatelodge.adapters.upstream.stdio.child import SpawnSpec, usual_path
from gatelodge.adapters.upstream.stdio.places import ChildPlace
from gatelodge.adapters.upstream.wire import as_defined
from gatelodge.core.catalog.server import StdioTransport
from gatelodge.core.catalog.transport import check_transport, check_variable

LEAST_HIDDEN = 8
"""A literal of the definition that is shorter is no secret, and masking it would hide words."""


async def spawn_spec(transport: StdioTransport, means: WireContext, place: ChildPlace) -> SpawnSpec:
    """The process that this definition describes. Raises UpstreamError or KeyUnreachable."""
    given = transport.env
    with as_defined():
        check_transport(transport)
        env = {name: means.secrets.resolve(value) for name, value in given.items()}
        for name, value in env.items():
            # Judged once more: what a reference leads to was not known at its registration.
            check_variable(name, value)
    return SpawnSpec(
        command=transport.command,
        env={**await asyncio.to_thread(place.prepared), **env},
        cwd=transport.cwd,
        uid=place.uid,
        gid=place.gid,
        path=usual_path(means.hosting.path),
        grace=means.hosting.stop_seconds,
        hidden=tuple(v for k, v in env.items() if v != given[k] or len(v) >= LEAST_HIDDEN),
    )
