"""The values a view is made of: who may come in, and what stands behind the gate.

Nothing here decides; `core.policy` and `core.view` do, over these values.
"""

from typing import Literal

from msgspec import Raw, Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.ids import CredentialId, GroupId, Instant, PrincipalId, ServerId, WorkspaceId
from gatelodge.core.people import CredentialKind
from gatelodge.core.protocol.upstream_headers import Mirror

Standing = Literal["pinned", "changed", "new"]
"""pinned: as approved; changed: differs from what was approved; new: never approved."""


class CallContext(Struct, frozen=True, gc=False):
    """What a guardrail may ask about the circumstances of a call, besides the time."""

    credential: CredentialKind


PERSONAL = CallContext("personal")
AGENT = CallContext("agent")


class PrincipalEntry(Struct, frozen=True, kw_only=True, gc=False):
    """An active member or agent with its groups (sorted). `owner` answers for an agent."""

    id: PrincipalId
    workspace: WorkspaceId
    kind: Literal["member", "agent"]
    role: str = ""
    owner: "PrincipalEntry | None" = None
    groups: tuple[GroupId, ...] = ()
    generation: int = 0

    @property
    def context(self) -> CallContext:
        """The context of a call made with this principal's usual kind of credential."""
        return PERSONAL if self.kind == "member" else AGENT


class CredentialEntry(Struct, frozen=True, kw_only=True, gc=False):
    """A credential that is good but for its expiry, which each request checks (`at` before)."""

    id: CredentialId
    digest: str
    workspace: WorkspaceId
    principal: PrincipalId
    kind: CredentialKind
    pepper: str
    generation: int
    expires_at: Instant
    context: CallContext


class ToolEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One tool as callers meet it. `read_only`, `destructive`, `open_world` are reviewed values.

    `listed` and `bare` are the tool object for a list answer (JSON text) under the shown and the
    original name; all other members are the server's own bytes. A changed tool is listed by a
    notice of ours, so that no unreviewed word reaches a model. `digest` is the approved one,
    `uid` the id of the tool in policy text (`server/name`, percent-encoded where not plain),
    `mirrors` the arguments that headers repeat (`x-mcp-header`).
    """

    server: ServerId
    workspace: WorkspaceId
    alias: str
    name: str
    shown: str
    position: int
    digest: str
    standing: Standing
    read_only: bool
    destructive: bool
    open_world: bool
    tags: tuple[str, ...] = ()
    uid: str
    listed: Raw
    bare: Raw
    mirrors: tuple[Mirror, ...] = ()

    @property
    def rank(self) -> int:
        """How much a grant must reach: 0 read-only, 1 neither, 2 destructive."""
        if self.read_only:
            return 0
        return 2 if self.destructive else 1


class ServerView(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """An approved server and its present tools by original name, in the order of position.

    Compared by identity: the same object in two views means that nothing of it changed.
    """

    server: Server
    tools: dict[str, ToolEntry]
    rows: tuple[Tool, ...]
    faults: tuple[str, ...] = ()

    @property
    def id(self) -> ServerId:
        """The server's id."""
        return self.server.id

    @property
    def alias(self) -> str:
        """The server's alias, unique in its workspace."""
        return self.server.alias


class WorkspaceView(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """A workspace as callers meet it: approved servers by alias, all their tools by shown name.

    `policy` is the hex SHA-256 of all policy text that holds here; call records cite it.
    `policy_text` is the enforced part, in Cedar.
    """

    id: WorkspaceId
    slug: str
    name: str
    servers: dict[str, ServerView]
    tools: dict[str, ToolEntry]
    policy: str
    policy_text: str

    def server(self, server: ServerId) -> ServerView | None:
        """The server of that id, or None when it is not approved here."""
        return next((found for found in self.servers.values() if found.id == server), None)
