"""Agents: principals that are no persons, each answered for by an active member."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.ids import AgentId, PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Member, folded
from gatelodge.flows.act import GovernanceAct, a_name
from gatelodge.flows.admin import guardrails
from gatelodge.flows.identity import tokens
from gatelodge.flows.identity.ending import EndedAccess, end_all
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, RowByName, ShowContext
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx

_KINDS = ("agent:", "member:")
"""How a principal is written where it may be either."""

_ANSWERS = "The member who answers for it."
Owner = Annotated[Member, RowByName(lookup.member, "EMAIL", _ANSWERS, option=True)]
NewOwner = Annotated[Member, RowByName(lookup.member, "EMAIL", _ANSWERS)]

agent = Noun(
    Agent,
    plural="agents",
    find=lookup.agent,
    called="NAME",
    about="Principals that are no person; a member answers for each.",
    columns=("name", "owner", "status", "id"),
    empty="No agents yet. Add one: gatelodge agent add nightly --owner ada@example.com",
)


class AgentShape(Struct, frozen=True, kw_only=True):
    """An agent; `owner` is the e-mail address of the member who answers for it."""

    id: str
    name: str
    owner: str
    status: str
    created_at: str


@agent.shown
def shapes(tx: StoreTx, rows: Sequence[Agent], _context: ShowContext) -> list[AgentShape]:
    """Agents, also those that were revoked, with their owners."""
    owners = lookup.names(tx, rows[0].workspace, Member)
    return [shown_as(AgentShape, row, owner=owners[row.owner]) for row in rows]


@agent.verb(
    "{name} is in; {owner} answers for it.\nNext: gatelodge token create --agent {name:quoted}"
)
def add(act: GovernanceAct, workspace: WorkspaceId, name: str, owner: Owner) -> Agent:
    """Let an agent in; it may use what is granted to it, while its owner is active.

    Raises Invalid, Conflict (the name is in use, the owner is not active).
    """
    name = a_name("an agent's name", name)
    # Some verbs take a member or an agent by one name: none of an agent may look like an address.
    if "@" in name:
        raise Invalid(
            "an agent's name has no @ in it", remedy="E-mail addresses are the names of members."
        )
    if name.lower().startswith(_KINDS):
        raise Invalid(
            "an agent's name does not begin with agent: or member:",
            remedy="So principals are told apart; choose another name.",
        )
    _must_be_active(owner)
    rows = act.tx.find(Agent, workspace=workspace)
    same = [each for each in rows if folded(each.name) == folded(name)]
    # A revoked agent never comes back, so its name is free again; its row stays for old records.
    if any(each.status != "revoked" for each in same):
        raise Conflict(f"there is an agent {name!r} already", remedy="Choose another name.")
    made = Agent(
        id=AgentId(act.ids.new("agt")),
        workspace=workspace,
        name=name,
        owner=owner.id,
        created_at=act.at,
    )
    act.tx.put(made)
    act.record("agent.added", workspace, agent=made.id, owner=owner.id)
    # After `put`, since it reads who bears the name now; in the same transaction, so that the new
    # agent is never here without the guardrails that speak of its name.
    guardrails.rebind(act, workspace, name)
    return made


@agent.verb(ends="suspend")
def suspend(act: GovernanceAct, agent: Agent) -> EndedAccess:
    """Stop an agent at once; `agent resume` lets it in again.

    Raises Conflict (it is revoked).
    """
    _must_not_be_revoked(agent)
    if agent.status != "suspended":
        # Its tokens stay for `resume`: no view lets a principal in that is not active.
        act.tx.put(replace(agent, status="suspended"))
        act.record("agent.suspended", agent.workspace, agent=agent.id)
    return EndedAccess()


@agent.verb("{name} may come in again.", why="may", asks="Let {name} in again?")
def resume(act: GovernanceAct, agent: Agent) -> Agent:
    """Let a suspended agent in again.

    Raises Conflict (it is revoked, or its owner is not active).
    """
    _must_not_be_revoked(agent)
    if agent.status == "active":
        return agent
    # No view lets an agent in whose owner is not active: `resumed` in the log would be untrue.
    _must_be_active(act.the(Member, workspace=agent.workspace, id=agent.owner))
    changed = replace(agent, status="active")
    act.tx.put(changed)
    act.record("agent.resumed", agent.workspace, agent=agent.id)
    return changed


@agent.verb(ends="transfer")
def transfer(act: GovernanceAct, agent: Agent, owner: NewOwner) -> EndedAccess:
    """Let another member answer for an agent; its tokens end, since the old owner knows them.

    Raises Conflict (it is revoked, or the new owner is not active).
    """
    _must_not_be_revoked(agent)
    _must_be_active(owner)
    # The tokens end since the old owner knows them: where the owner stays there is no cause.
    if agent.owner == owner.id:
        return EndedAccess()
    ended = tokens.end(act, *tokens.of(act.tx, agent.workspace, PrincipalId(agent.id)))
    act.tx.put(replace(agent, owner=owner.id))
    act.record(
        "agent.owner_changed",
        agent.workspace,
        agent=agent.id,
        owner=owner.id,
        before=agent.owner,
    )
    return EndedAccess(credentials=tuple(each.id for each in ended))


@agent.verb(ends="agent", asks="End all access of {name}?")
def revoke(act: GovernanceAct, agent: Agent) -> EndedAccess:
    """End an agent's access for good, and print the revocation receipt.

    One that was revoked before stays so, without a second leaf.
    """
    if agent.status == "revoked":
        return EndedAccess()
    ended = end_all(act, agent.workspace, PrincipalId(agent.id))
    # Each token has ended above; the generation ends all of them once more (decision 0009).
    gone = replace(agent, status="revoked", generation=agent.generation + 1)
    act.tx.put(gone)
    act.record("agent.revoked", agent.workspace, agent=agent.id, generation=gone.generation)
    return ended


def _must_not_be_revoked(agent: Agent) -> None:
    if agent.status == "revoked":
        text = f"{agent.id} is revoked"
        raise Conflict(text, remedy="Add a new agent with `gatelodge agent add`.")


def _must_be_active(owner: Member) -> None:
    if owner.status != "active":
        raise Conflict(
            f"{owner.id} is not active",
            remedy="Name an active member as its owner; "
            "an agent that is there gets another by `gatelodge agent transfer`.",
        )
