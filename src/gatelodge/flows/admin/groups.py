"""Groups: named sets of principals that grants are made to."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct

from gatelodge.core.errors import Conflict, NotFound
from gatelodge.core.ids import GrantId, GroupId, PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Group, GroupMember, Member, folded
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.act import GovernanceAct, a_name
from gatelodge.flows.admin import guardrails
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, RowByName, ShowContext
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx

Principal = Annotated[
    Member | Agent,
    RowByName(lookup.principal, "PRINCIPAL", "A member (e-mail) or an agent (name)."),
]

group = Noun(
    Group,
    plural="groups",
    find=lookup.group,
    called="GROUP",
    about="Named sets of members and agents, for grants.",
    columns=("name", "principals", "id"),
    empty="No groups yet. Make one: gatelodge group create engineers",
)


class GroupShape(Struct, frozen=True, kw_only=True):
    """A group; `principals` are e-mail addresses and names of agents."""

    id: str
    name: str
    principals: tuple[str, ...]
    created_at: str


class RemovedGroup(Struct, frozen=True):
    """A group that is no more, and the grants that ended with it."""

    removed: str
    grants: tuple[GrantId, ...]


@group.shown
def shapes(tx: StoreTx, rows: Sequence[Group], _context: ShowContext) -> list[GroupShape]:
    """Groups, with the names of who is in them."""
    inside = [places(tx, row.workspace, row.id) for row in rows]
    names = lookup.names(tx, rows[0].workspace, Member, Agent) if any(inside) else {}
    return [
        shown_as(GroupShape, row, principals=tuple(sorted(names[each.principal] for each in of)))
        for row, of in zip(rows, inside, strict=True)
    ]


def places(tx: StoreTx, workspace: WorkspaceId, of: GroupId) -> list[GroupMember]:
    """Who is in a group."""
    return tx.find(GroupMember, workspace=workspace, group=of)


@group.verb("Group {name} is there. Next: gatelodge group add-member {name:quoted} EMAIL")
def create(act: GovernanceAct, workspace: WorkspaceId, name: str) -> Group:
    """Make an empty group.

    Raises Invalid, Conflict (the name is taken).
    """
    name = a_name("a group's name", name)
    wanted = folded(name)
    if any(folded(each.name) == wanted for each in act.tx.find(Group, workspace=workspace)):
        raise Conflict(f"there is a group {name!r} already", remedy="Choose another name.")
    made = Group(id=GroupId(act.ids.new("grp")), workspace=workspace, name=name, created_at=act.at)
    act.tx.put(made)
    act.record("group.created", workspace, group=made.id)
    # A guardrail that speaks of this name has to hold before anybody can be put into the group.
    guardrails.rebind(act, workspace, name)
    return made


@group.verb("{principal} is in {name}.", foreseen=True)
def add_member(act: GovernanceAct, group: Group, principal: Principal) -> Group:
    """Put a member (e-mail) or an agent (name) into a group.

    One who is in it already stays, without a second leaf. Raises Conflict (who is revoked).
    """
    # A place that is given after the end of access would belie the receipt of that end.
    if principal.status == "revoked":
        text = f"{principal.id} is revoked"
        raise Conflict(text, remedy="Only who has access can be in a group.")
    place = _group_membership(group, principal)
    # A second leaf would say that access was gained again, though nothing changed.
    if not _is_group_member(act.tx, place):
        act.tx.put(place)
        act.record("group.member_added", group.workspace, group=group.id, principal=place.principal)
    return group


@group.verb("{principal} is no longer in {name}.", foreseen=True)
def remove_member(act: GovernanceAct, group: Group, principal: Principal) -> Group:
    """Take a member or an agent out of a group.

    Raises NotFound.
    """
    place = _group_membership(group, principal)
    if not _is_group_member(act.tx, place):
        text = f"{place.principal!r} is not in this group"
        raise NotFound(text, remedy="See `gatelodge group list`.")
    act.tx.remove(place)
    act.record("group.member_removed", group.workspace, group=group.id, principal=place.principal)
    return group


@group.verb(
    "Group {removed} is gone, with {grants:count} grants.",
    removes=True,
    asks="Remove the group {name} and its grants?",
)
def remove(act: GovernanceAct, group: Group) -> RemovedGroup:
    """Remove a group with its places and the grants made to it."""
    workspace = group.workspace
    # Each place and grant has its own leaf: whoever folds the log need not know what a removal
    # takes along.
    for place in places(act.tx, workspace, group.id):
        act.tx.remove(place)
        act.record("group.member_removed", workspace, group=group.id, principal=place.principal)
    grants = act.tx.find(Grant, workspace=workspace, grantee_kind="group", grantee=group.id)
    for grant in grants:
        act.tx.remove(grant)
        act.record("grant.revoked", workspace, grant=grant.id)
    act.tx.remove(group)
    act.record("group.removed", workspace, group=group.id)
    return RemovedGroup(group.name, tuple(each.id for each in grants))


def _group_membership(group: Group, principal: Member | Agent) -> GroupMember:
    return GroupMember(
        workspace=group.workspace, group=group.id, principal=PrincipalId(principal.id)
    )


def _is_group_member(tx: StoreTx, place: GroupMember) -> bool:
    found = tx.find(
        GroupMember, workspace=place.workspace, group=place.group, principal=place.principal
    )
    return bool(found)
