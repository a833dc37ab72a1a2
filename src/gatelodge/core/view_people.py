"""The part of a view that says who may come in: active principals and good credentials."""

from collections.abc import Iterable

from gatelodge.core.ids import GroupId, PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member
from gatelodge.core.policy.schema import plain
from gatelodge.core.view_entry import AGENT, PERSONAL, CredentialEntry, PrincipalEntry

Groups = dict[PrincipalId, tuple[tuple[WorkspaceId, GroupId], ...]]
Principals = dict[PrincipalId, PrincipalEntry]
Credentials = dict[str, CredentialEntry]


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
    for row in members:
        if row.status == "active" and plain(row.id) == row.id:
            entry = PrincipalEntry(
                id=PrincipalId(row.id),
                workspace=row.workspace,
                kind="member",
                role=row.role,
                groups=_groups_of(groups, row.id, row.workspace),
                generation=row.generation,
            )
            found[entry.id] = _reuse_unchanged_entry(entry, before)
    for agent in agents:
        # Among those who are let in only: an agent rests with its owner, though its row is active.
        owner = found.get(PrincipalId(agent.owner))
        answered = owner is not None and owner.workspace == agent.workspace
        if agent.status == "active" and answered and plain(agent.id) == agent.id:
            entry = PrincipalEntry(
                id=PrincipalId(agent.id),
                workspace=agent.workspace,
                kind="agent",
                owner=owner,
                groups=_groups_of(groups, agent.id, agent.workspace),
                generation=agent.generation,
            )
            found[entry.id] = _reuse_unchanged_entry(entry, before)
    return found


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
        last = before.get(row.digest)
        if last is not None and _is_unchanged_credential(last, row):
            found[row.digest] = last
            continue
        found[row.digest] = CredentialEntry(
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
    return found


def _groups_of(groups: Groups, principal: str, workspace: WorkspaceId) -> tuple[GroupId, ...]:
    its = groups.get(PrincipalId(principal), ())
    return tuple(group for home, group in its if home == workspace)


def _reuse_unchanged_entry(entry: PrincipalEntry, before: Principals) -> PrincipalEntry:
    last = before.get(entry.id)
    return last if last == entry and last is not None else entry


def _is_unchanged_credential(entry: CredentialEntry, row: Credential) -> bool:
    return (
        entry.id == row.id
        and entry.principal == row.principal
        and entry.workspace == row.workspace
        and entry.kind == row.kind
        and entry.pepper == row.pepper
        and entry.generation == row.generation
        and entry.expires_at == row.expires_at
    )
