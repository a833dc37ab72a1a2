"""The part of a view that says who may come in: active principals and good credentials."""

from collections.abc import Iterable
from typing import TypeVar

from gatelodge.core.ids import GroupId, PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member
from gatelodge.core.policy.schema import plain
from gatelodge.core.view_entry import AGENT, PERSONAL, CredentialEntry, PrincipalEntry

Groups = dict[PrincipalId, tuple[tuple[WorkspaceId, GroupId], ...]]
Principals = dict[PrincipalId, PrincipalEntry]
Credentials = dict[str, CredentialEntry]
T = TypeVar("T", PrincipalEntry, CredentialEntry)


def places(groups: Iterable[Group], members: Iterable[GroupMember]) -> Groups:
    """Each principal's groups, sorted; a place in a group of another workspace counts nothing."""
    home = {group.id: group.workspace for group in groups if plain(group.id) == group.id}
    found: dict[PrincipalId, set[tuple[WorkspaceId, GroupId]]] = {}
    for row in members:
        # Such a row would carry the grants of one workspace into another.
        if home.get(row.group) == row.workspace:
            found.setdefault(row.principal, set()).add((row.workspace, row.group))
    return {principal: tuple(sorted(its)) for principal, its in found.items()}


def principals(
    members: Iterable[Member], agents: Iterable[Agent], groups: Groups, before: Principals
) -> Principals:
    """Active members, and active agents whose owner is active, by id.

    Entries that did not change are those of `before`, so that what hangs on them can be kept.
    """
    found: Principals = {}
    for member in members:
        _let_in(found, member, None, groups, before)
    for agent in agents:
        # Among those who are let in only: an agent rests with its owner, though its row is active.
        owner = found.get(PrincipalId(agent.owner))
        if owner is not None and owner.workspace == agent.workspace:
            _let_in(found, agent, owner, groups, before)
    return found


def _let_in(
    found: Principals,
    row: Member | Agent,
    owner: PrincipalEntry | None,
    groups: Groups,
    before: Principals,
) -> None:
    """Put an active principal into `found`; `owner` answers for an agent."""
    if row.status != "active" or plain(row.id) != row.id:
        return
    ident = PrincipalId(row.id)
    entry = PrincipalEntry(
        id=ident,
        workspace=row.workspace,
        kind="agent" if owner else "member",
        role=row.role if isinstance(row, Member) else "",
        owner=owner,
        groups=tuple(group for home, group in groups.get(ident, ()) if home == row.workspace),
        generation=row.generation,
    )
    found[ident] = _unchanged_or_new(before.get(ident), entry)


def credentials(rows: Iterable[Credential], known: Principals, before: Credentials) -> Credentials:
    """Credentials by digest that are not revoked, of the principal's present generation.

    The expiry is left to each request.
    """
    found: Credentials = {}
    for row in rows:
        principal = known.get(row.principal)
        if (
            principal is None
            or row.revoked_at is not None
            or row.generation != principal.generation
            # A token must not open a workspace that its holder is not in, whatever its row says.
            or row.workspace != principal.workspace
        ):
            continue
        entry = CredentialEntry(
            id=row.id,
            digest=row.digest,
            workspace=row.workspace,
            principal=row.principal,
            kind=row.kind,
            pepper=row.pepper,
            generation=row.generation,
            expires_at=row.expires_at,
            context=PERSONAL if row.kind == "personal" else AGENT,
        )
        found[row.digest] = _unchanged_or_new(before.get(row.digest), entry)
    return found


def _unchanged_or_new(last: T | None, entry: T) -> T:
    return last if last is not None and last == entry else entry
