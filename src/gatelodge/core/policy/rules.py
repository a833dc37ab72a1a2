"""What admins write: grants in a table, guardrails in Cedar."""

from typing import Literal

from msgspec import Struct

from gatelodge.core.ids import GrantId, GuardrailId, Instant, ServerId, WorkspaceId

Level = Literal["read", "use", "all"]
"""read: reviewed read-only tools; use: all but destructive ones; all: every approved tool."""

GranteeKind = Literal["member", "agent", "group", "everyone"]
GuardrailMode = Literal["enforce", "observe", "retired"]


class Grant(Struct, frozen=True, kw_only=True):
    """Who may use which tools of a server.

    An empty `tool` means each tool of the server, and its prompts and resources whatever the level.
    """

    id: GrantId
    workspace: WorkspaceId
    grantee_kind: GranteeKind
    grantee: str
    server: ServerId
    tool: str = ""
    level: Level = "use"
    expires_at: Instant | None = None
    ticket: str = ""
    created_by: str
    created_at: Instant


class Guardrail(Struct, frozen=True, kw_only=True):
    """A forbid in Cedar that wins over every grant. An empty `workspace` holds everywhere.

    `text` is one Cedar policy with `@reason` (shown to callers) and optional `@advice`, entities by
    id; `digest` is the hex SHA-256 of the text. `written` is the same with names, as people read
    and write it; it may hold e-mail addresses, so it stands in no log.
    """

    id: GuardrailId
    workspace: WorkspaceId | Literal[""]
    name: str
    text: str
    written: str
    digest: str
    mode: GuardrailMode = "enforce"
    created_by: str
    created_at: Instant
