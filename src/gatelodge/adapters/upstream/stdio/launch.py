"""What a stdio server is started from: its definition, with its secrets filled in."""

from msgspec import Struct

from gatelodge.adapters.upstream.stdio.unread import UnreadTotal
from gatelodge.adapters.upstream.transport import as_defined
from gatelodge.core.catalog.masking import LEAST_HIDDEN
from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import StdioTransport
from gatelodge.core.catalog.transport import check_transport, check_variable
from gatelodge.core.protocol.version import Era
from gatelodge.ports.runtime import LaunchSpec, Runtime
from gatelodge.ports.world import SecretResolver


class StdioContext(Struct, frozen=True, kw_only=True):
    """What the transports of all stdio servers share: what runs them, and what is known of them.

    `eras` remembers by its transport in which era a server was met, `unread` counts what lies
    before all of them.
    """

    runtime: Runtime
    eras: dict[bytes, Era]
    unread: UnreadTotal


def launch_spec(server: str, transport: StdioTransport, secrets: SecretResolver) -> LaunchSpec:
    """What this definition describes. Raises UpstreamError or KeyUnreachable."""
    with as_defined():
        check_transport(transport)
        env = {name: secrets.resolve(value) for name, value in transport.env.items()}
        for name, value in env.items():
            # Judged once more: what a reference leads to was not known at its registration.
            check_variable(name, value)
    return LaunchSpec(
        server=server,
        command=transport.command,
        env=env,
        cwd=transport.cwd,
        own_uid=transport.run_as == "own",
    )


def hidden_values(transport: StdioTransport, spec: LaunchSpec) -> tuple[str, ...]:
    """What is masked in what the server says before it was met."""
    return tuple(
        secret for name, value in spec.env.items() for secret in _secret(transport.env[name], value)
    )


def _secret(given: str, value: str) -> tuple[str, ...]:
    """What of a value may be secret; of a reference not the word before it (`Bearer`)."""
    found = reference(given)
    if found is not None:
        return (value.removeprefix(found.before),)
    return (value,) if value != given or len(value) >= LEAST_HIDDEN else ()
