"""Members: who is in, with which role, and how access ends. A workspace keeps an owner."""

import re
from collections.abc import Sequence
from typing import Annotated, get_args

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Conflict, Forbidden, Invalid
from gatelodge.core.ids import (
    AgentId,
    CredentialId,
    MemberId,
    PrincipalId,
    WorkspaceId,
)
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member, Role, folded
from gatelodge.core.roles import may
from gatelodge.flows.act import GovernanceAct, a_line
from gatelodge.flows.admin import agents, guardrails
from gatelodge.flows.identity.ending import EndedAccess, end_all
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.noun import Noun, RowByName, ShowContext, Wording
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_SHOW = "gatelodge member show {name}"
Heir = Annotated[Member | None, RowByName(lookup.member, "EMAIL", "Who answers for their agents.")]

member = Noun(
    Member,
    plural="members",
    find=lookup.member,
    called="EMAIL",
    about="The people who may come in, named by e-mail address.",
    columns=("email", "name", "role", "status", "id"),
    empty="No members yet. Add one: gatelodge member add ada@example.com --role owner",
)


class MemberShape(Struct, frozen=True, kw_only=True):
    """A member."""

    id: str
    email: str
    name: str
    role: str
    status: str
    created_at: str


class MemberDetail(MemberShape, frozen=True, kw_only=True):
    """A member with everything that ends when they are revoked."""

    groups: tuple[str, ...]
    agents: tuple[str, ...]
    tokens: tuple[str, ...]


class RevokedMember(Struct, frozen=True, kw_only=True):
    """What ended with a member; what became of their agents."""

    ended: EndedAccess = EndedAccess()
    suspended_agents: tuple[AgentId, ...] = ()
    transferred_agents: tuple[AgentId, ...] = ()
    agent_credentials: tuple[CredentialId, ...] = ()
    """Tokens of the agents that were transferred: the old owner knew them."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Everything that ended, rests or has another owner, by id, for a receipt."""
        moved = (*self.suspended_agents, *self.transferred_agents)
        return (*self.ended.ids, *moved, *self.agent_credentials)


@member.shown
def shapes(_tx: StoreTx, rows: Sequence[Member], _context: ShowContext) -> list[MemberShape]:
    """Members, also those who were revoked."""
    return [shown_as(MemberShape, row, name=row.display) for row in rows]


@member.detail
def whole(tx: StoreTx, row: Member, _context: ShowContext) -> MemberDetail:
    """A member, with groups, agents and tokens."""
    here, ident = row.workspace, row.id
    groups = lookup.names(tx, here, Group)
    places = tx.find(GroupMember, workspace=here, principal=ident)
    owned = tx.find(Agent, workspace=here, owner=ident)
    tokens = tx.find(Credential, workspace=here, principal=ident, revoked_at=None)
    return shown_as(
        MemberDetail,
        row,
        name=row.display,
        groups=tuple(groups[each.group] for each in places),
        agents=tuple(each.name for each in owned if each.status != "revoked"),
        tokens=tuple(each.id for each in tokens),
    )


def email_of(text: str) -> str:
    """An address in the form it is kept and compared in. Raises Invalid."""
    text = folded(text)
    # Judged as it is kept: folding can make an @ or a space out of another character.
    # Without `isprintable` characters that nobody sees would let two addresses look alike.
    if _EMAIL.fullmatch(text) is None or not text.isprintable():
        raise Invalid("this is not an e-mail address", remedy="Write name@example.com.")
    return text


@member.verb("{email} is in, as {role}.\nNext: gatelodge token create --member {email}")
def add(
    act: GovernanceAct,
    workspace: WorkspaceId,
    email: str,
    name: Annotated[str, Wording("How the person is called.")] = "",
    role: Role = "member",
) -> Member:
    """Let a person in; what they may use is said by grants.

    Who was revoked comes back as a new member, without their old places. Neither address nor name
    ever stands in a log. Raises Invalid, Conflict (the address is in use), Forbidden (the role is
    not theirs to give).
    """
    _refuse_unknown_role(role)
    act.must_give(workspace, role)
    # After the right to give the role: else the answer would tell anybody who is here.
    email = email_of(email)
    same = act.tx.find(Member, workspace=workspace, email=email)
    if any(each.status != "revoked" for each in same):
        raise Conflict(
            "a member with this e-mail address is here already",
            remedy="See `gatelodge member list`; a suspended member can be resumed.",
        )
    made = Member(
        id=MemberId(act.ids.new("mem")),
        workspace=workspace,
        email=email,
        display=a_line("a member's name", name) if name else "",
        role=role,
        created_at=act.at,
    )
    # A new row with a new id: what ended with the old one stays ended.
    act.tx.put(made)
    act.record("member.added", workspace, member=made.id, role=role)
    # A guardrail that named them before they were revoked has to hold for the new id at once.
    guardrails.rebind(act, workspace, email)
    return made


@member.verb("{email} is called {name:or nothing}.", act="member.role")
def rename(act: GovernanceAct, member: Member, name: str) -> Member:
    """Call a member something else; empty takes the name away, the e-mail address stays.

    The leaf says that it happened and not what the name is. Raises Conflict, Invalid.
    """
    _must_not_be_revoked(member)
    display = a_line("a member's name", name) if name else ""
    if member.display == display:
        return member
    act.must_give(member.workspace, member.role)
    changed = replace(member, display=display)
    act.tx.put(changed)
    act.record("member.renamed", member.workspace, member=member.id)
    return changed


@member.verb("{email} is now {role}.", name="role", act="member.role")
def set_role(act: GovernanceAct, member: Member, role: Role) -> Member:
    """Give a member another role.

    Raises Conflict (the last owner, or revoked), Forbidden.
    """
    _refuse_unknown_role(role)
    _must_not_be_revoked(member)
    if member.role == role:
        return member
    # The role that is taken counts as well: else an admin could turn an owner into a member.
    act.must_give(member.workspace, member.role, role)
    _keep_an_owner(act, member)
    changed = replace(member, role=role)
    act.tx.put(changed)
    act.record(
        "member.role_changed", member.workspace, member=member.id, role=role, before=member.role
    )
    return changed


@member.verb(ends="suspend")
def suspend(act: GovernanceAct, member: Member) -> EndedAccess:
    """Stop a member at once; `member resume` lets them in again.

    Their agents rest with them, nothing is taken away. Raises Conflict (the last owner, or
    revoked), Forbidden.
    """
    _must_not_be_revoked(member)
    if member.status != "suspended":
        act.must_end(member.workspace, member.role)
        _keep_an_owner(act, member)
        # Their agents need no change: no view lets an agent in whose owner is not active.
        act.tx.put(replace(member, status="suspended"))
        act.record("member.suspended", member.workspace, member=member.id)
    return EndedAccess()


@member.verb("{email} may come in again.", why="may", asks="Let {name} in again?", look=_SHOW)
def resume(act: GovernanceAct, member: Member) -> Member:
    """Let a suspended member in again.

    Raises Conflict (revoked), Forbidden.
    """
    _must_not_be_revoked(member)
    if member.status == "active":
        return member
    act.must_give(member.workspace, member.role)
    changed = replace(member, status="active")
    act.tx.put(changed)
    act.record("member.resumed", member.workspace, member=member.id)
    return changed


@member.verb(ends="member", why="must", asks="End all access of {name}?", look=_SHOW)
def revoke(act: GovernanceAct, member: Member, transfer_to: Heir = None) -> RevokedMember:
    """End a member's access for good: tokens, running calls, open streams, places, grants.

    Their agents are suspended, or answered for by another member. The answer is the revocation
    receipt: when it was certain on every node. Nobody else notices. A member who was revoked
    before stays so, without a second leaf.

    Raises Conflict (the last owner; an heir who is not active), Forbidden.
    """
    if member.status == "revoked":
        return RevokedMember()
    act.must_end(member.workspace, member.role)
    _keep_an_owner(act, member)
    # To end access is one right and to give it another: an heir gets what the agents are granted.
    if transfer_to is not None and not may(act.role(member.workspace), "agent.transfer"):
        raise Forbidden(
            f"the role {act.role(member.workspace)!r} transfers no agents",
            remedy="Revoke without --transfer-to: the agents are suspended, and kept.",
        )
    if transfer_to is not None and transfer_to.id == member.id:
        raise Conflict("a leaver's agents cannot be transferred to the leaver")
    owned = act.tx.find(Agent, workspace=member.workspace, owner=member.id)
    moved, rested, tokens = [], [], list[CredentialId]()
    for agent in owned:
        if agent.status == "revoked":
            continue
        if transfer_to is not None:
            tokens.extend(agents.transfer(act, agent, transfer_to).credentials)
            moved.append(agent.id)
        # An agent that rests already has its leaf, and must not seem to have rested from now on.
        elif agent.status == "active":
            agents.suspend(act, agent)
            rested.append(agent.id)
    ended = end_all(act, member.workspace, PrincipalId(member.id))
    # Each token has ended above; the generation ends all of them once more (decision 0009).
    gone = replace(member, status="revoked", generation=member.generation + 1)
    act.tx.put(gone)
    act.record("member.revoked", member.workspace, member=member.id, generation=gone.generation)
    return RevokedMember(
        ended=ended,
        suspended_agents=tuple(rested),
        transferred_agents=tuple(moved),
        agent_credentials=tuple(tokens),
    )


def _must_not_be_revoked(member: Member) -> None:
    if member.status == "revoked":
        text = f"{member.id} is revoked"
        raise Conflict(text, remedy="Add them again with `gatelodge member add`.")


def _keep_an_owner(act: GovernanceAct, leaving: Member) -> None:
    """Raise Conflict when nobody would be left who may do everything."""
    # A suspended owner cannot even resume themselves, so only active ones count.
    owners = act.tx.find(Member, workspace=leaving.workspace, role="owner", status="active")
    if [each.id for each in owners] == [leaving.id]:
        raise Conflict(
            "this is the last active owner of the workspace",
            remedy="Make another member an owner first.",
        )


def _refuse_unknown_role(role: str) -> None:
    if role not in get_args(Role):
        raise Invalid(f"there is no such role; there are {', '.join(get_args(Role))}")
