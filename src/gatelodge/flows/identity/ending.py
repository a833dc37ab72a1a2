"""What ends with a principal: credentials, places in groups, grants and secrets of their own."""

from msgspec import Struct

from gatelodge.core.ids import CredentialId, GrantId, GroupId, PrincipalId, WorkspaceId
from gatelodge.core.people import GroupMember
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.identity import tokens
from gatelodge.flows.vault.values import erase_values_of


class EndedAccess(Struct, frozen=True, kw_only=True):
    """What ended, by id."""

    credentials: tuple[CredentialId, ...] = ()
    groups: tuple[GroupId, ...] = ()
    grants: tuple[GrantId, ...] = ()
    secrets: tuple[str, ...] = ()
    """Those of which a value of their own was erased."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All of it in one row, for a receipt."""
        return (*self.credentials, *self.groups, *self.grants, *self.secrets)


def end_all(act: GovernanceAct, workspace: WorkspaceId, principal: PrincipalId) -> EndedAccess:
    """Revoke every credential and own grant, part from every group, erase own values of secrets.

    Grants to groups and to everyone stay: they are not the principal's. One leaf for each.
    """
    credentials = tokens.end(act, *tokens.of(act.tx, workspace, principal))
    places = act.tx.find(GroupMember, workspace=workspace, principal=principal)
    for place in places:
        act.tx.remove(place)
        act.record("group.member_removed", workspace, group=place.group, principal=principal)
    own = [
        grant
        for grant in act.tx.find(Grant, workspace=workspace, grantee=principal)
        if grant.grantee_kind in ("member", "agent")
    ]
    for grant in own:
        act.tx.remove(grant)
        act.record("grant.revoked", workspace, grant=grant.id)
    return EndedAccess(
        credentials=tuple(each.id for each in credentials),
        groups=tuple(place.group for place in places),
        grants=tuple(grant.id for grant in own),
        secrets=erase_values_of(act, workspace, principal),
    )
