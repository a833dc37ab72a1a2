"""What a server may name of the vault: a value that each has of their own wants instances apart."""

from gatelodge.core.catalog.server import ArtifactTransport, HttpTransport, Server, Transport
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.vault.injections import vault_names
from gatelodge.core.vault.secret import VaultSecret
from gatelodge.ports.store import StoreTx


def uses_secret(server: Server, name: str) -> bool:
    """True when the definition of a server names that secret."""
    return name in vault_names(server.transport)


def check_modes(tx: StoreTx, workspace: WorkspaceId, transport: Transport) -> None:
    """Raise Invalid for a secret of each one's own in a server that callers share.

    A secret that is not there yet is judged when it is declared, and whenever a server starts.
    """
    for name in vault_names(transport):
        for each in tx.find(VaultSecret, workspace=workspace, name=name):
            check_mode(each, transport)


def check_mode(secret: VaultSecret, transport: Transport) -> None:
    """Raise Invalid when callers share what that server is given, and the secret is no such."""
    if secret.mode == "shared":
        return
    what = f"the secret {secret.name} is each {secret.mode}'s own"
    if isinstance(transport, HttpTransport):
        raise Invalid(
            f"{what}, and the headers of a remote server are everybody's",
            remedy="Name a shared secret there; see KNOWN-LIMITS.",
        )
    if not isinstance(transport, ArtifactTransport):
        raise Invalid(
            f"{what}, and a server that is a command serves everybody",
            remedy="Host it as an artifact with the scope per_user, or name a shared secret.",
        )
    if transport.scope == "shared":
        raise Invalid(
            f"{what}, and this server is shared by all",
            remedy="Give it the scope per_user or per_session (--scope per_user).",
        )
