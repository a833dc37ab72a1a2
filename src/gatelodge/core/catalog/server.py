"""A server as the catalog describes it, and how to reach it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.core.hosting.limits import InstanceLimits
from gatelodge.core.ids import Instant, ServerId, WorkspaceId
from gatelodge.core.protocol.capabilities import without

ServerStatus = Literal["proposed", "approved", "disabled"]
EraWish = Literal["auto", "modern", "legacy"]
HidableCapability = Literal["elicitation", "roots", "sampling"]
"""What a client may declare so that a server can ask it something."""


RunAs = Literal["own", "gateway"]


class StdioTransport(Struct, frozen=True, kw_only=True, tag="stdio"):
    """A child process that speaks newline-delimited JSON-RPC.

    `env` values are literals or secret references (`file:`, `env:`); nothing else of the gate's
    environment reaches the child. `run_as` is "own" (a uid of its own, where the gate is root)
    or "gateway" (the gate's own uid, accepted by an admin).
    """

    command: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = ""
    run_as: RunAs = "own"

    @property
    def isolation(self) -> str:
        """Nothing is promised of a command: how far one is kept apart is found when it runs."""
        return "not started"


class HttpTransport(Struct, frozen=True, kw_only=True, tag="http"):
    """A streamable HTTP endpoint. `headers` values are literals or secret references.

    `allow_private` is an admin's word that a loopback or private address is meant.
    """

    url: str
    headers: dict[str, str] = {}
    allow_private: bool = False

    @property
    def isolation(self) -> str:
        """How far what runs is kept apart from the gate."""
        return "remote"


InstanceScope = Literal["shared", "per_user", "per_session"]
"""Who shares an instance: everybody, all sessions of one person or agent, or nobody."""


class ArtifactTransport(Struct, frozen=True, kw_only=True, tag="artifact"):
    """A server that the gate hosts in a sandbox, from an image that was built of a package.

    `source` is what was asked for (`pypi:NAME@VERSION`, `npm:`, `oci:`, `mcpb:`, `url:`); `image`
    is the digest of the manifest that it became, which is what is approved and started. `args`
    follow the image's own command. `env` values are literals or secret references; `files` are the
    same, as files below `/run/secrets`. `egress` are the places (`host:port`) that it may connect
    to; empty = none. `tier` is the least isolation with which it may start. `port` is where it
    listens for streamable HTTP, at `path`, within its own network; 0 = it speaks over stdio.
    `run_scripts` (sorted) are the packages whose own scripts ran when the image was built.
    """

    source: str
    image: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    files: dict[str, str] = {}
    egress: tuple[str, ...] = ()
    limits: InstanceLimits = field(default_factory=InstanceLimits)
    tier: IsolationTier = "weak"
    scope: InstanceScope = "shared"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    path: str = "/mcp"
    run_scripts: tuple[str, ...] = ()

    @property
    def isolation(self) -> str:
        """How far what runs is kept apart from the gate; what was found says it of an instance."""
        return "isolated"


Transport = StdioTransport | HttpTransport | ArtifactTransport


Wait = Annotated[float, Meta(ge=0, le=86_400)]


class ServerTiming(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long one server may take, in seconds; 0 = as long as the settings say for all.

    `start_seconds` to start and shake hands, `call_seconds` for one call, `longest_seconds` for a
    call that reports progress.
    """

    start_seconds: Wait = 0.0
    call_seconds: Wait = 0.0
    longest_seconds: Wait = 0.0


class Server(Struct, frozen=True, kw_only=True):
    """An upstream MCP server of one workspace. Only an approved one is ever reached or started.

    `hidden_capabilities` (sorted) are those of clients that it is never told of: it can neither ask
    for them nor act on them. `revision` grows with each change of how it is reached. `instructions`
    is what it last told every session of a model, `approved_instructions` what of it an admin took.
    """

    id: ServerId
    workspace: WorkspaceId
    alias: str
    transport: Transport
    status: ServerStatus = "proposed"
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    hidden_capabilities: tuple[HidableCapability, ...] = ()
    revision: int = 1
    instructions: str = ""
    approved_instructions: str = ""
    timing: ServerTiming = ServerTiming()
    created_at: Instant

    @property
    def told(self) -> str:
        """The instructions that sessions are given: the approved ones, while it has any."""
        return self.approved_instructions if self.instructions else ""

    def told_of(self, capabilities: bytes) -> bytes:
        """What it is told of a client with these capabilities: the same, without hidden ones."""
        hidden = self.hidden_capabilities
        return without(capabilities, hidden) if hidden else capabilities


class Tool(Struct, frozen=True, kw_only=True):
    """One tool of a server: its last observed definition, and the approved one whole.

    `definition` is the tool object as the server sent it (JSON text), `observed` its digest, by
    which it is approved, and `observed_use` the digest of what a caller can tell of it: whatever
    differs in the latter is another tool (`core.catalog.pin`). The same three of what was approved
    are empty until an admin says so, and stay while it is blocked. A row written by an earlier
    version has no digest of use before the next look. `read_only`, `destructive`, `open_world` are
    reviewed values, never the server's own hints, and of the definition `reviewed_use` alone.
    """

    workspace: WorkspaceId
    server: ServerId
    name: str
    definition: str
    observed: str
    approved: str = ""
    position: int = 0
    read_only: bool = False
    destructive: bool = True
    open_world: bool = True
    present: bool = True
    reviewed: bool = False
    """An admin set read_only/destructive/open_world; false = the careful defaults stand."""
    observed_use: str = ""
    approved_use: str = ""
    approved_definition: str = ""
    reviewed_use: str = ""
    blocked: bool = False

    @property
    def as_approved(self) -> bool:
        """True when the definition observed last is of the same use as the approved one."""
        # A row of an earlier version has no digest of use before its next look.
        if self.approved_use and self.observed_use:
            return self.approved_use == self.observed_use
        return bool(self.approved) and self.approved == self.observed

    @property
    def pinned(self) -> bool:
        """True when the definition is the one that was approved, and nobody blocked the tool."""
        return self.present and not self.blocked and self.as_approved

    @property
    def review_holds(self) -> bool:
        """True when the reviewed values are of the approved definition (or, without one, the last).

        A definition that changed is another one, whatever was found of the first.
        """
        # What is approved is what is called: a finding about a later definition says nothing of it.
        return self.reviewed and self.reviewed_use == (
            self.approved_use if self.approved else self.observed_use
        )

    @property
    def effect(self) -> tuple[bool, bool, bool]:
        """What holds: read-only, destructive, open-world; the careful values without a review."""
        if not self.review_holds:
            return False, True, True
        return self.read_only, self.destructive and not self.read_only, self.open_world
