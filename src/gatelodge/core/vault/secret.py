"""A secret of a workspace, and its values as they are kept: sealed, each under a key of its own."""

from typing import Literal

from msgspec import Struct

from gatelodge.core.ids import Instant, PrincipalId, SecretId, WorkspaceId

SecretMode = Literal["shared", "member", "agent"]
"""Whose value it has: one for everybody, one of each member, one of each agent."""

LARGEST_VALUE = 64 * 1024
"""Bytes of one value, as of a file that a reference names."""


class VaultSecret(Struct, frozen=True, kw_only=True):
    """A secret by its name, which it keeps for good. Its values are rows of their own."""

    id: SecretId
    workspace: WorkspaceId
    name: str
    mode: SecretMode = "shared"
    description: str = ""
    created_at: Instant


class SealedValue(Struct, frozen=True, kw_only=True):
    """One value of a secret; `holder` is whose it is, empty where it is everybody's.

    `sealed` is the value under a data key (AES-256-GCM), `wrapped` that key under the root that
    `root` names; both are base64. `version` grows with each new value, `size` is in bytes.
    """

    workspace: WorkspaceId
    secret: SecretId
    holder: PrincipalId | Literal[""] = ""
    version: int
    root: str
    wrapped: str
    sealed: str
    size: int
    set_at: Instant


def sealing_context(workspace: str, name: str, holder: str, version: int) -> bytes:
    """What a value is bound to (associated data): a row that was moved elsewhere opens nothing."""
    # Neither ids nor names hold a NUL, so no two places give the same bytes.
    return b"\0".join(
        (b"gatelodge vault 1", workspace.encode(), name.encode(), holder.encode(), b"%d" % version)
    )
