"""Members: who is in, with which role, and how they leave. A workspace always keeps an owner."""

import re
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.ids import AgentId, CredentialId, MemberId, PrincipalId, WorkspaceId
from gatelodge.core.people import Agent, Member, Role, folded
from gatelodge.flows.act import Act, a_line
from gatelodge.flows.admin import agents, guardrails
from gatelodge.flows.identity.ending import Ended, end_all
from gatelodge.ports.store import Tx

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")


class Newcomer(Struct, frozen=True, kw_only=True):
    """Who comes in. Neither word ever stands in a log."""

    email: str
    display: str = ""


class Left(Struct, frozen=True, kw_only=True):
    """A member who has left, and everything that ended with it."""

    member: Member
    ended: Ended = Ended()
    suspended_agents: tuple[AgentId, ...] = ()
    handed_over_agents: tuple[AgentId, ...] = ()
    agent_credentials: tuple[CredentialId, ...] = ()
    """Tokens of the agents that were handed over: the leaver knew them."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Everything that ended, rests or has another owner, by id, for a receipt."""
        moved = (*self.suspended_agents, *self.handed_over_agents)
        return (*self.ended.ids, *moved, *self.agent_credentials)


def listed(tx: Tx, workspace: WorkspaceId) -> list[Member]:
    """All members, also those who left, oldest first."""
    return tx.find(Member, workspace=workspace)


def email_of(text: str) -> str:
    """An address in the form it is kept and compared in. Raises Invalid."""
    text = folded(text)
    if _EMAIL.fullmatch(text) is None or not text.isprintable():
        raise Invalid("this is not an e-mail address", remedy="Write name@example.com.")
    return text


def add(act: Act, workspace: WorkspaceId, who: Newcomer, role: Role = "member") -> Member:
    """Let a person in. Someone who left comes back as a new member, without their old places.

    Raises Invalid, Conflict (the address is in use), Forbidden (the role is not theirs to give).
    """
    _known(role)
    act.must_give(workspace, role)
    email = email_of(who.email)
    same = act.tx.find(Member, workspace=workspace, email=email)
    if any(each.status != "left" for each in same):
        raise Conflict(
            "a member with this e-mail address is here already",
            remedy="See `gatelodge member list`; a suspended member can be resumed.",
        )
    member = Member(
        id=MemberId(act.ids.new("mem")),
        workspace=workspace,
        email=email,
        display=a_line("a member's name", who.display) if who.display else "",
        role=role,
        created_at=act.at,
    )
    act.tx.put(member)
    act.record("member.added", workspace, member=member.id, role=role)
    guardrails.rebind(act, workspace, email)
    return member


def rename(act: Act, workspace: WorkspaceId, member: MemberId, display: str) -> Member:
    """Call a member something else; empty takes the name away. Raises NotFound, Conflict, Invalid.

    The leaf says that it happened and not what the name is.
    """
    row = _present(act, workspace, member)
    display = a_line("a member's name", display) if display else ""
    if row.display == display:
        return row
    act.must_give(workspace, row.role)
    changed = replace(row, display=display)
    act.tx.put(changed)
    act.record("member.renamed", workspace, member=row.id)
    return changed


def set_role(act: Act, workspace: WorkspaceId, member: MemberId, role: Role) -> Member:
    """Give a member another role. Raises NotFound, Conflict (the last owner), Forbidden."""
    _known(role)
    row = _present(act, workspace, member)
    if row.role == role:
        return row
    act.must_give(workspace, row.role, role)
    _keep_an_owner(act, row)
    changed = replace(row, role=role)
    act.tx.put(changed)
    act.record("member.role", workspace, member=row.id, role=role, before=row.role)
    return changed


def suspend(act: Act, workspace: WorkspaceId, member: MemberId) -> Member:
    """Shut a member out until resumed; their agents rest with them, nothing is taken away.

    Raises NotFound, Conflict (the last owner, or has left), Forbidden.
    """
    row = _present(act, workspace, member)
    if row.status == "suspended":
        return row
    act.must_end(workspace, row.role)
    _keep_an_owner(act, row)
    changed = replace(row, status="suspended")
    act.tx.put(changed)
    act.record("member.suspended", workspace, member=row.id)
    return changed


def resume(act: Act, workspace: WorkspaceId, member: MemberId) -> Member:
    """Let a suspended member in again. Raises NotFound, Conflict (has left), Forbidden."""
    row = _present(act, workspace, member)
    if row.status == "active":
        return row
    act.must_give(workspace, row.role)
    changed = replace(row, status="active")
    act.tx.put(changed)
    act.record("member.resumed", workspace, member=row.id)
    return changed


def leave(
    act: Act, workspace: WorkspaceId, member: MemberId, hand_over_to: MemberId | None = None
) -> Left:
    """End a member's access for good: every credential, place and grant; agents rest or move on.

    A member who has left before stays so, without a second leaf. Raises NotFound, Conflict (the
    last owner; an heir who is not active), Forbidden.
    """
    row = act.the(Member, workspace=workspace, id=member)
    if row.status == "left":
        return Left(member=row)
    act.must_end(workspace, row.role)
    _keep_an_owner(act, row)
    if hand_over_to == member:
        raise Conflict("a leaver's agents cannot be handed to the leaver")
    owned = act.tx.find(Agent, workspace=workspace, owner=member)
    owned = [agent for agent in owned if agent.status != "left"]
    moved, rested, tokens = [], [], list[CredentialId]()
    for agent in owned:
        if hand_over_to is not None:
            handed = agents.hand_over(act, workspace, agent.id, hand_over_to)
            moved.append(agent.id)
            tokens.extend(handed.credentials)
        elif agent.status == "active":
            agents.suspend(act, workspace, agent.id)
            rested.append(agent.id)
    ended = end_all(act, workspace, PrincipalId(member))
    gone = replace(row, status="left", generation=row.generation + 1)
    act.tx.put(gone)
    act.record("member.left", workspace, member=row.id, generation=gone.generation)
    return Left(
        member=gone,
        ended=ended,
        suspended_agents=tuple(rested),
        handed_over_agents=tuple(moved),
        agent_credentials=tuple(tokens),
    )


def _present(act: Act, workspace: WorkspaceId, member: MemberId) -> Member:
    row = act.the(Member, workspace=workspace, id=member)
    if row.status == "left":
        raise Conflict(f"{member} has left", remedy="Add them again with `gatelodge member add`.")
    return row


def _keep_an_owner(act: Act, leaving: Member) -> None:
    """Raise Conflict when nobody would be left who may do everything."""
    owners = act.tx.find(Member, workspace=leaving.workspace, role="owner", status="active")
    if [each.id for each in owners] == [leaving.id]:
        raise Conflict(
            "this is the last active owner of the workspace",
            remedy="Make another member an owner first.",
        )


def _known(role: str) -> None:
    if role not in get_args(Role):
        raise Invalid(f"there is no such role; there are {', '.join(get_args(Role))}")
