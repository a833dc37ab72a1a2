"""People, agents, groups and tokens as the outside sees them: times as text, owners by name."""

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Credential, Group, Member, Workspace


class Why(Struct, frozen=True, forbid_unknown_fields=True):
    """A ticket or a reason code; it stands in the log for good."""

    why: str = ""


class WorkspaceShape(Struct, frozen=True, kw_only=True):
    """A workspace; `path` is where clients find its endpoint."""

    id: str
    slug: str
    name: str
    path: str
    created_at: str


class MemberShape(Struct, frozen=True, kw_only=True):
    """A member."""

    id: str
    email: str
    name: str
    role: str
    status: str
    created_at: str


class AgentShape(Struct, frozen=True, kw_only=True):
    """An agent; `owner` is the e-mail address of the member who answers for it."""

    id: str
    name: str
    owner: str
    status: str
    created_at: str


class GroupShape(Struct, frozen=True, kw_only=True):
    """A group; `principals` are e-mail addresses and names of agents."""

    id: str
    name: str
    principals: tuple[str, ...]
    created_at: str


class TokenShape(Struct, frozen=True, kw_only=True):
    """A token without the token. `status`: active, expired, revoked, or ended with its holder.

    `parent` is the token it was issued with and ends with; empty on the gate's own machine.
    """

    id: str
    principal: str
    kind: str
    label: str
    last4: str
    status: str
    created_at: str
    expires_at: str
    revoked_at: str | None = None
    parent: str = ""


def workspace_shape(row: Workspace) -> WorkspaceShape:
    """The outer shape of a workspace."""
    return WorkspaceShape(
        id=row.id,
        slug=row.slug,
        name=row.name,
        path=f"/k/{row.slug}/mcp",
        created_at=rfc3339(row.created_at),
    )


def member_shape(row: Member) -> MemberShape:
    """The outer shape of a member."""
    return MemberShape(
        id=row.id,
        email=row.email,
        name=row.display,
        role=row.role,
        status=row.status,
        created_at=rfc3339(row.created_at),
    )


def agent_shape(row: Agent, owner: str) -> AgentShape:
    """The outer shape of an agent, its owner's e-mail address given."""
    return AgentShape(
        id=row.id,
        name=row.name,
        owner=owner,
        status=row.status,
        created_at=rfc3339(row.created_at),
    )


def group_shape(row: Group, principals: tuple[str, ...]) -> GroupShape:
    """The outer shape of a group, its principals' names given."""
    return GroupShape(
        id=row.id, name=row.name, principals=principals, created_at=rfc3339(row.created_at)
    )


def token_shape(row: Credential, holder: Member | Agent | None, now: Instant) -> TokenShape:
    """The outer shape of a credential, its holder given."""
    return TokenShape(
        id=row.id,
        principal=principal_name(holder) if holder else row.principal,
        kind=row.kind,
        label=row.label,
        last4=row.last4,
        status=_standing(row, holder, now),
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339(row.expires_at),
        revoked_at=rfc3339(row.revoked_at) if row.revoked_at is not None else None,
        parent=row.parent,
    )


def principal_name(row: Member | Agent) -> str:
    """What people call a principal."""
    return row.email if isinstance(row, Member) else row.name


def _standing(row: Credential, holder: Member | Agent | None, now: Instant) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at <= now:
        return "expired"
    if holder is None or holder.status == "left" or holder.generation != row.generation:
        return "ended"
    return "suspended" if holder.status == "suspended" else "active"
