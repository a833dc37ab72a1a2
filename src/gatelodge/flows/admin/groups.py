"""Groups: named sets of principals that grants are made to."""

from msgspec import Struct

from gatelodge.core.errors import Conflict, NotFound
from gatelodge.core.ids import GrantId, GroupId, PrincipalId, WorkspaceId, is_agent
from gatelodge.core.people import Agent, Group, GroupMember, Member, folded
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.act import Act, a_line
from gatelodge.flows.admin import guardrails
from gatelodge.ports.store import Tx


class Removed(Struct, frozen=True):
    """A group that is no more: who was in it, and the grants that went with it."""

    group: Group
    principals: tuple[PrincipalId, ...]
    grants: tuple[GrantId, ...]


def listed(tx: Tx, workspace: WorkspaceId) -> list[Group]:
    """All groups, oldest first."""
    return tx.find(Group, workspace=workspace)


def places(tx: Tx, workspace: WorkspaceId, group: GroupId) -> list[GroupMember]:
    """Who is in a group."""
    return tx.find(GroupMember, workspace=workspace, group=group)


def create(act: Act, workspace: WorkspaceId, name: str) -> Group:
    """Make an empty group. Raises Invalid, Conflict (the name is taken)."""
    name = a_line("a group's name", name, 64)
    wanted = folded(name)
    if any(folded(each.name) == wanted for each in listed(act.tx, workspace)):
        raise Conflict(f"there is a group {name!r} already", remedy="Choose another name.")
    group = Group(id=GroupId(act.ids.new("grp")), workspace=workspace, name=name, created_at=act.at)
    act.tx.put(group)
    act.record("group.created", workspace, group=group.id)
    guardrails.rebind(act, workspace, name)
    return group


def join(act: Act, workspace: WorkspaceId, group: GroupId, principal: PrincipalId) -> GroupMember:
    """Put a member or agent into a group; one who is in it already stays, without a second leaf.

    Raises NotFound, Conflict (the principal has left).
    """
    act.the(Group, workspace=workspace, id=group)
    row: Member | Agent = (
        act.the(Agent, workspace=workspace, id=principal)
        if is_agent(principal)
        else act.the(Member, workspace=workspace, id=principal)
    )
    if row.status == "left":
        raise Conflict(f"{principal} has left", remedy="Only who is here can join a group.")
    place = GroupMember(workspace=workspace, group=group, principal=principal)
    if not _in(act, place):
        act.tx.put(place)
        act.record("group.joined", workspace, group=group, principal=principal)
    return place


def part(act: Act, workspace: WorkspaceId, group: GroupId, principal: PrincipalId) -> None:
    """Take a principal out of a group. Raises NotFound."""
    act.the(Group, workspace=workspace, id=group)
    place = GroupMember(workspace=workspace, group=group, principal=principal)
    if not _in(act, place):
        text = f"{principal!r} is not in this group"
        raise NotFound(text, remedy="See `gatelodge group list`.")
    act.tx.remove(place)
    act.record("group.parted", workspace, group=group, principal=principal)


def remove(act: Act, workspace: WorkspaceId, group: GroupId) -> Removed:
    """Remove a group with its places and the grants made to it. Raises NotFound."""
    row = act.the(Group, workspace=workspace, id=group)
    inside = places(act.tx, workspace, group)
    for place in inside:
        act.tx.remove(place)
        act.record("group.parted", workspace, group=group, principal=place.principal)
    grants = act.tx.find(Grant, workspace=workspace, grantee_kind="group", grantee=group)
    for grant in grants:
        act.tx.remove(grant)
        act.record("grant.revoked", workspace, grant=grant.id)
    act.tx.remove(row)
    act.record("group.removed", workspace, group=group)
    return Removed(row, tuple(each.principal for each in inside), tuple(g.id for g in grants))


def _in(act: Act, place: GroupMember) -> bool:
    found = act.tx.find(
        GroupMember, workspace=place.workspace, group=place.group, principal=place.principal
    )
    return bool(found)
