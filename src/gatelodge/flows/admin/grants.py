"""Grants: who may use which tools of a server. Nothing is allowed that no grant allows."""

from typing import get_args

from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.ids import GrantId, Instant, ServerId, WorkspaceId
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Group, Member
from gatelodge.core.policy.rules import Grant, GranteeKind, Level
from gatelodge.flows.act import Act, ticket
from gatelodge.ports.store import Tx


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be granted. An empty `tool` means each tool of the server, also later ones.

    `grantee` is an id, empty for everyone in the workspace.
    """

    grantee_kind: GranteeKind
    grantee: str = ""
    server: ServerId
    tool: str = ""
    level: Level = "use"
    expires_at: Instant | None = None
    ticket: str = ""


def listed(tx: Tx, workspace: WorkspaceId) -> list[Grant]:
    """All grants, also expired ones, oldest first."""
    return tx.find(Grant, workspace=workspace)


def create(act: Act, workspace: WorkspaceId, wish: Wish) -> Grant:
    """Grant it. Raises NotFound (grantee, server, tool), Invalid, Conflict (granted already)."""
    if wish.level not in get_args(Level):
        raise Invalid(f"there is no such level; there are {', '.join(get_args(Level))}")
    if wish.expires_at is not None and wish.expires_at <= act.at:
        raise Invalid("a grant cannot end before it begins", remedy="Name a time to come.")
    _check_grantee(act, workspace, wish)
    act.the(Server, workspace=workspace, id=wish.server)
    if wish.tool:
        act.the(Tool, name=wish.tool, workspace=workspace, server=wish.server)
    for same in act.tx.find(
        Grant,
        workspace=workspace,
        grantee_kind=wish.grantee_kind,
        grantee=wish.grantee,
        server=wish.server,
        tool=wish.tool,
        level=wish.level,
    ):
        if same.expires_at is None or same.expires_at > act.at:
            raise Conflict(
                f"this is granted already ({same.id})",
                remedy="Revoke that grant first, if it should end at another time.",
            )
    grant = Grant(
        id=GrantId(act.ids.new("grn")),
        workspace=workspace,
        grantee_kind=wish.grantee_kind,
        grantee=wish.grantee,
        server=wish.server,
        tool=wish.tool,
        level=wish.level,
        expires_at=wish.expires_at,
        ticket=ticket(wish.ticket) if wish.ticket else "",
        created_by=act.by,
        created_at=act.at,
    )
    act.tx.put(grant)
    act.record(
        "grant.created",
        workspace,
        grant=grant.id,
        grantee_kind=grant.grantee_kind,
        grantee=grant.grantee,
        server=grant.server,
        tool=grant.tool,
        level=grant.level,
        expires_at=None if grant.expires_at is None else rfc3339(grant.expires_at),
        ticket=grant.ticket,
    )
    return grant


def revoke(act: Act, workspace: WorkspaceId, grant: GrantId) -> Grant:
    """Take a grant back. Raises NotFound."""
    row = act.the(Grant, workspace=workspace, id=grant)
    act.tx.remove(row)
    act.record("grant.revoked", workspace, grant=row.id)
    return row


def _check_grantee(act: Act, workspace: WorkspaceId, wish: Wish) -> None:
    if wish.grantee_kind == "everyone":
        if wish.grantee:
            raise Invalid("grantee: everyone has no id", remedy="Leave the grantee empty.")
        return
    row: Member | Agent | Group
    if wish.grantee_kind == "group":
        row = act.the(Group, workspace=workspace, id=wish.grantee)
        return
    if wish.grantee_kind == "agent":
        row = act.the(Agent, workspace=workspace, id=wish.grantee)
    else:
        row = act.the(Member, workspace=workspace, id=wish.grantee)
    if row.status == "left":
        raise Conflict(f"{wish.grantee} has left", remedy="Grant it to someone who is here.")
