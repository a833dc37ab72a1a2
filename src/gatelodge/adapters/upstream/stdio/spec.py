"""What is started for a stdio server: its definition, with its secrets and its place filled in."""

import asyncio

from gatelodge.adapters.upstream.stdio.child import SpawnSpec, usual_path
from gatelodge.adapters.upstream.stdio.places import ChildPlace
from gatelodge.adapters.upstream.transport import TransportContext, as_defined
from gatelodge.core.catalog.masking import LEAST_HIDDEN
from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import StdioTransport
from gatelodge.core.catalog.transport import check_transport, check_variable


async def spawn_spec(
    transport: StdioTransport, means: TransportContext, place: ChildPlace
) -> SpawnSpec:
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
        hidden=tuple(
            secret for name, value in env.items() for secret in _secret(given[name], value)
        ),
    )


def _secret(given: str, value: str) -> tuple[str, ...]:
    """What of a value may be secret; of a reference not the word before it (`Bearer`)."""
    found = reference(given)
    if found is not None:
        return (value.removeprefix(found.before),)
    return (value,) if value != given or len(value) >= LEAST_HIDDEN else ()
