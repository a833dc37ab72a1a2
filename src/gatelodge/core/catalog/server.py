"""A server as the catalog describes it, and how to reach it."""

from typing import Literal

from msgspec import Struct

from gatelodge.core.ids import Instant, ServerId, WorkspaceId

ServerStatus = Literal["proposed", "approved", "disabled"]
EraWish = Literal["auto", "modern", "legacy"]
Withholdable = Literal["elicitation", "roots", "sampling"]
"""What a client may declare so that a server can ask it something."""


class StdioTransport(Struct, frozen=True, kw_only=True, tag="stdio"):
    """A child process that speaks newline-delimited JSON-RPC.

    `env` values are literals or secret references (`file:`, `env:`); nothing else of the gate's
    environment reaches the child. `run_as` is "own" (a uid of its own, where the gate is root)
    or "gateway" (the gate's own uid, accepted by an admin).
    """

    command: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = ""
    run_as: Literal["own", "gateway"] = "own"


class HttpTransport(Struct, frozen=True, kw_only=True, tag="http"):
    """A streamable HTTP endpoint. `headers` values are literals or secret references.

    `allow_private` is an admin's word that a loopback or private address is meant.
    """

    url: str
    headers: dict[str, str] = {}
    allow_private: bool = False


Transport = StdioTransport | HttpTransport


class Server(Struct, frozen=True, kw_only=True):
    """An upstream MCP server of one workspace. Only an approved one is ever reached or started.

    `withheld` (sorted) is what it is never told that a client declared, so that it can neither ask
    for it nor act on it.
    """

    id: ServerId
    workspace: WorkspaceId
    alias: str
    transport: Transport
    status: ServerStatus = "proposed"
    era: EraWish = "auto"
    tags: tuple[str, ...] = ()
    withheld: tuple[Withholdable, ...] = ()
    created_at: Instant


class Tool(Struct, frozen=True, kw_only=True):
    """One tool of a server: its last observed definition and the approved pin.

    `definition` is the tool object as the server sent it (JSON text); `observed` and `approved`
    are the hex SHA-256 of its canonical form (RFC 8785), `approved` empty until an admin says so.
    `read_only`, `destructive`, `open_world` are reviewed values, never the server's own hints.
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

    @property
    def pinned(self) -> bool:
        """True when the definition is the one that was approved."""
        return self.present and bool(self.approved) and self.approved == self.observed
