"""What a stdio server is started from: its definition, with its secrets filled in."""

from collections.abc import Mapping

from msgspec import Struct

from gatelodge.adapters.upstream.stdio.unread import UnreadTotal
from gatelodge.adapters.upstream.transport import as_defined
from gatelodge.core.catalog.masking import LEAST_HIDDEN
from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import ArtifactTransport, StdioTransport
from gatelodge.core.catalog.transport import check_transport, check_variable
from gatelodge.core.protocol.version import Era
from gatelodge.core.vault.injections import injections
from gatelodge.ports.runtime import LaunchSpec, Runtime
from gatelodge.ports.upstream import OnBehalfOf
from gatelodge.ports.world import SecretResolver


class StdioContext(Struct, frozen=True, kw_only=True):
    """What the transports of all stdio servers share: what runs them, and what is known of them.

    `eras` remembers by its transport in which era a server was met, `unread` counts what lies
    before all of them.
    """

    runtime: Runtime
    eras: dict[bytes, Era]
    unread: UnreadTotal


Hosted = StdioTransport | ArtifactTransport
"""What the gate starts itself."""


async def launch_spec(
    server: str, workspace: str, owner: OnBehalfOf, transport: Hosted, secrets: SecretResolver
) -> LaunchSpec:
    """What this definition describes, for this owner (nobody = shared).

    Raises UpstreamError or KeyUnreachable.
    """
    with as_defined():
        check_transport(transport)
        env = await secrets.resolve_all(transport.env, workspace, owner.principal)
        for name, value in env.items():
            # Judged once more: what a reference leads to was not known at its registration.
            check_variable(name, value)
        given = tuple(each for each in injections(transport) if _is_given(each, "env", env))
        if isinstance(transport, ArtifactTransport):
            files = await secrets.resolve_all(transport.files, workspace, owner.principal)
            filed = (each for each in injections(transport) if _is_given(each, "file", files))
            return LaunchSpec(
                server=server,
                workspace=workspace,
                owner=owner.principal,
                person=owner.whose,
                command=transport.args,
                env=env,
                image=transport.image,
                files=files,
                egress=transport.egress,
                port=transport.port,
                limits=transport.limits,
                tier=transport.tier,
                secrets=tuple(sorted((*given, *filed))),
            )
    return LaunchSpec(
        server=server,
        workspace=workspace,
        owner=owner.principal,
        person=owner.whose,
        command=transport.command,
        env=env,
        secrets=given,
        cwd=transport.cwd,
        own_uid=transport.run_as == "own",
    )


def _is_given(injection: str, how: str, values: Mapping[str, str]) -> bool:
    """Say whether what was resolved holds it: nobody's instance has nothing of each one's own."""
    name, way, _source = injection.split(":")
    return way == how and name in values


def lacking_secrets(transport: Hosted, spec: LaunchSpec) -> tuple[str, ...]:
    """The secrets of the vault that the definition names and this start has no value of, sorted."""
    given = [(transport.env, spec.env)]
    if isinstance(transport, ArtifactTransport):
        given.append((transport.files, spec.files))
    left_out = {
        found.place
        for asked, had in given
        for name, value in asked.items()
        if name not in had and (found := reference(value)) is not None
    }
    return tuple(sorted(left_out))


def hidden_values(transport: Hosted, spec: LaunchSpec) -> tuple[str, ...]:
    """What is masked in what the server says before it was met."""
    given = [(transport.env[name], value) for name, value in spec.env.items()]
    if isinstance(transport, ArtifactTransport):
        given += [(transport.files[name], value) for name, value in spec.files.items()]
    return tuple(secret for word, value in given for secret in _secret(word, value))


def _secret(given: str, value: str) -> tuple[str, ...]:
    """What of a value may be secret; of a reference not the word before it (`Bearer`)."""
    found = reference(given)
    if found is not None:
        return (value.removeprefix(found.before),)
    return (value,) if value != given or len(value) >= LEAST_HIDDEN else ()
