"""The values a view is made of: who may come in, and what stands behind the gate.

Nothing here decides; `core.policy` and `core.view` do, over these values.
"""

from typing import ClassVar, Literal

from msgspec import Raw, Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.ids import CredentialId, GroupId, Instant, PrincipalId, ServerId, WorkspaceId
from gatelodge.core.people import CredentialKind
from gatelodge.core.protocol.envelope import Era
from gatelodge.core.protocol.upstream_headers import HeaderMirror

Standing = Literal["pinned", "changed", "new"]
"""pinned: as approved; changed: differs from what was approved; new: never approved."""
ReadKind = Literal["prompts", "resources"]
Key = str | tuple[ReadKind]
"""What a decision table is asked by: a tool's own name, or something that is no name at all."""


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

    @property
    def person(self) -> PrincipalId:
        """Who answers for it: an agent's owner, a member themselves."""
        # What a person may have under way is counted with their agents: else each one adds a share.
        return self.id if self.owner is None else self.owner.id


class CredentialEntry(Struct, frozen=True, kw_only=True, gc=False):
    """A credential that is good but for its expiry, which each request checks (`at` before)."""

    id: CredentialId
    digest: str
    workspace: WorkspaceId
    principal: PrincipalId
    kind: CredentialKind
    pepper: str
    generation: int
    # Each request judges it by its own clock: a view can be older than the end of a token.
    expires_at: Instant
    context: CallContext


class ToolEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One tool as callers meet it. `read_only`, `destructive`, `open_world` are reviewed values.

    `listed` and `bare` are the tool object for a list answer (JSON text) under the shown and the
    original name; all other members are the server's own bytes. A changed tool is listed by a
    notice of ours, so that no unreviewed word reaches a model. `digest` is the approved one,
    `unfit` are the eras whose clients would refuse a list with it in, so it is not there for them,
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
    mirrors: tuple[HeaderMirror, ...] = ()
    unfit: tuple[Era, ...] = ()

    @property
    def key(self) -> Key:
        """Where the decisions about this tool stand in its server's table."""
        return self.name

    @property
    def rank(self) -> int:
        """How much a grant must reach: 0 read-only, 1 neither, 2 destructive."""
        if self.read_only:
            return 0
        # Without a review a tool counts as destructive: only a grant of level `all` reaches it.
        return 2 if self.destructive else 1


class ReadEntry(Struct, frozen=True, kw_only=True, gc=False):
    """All prompts of a server, or all its resources and their templates: one thing to decide about.

    Reading is all that can be done with them, and nobody approves their texts one by one, so the
    values that are reviewed for a tool are fixed here (decision 0014).
    """

    kind: ReadKind
    server: ServerId
    workspace: WorkspaceId
    alias: str
    tags: tuple[str, ...] = ()

    read_only: ClassVar[bool] = True
    destructive: ClassVar[bool] = False
    open_world: ClassVar[bool] = True
    standing: ClassVar[Standing] = "pinned"
    """There is nothing to pin, so nothing that could differ from its pin."""
    rank: ClassVar[int] = 0

    @property
    def key(self) -> Key:
        """Where the decisions about these stand in their server's table."""
        # A tuple equals no name: a tool called `prompts` has a decision of its own.
        return (self.kind,)

    @property
    def uid(self) -> str:
        """The id of the entity in policy text: the server's own."""
        # Prompts and resources have kinds of their own in Cedar, so one id serves all three.
        return self.server


Entry = ToolEntry | ReadEntry
"""Whatever there is a decision about."""


class ServerView(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """An approved server and its present tools by original name, in the order of position.

    `prompts` and `resources` stand for all of each, whether the server has any or none. Compared
    by identity: the same object in two views means that nothing of it changed.
    """

    server: Server
    tools: dict[str, ToolEntry]
    prompts: ReadEntry
    resources: ReadEntry
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

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All there is a decision about on this server, its tools first."""
        return (*self.tools.values(), self.prompts, self.resources)

    def reading(self, kind: ReadKind) -> ReadEntry:
        """The entry that stands for all of that kind."""
        return self.prompts if kind == "prompts" else self.resources


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
