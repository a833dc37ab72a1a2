"""Agents: principals that are no persons, each answered for by an active member."""

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.ids import AgentId, CredentialId, MemberId, PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Member, folded
from gatelodge.flows.act import Act, a_line
from gatelodge.flows.admin import guardrails
from gatelodge.flows.identity import tokens
from gatelodge.flows.identity.ending import Ended, end_all
from gatelodge.ports.store import Tx


class HandedOver(Struct, frozen=True):
    """An agent with its new owner, and the credentials that ended."""

    agent: Agent
    credentials: tuple[CredentialId, ...] = ()


def listed(tx: Tx, workspace: WorkspaceId) -> list[Agent]:
    """All agents, also those that left, oldest first."""
    return tx.find(Agent, workspace=workspace)


def add(act: Act, workspace: WorkspaceId, name: str, owner: MemberId) -> Agent:
    """Let an agent in. Raises Invalid, NotFound (owner), Conflict (name in use, owner inactive)."""
    name = a_line("an agent's name", name, 64)
    if "@" in name:
        raise Invalid(
            "an agent's name has no @ in it", remedy="E-mail addresses are the names of members."
        )
    _active(act, workspace, owner)
    same = [each for each in listed(act.tx, workspace) if folded(each.name) == folded(name)]
    if any(each.status != "left" for each in same):
        raise Conflict(f"there is an agent {name!r} already", remedy="Choose another name.")
    agent = Agent(
        id=AgentId(act.ids.new("agt")),
        workspace=workspace,
        name=name,
        owner=owner,
        created_at=act.at,
    )
    act.tx.put(agent)
    act.record("agent.added", workspace, agent=agent.id, owner=owner)
    guardrails.rebind(act, workspace, name)
    return agent


def suspend(act: Act, workspace: WorkspaceId, agent: AgentId) -> Agent:
    """Shut an agent out until resumed. Raises NotFound, Conflict (has left)."""
    row = _present(act, workspace, agent)
    if row.status == "suspended":
        return row
    changed = replace(row, status="suspended")
    act.tx.put(changed)
    act.record("agent.suspended", workspace, agent=row.id)
    return changed


def resume(act: Act, workspace: WorkspaceId, agent: AgentId) -> Agent:
    """Let a suspended agent in again. Raises NotFound, Conflict (has left, owner inactive)."""
    row = _present(act, workspace, agent)
    if row.status == "active":
        return row
    _active(act, workspace, row.owner)
    changed = replace(row, status="active")
    act.tx.put(changed)
    act.record("agent.resumed", workspace, agent=row.id)
    return changed


def hand_over(act: Act, workspace: WorkspaceId, agent: AgentId, owner: MemberId) -> HandedOver:
    """Let another member answer for it. Its tokens end: the old owner may know them.

    Raises NotFound, Conflict (has left, the new owner is not active).
    """
    row = _present(act, workspace, agent)
    _active(act, workspace, owner)
    if row.owner == owner:
        return HandedOver(row)
    ended = tokens.end(act, *tokens.of(act.tx, workspace, PrincipalId(agent)))
    changed = replace(row, owner=owner)
    act.tx.put(changed)
    act.record("agent.owner", workspace, agent=row.id, owner=owner, before=row.owner)
    return HandedOver(changed, tuple(each.id for each in ended))


def leave(act: Act, workspace: WorkspaceId, agent: AgentId) -> Ended:
    """End an agent's access for good. Raises NotFound; one that left before stays so."""
    row = act.the(Agent, workspace=workspace, id=agent)
    if row.status == "left":
        return Ended()
    ended = end_all(act, workspace, PrincipalId(agent))
    gone = replace(row, status="left", generation=row.generation + 1)
    act.tx.put(gone)
    act.record("agent.left", workspace, agent=row.id, generation=gone.generation)
    return ended


def _present(act: Act, workspace: WorkspaceId, agent: AgentId) -> Agent:
    row = act.the(Agent, workspace=workspace, id=agent)
    if row.status == "left":
        raise Conflict(f"{agent} has left", remedy="Add a new agent with `gatelodge agent add`.")
    return row


def _active(act: Act, workspace: WorkspaceId, owner: MemberId) -> None:
    if act.the(Member, workspace=workspace, id=owner).status != "active":
        raise Conflict(
            f"{owner} is not active",
            remedy="Name an active member as its owner; "
            "an agent that is there gets another by `gatelodge agent owner`.",
        )
