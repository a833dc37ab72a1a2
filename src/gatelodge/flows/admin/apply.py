"""Makes a workspace as its file says, in one transaction; a second time nothing is left to do."""

from collections.abc import Callable
from typing import assert_never

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import Conflict, Invalid, NotFound
from gatelodge.core.ids import (
    AgentId,
    GroupId,
    Instant,
    MemberId,
    PrincipalId,
    ServerId,
    WorkspaceId,
)
from gatelodge.core.people import Agent, Group, GroupMember, Member, Workspace
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.flows.act import Act
from gatelodge.flows.admin import agents, grants, groups, guardrails, members, servers
from gatelodge.flows.admin.bearers import bearers
from gatelodge.flows.admin.declared import changes as to
from gatelodge.flows.admin.declared.plan import Present, expiry, plan, reference
from gatelodge.flows.admin.declared.wanted import Wanted, WantedGrant
from gatelodge.ports.store import Tx

MOST_CHANGES = 500
"""Changes of one transaction: about two seconds in which nobody else changes anything."""


def present(tx: Tx, workspace: WorkspaceId, at: Instant) -> Present:
    """The rows that a plan is made against."""
    return Present(
        at=at,
        members=tuple(tx.find(Member, workspace=workspace)),
        agents=tuple(tx.find(Agent, workspace=workspace)),
        groups=tuple(tx.find(Group, workspace=workspace)),
        places=tuple(tx.find(GroupMember, workspace=workspace)),
        servers=tuple(tx.find(Server, workspace=workspace)),
        grants=tuple(tx.find(Grant, workspace=workspace)),
        guardrails=tuple(tx.find(Guardrail, workspace=workspace)),
        bearers=bearers(tx, workspace),
    )


def planned(
    tx: Tx, workspace: WorkspaceId, wanted: Wanted, at: Instant, *, prune: bool = False
) -> tuple[to.Change, ...]:
    """The dry run: what `apply` would do now.

    Raises Conflict when the file was written for another workspace, and what `plan` raises.
    """
    if not tx.find(Workspace, id=workspace, slug=wanted.workspace):
        raise Conflict(
            f"this file is for the workspace {wanted.workspace!r}",
            remedy="Choose that workspace, or mend the file's first line.",
        )
    return plan(wanted, present(tx, workspace, at), prune=prune)


def apply(
    act: Act,
    workspace: WorkspaceId,
    wanted: Wanted,
    validate: Callable[[str], None],
    *,
    prune: bool = False,
) -> tuple[to.Change, ...]:
    """Make every change of the plan, or none; returns what was done.

    Raises what the changes raise (Invalid, Conflict, NotFound, Forbidden), then nothing is kept.
    """
    changes = planned(act.tx, workspace, wanted, act.at, prune=prune)
    if len(changes) > MOST_CHANGES:
        raise Invalid(
            f"the file makes {len(changes)} changes; at most {MOST_CHANGES} are made at once, "
            "because whoever ends access waits meanwhile",
            remedy="Bring it in part by part: leave some of its new tables out at first.",
        )
    for change in changes:
        _perform(act, workspace, change, validate)
    return changes


def _perform(
    act: Act, workspace: WorkspaceId, change: to.Change, validate: Callable[[str], None]
) -> None:
    match change:
        case to.Register() | to.Revise() | to.Retime() | to.Approve():
            _serve(act, workspace, change)
        case to.Give(grant):
            grants.create(act, workspace, _wish(act, workspace, grant))
        case to.Revoke(ident, _):
            grants.revoke(act, workspace, ident)
        case to.Publish(name, text, mode):
            draft = guardrails.Draft(name=name, text=text, mode=mode)
            guardrails.publish(act, workspace, draft, validate)
        case to.Retire(ident, _):
            guardrails.retire(act, workspace, ident)
        case _:
            _gather(act, workspace, change)


def _gather(
    act: Act,
    workspace: WorkspaceId,
    change: to.AddMember
    | to.Rename
    | to.SetRole
    | to.AddAgent
    | to.HandOver
    | to.CreateGroup
    | to.Join
    | to.Part,
) -> None:
    """The changes of people, agents and groups."""
    match change:
        case to.AddMember(email, display, role):
            members.add(act, workspace, members.Newcomer(email=email, display=display), role)
        case to.Rename(email, display):
            members.rename(act, workspace, _member(act, workspace, email), display)
        case to.SetRole(email, role):
            members.set_role(act, workspace, _member(act, workspace, email), role)
        case to.AddAgent(name, owner):
            agents.add(act, workspace, name, _member(act, workspace, owner))
        case to.HandOver(name, owner):
            agents.hand_over(
                act, workspace, _agent(act, workspace, name), _member(act, workspace, owner)
            )
        case to.CreateGroup(name):
            groups.create(act, workspace, name)
        case to.Join(group, who):
            groups.join(act, workspace, _group(act, workspace, group), _who(act, workspace, who))
        case to.Part(group, who):
            groups.part(act, workspace, _group(act, workspace, group), _who(act, workspace, who))
        case _:
            assert_never(change)


def _serve(
    act: Act, workspace: WorkspaceId, change: to.Register | to.Revise | to.Retime | to.Approve
) -> None:
    """The changes of servers."""
    match change:
        case to.Register(alias, proposal):
            servers.register(act, workspace, alias, proposal)
        case to.Revise(alias, proposal) | to.Retime(alias, proposal):
            servers.revise(act, workspace, _server(act, workspace, alias), proposal)
        case to.Approve(alias):
            servers.approve(act, workspace, _server(act, workspace, alias))


def _wish(act: Act, workspace: WorkspaceId, grant: WantedGrant) -> grants.Wish:
    kind, _, name = reference(grant.to).partition(":")
    grantee = ""
    if kind == "group":
        grantee = _group(act, workspace, name)
    elif kind != "everyone":
        grantee = _who(act, workspace, f"{kind}:{name}")
    return grants.Wish(
        grantee_kind=kind,  # type: ignore[arg-type] # the file's pattern allows these four only
        grantee=grantee,
        server=_server(act, workspace, grant.server),
        tool=grant.tool,
        level=grant.level,
        expires_at=expiry(grant),
        ticket=grant.ticket,
    )


def _who(act: Act, workspace: WorkspaceId, who: str) -> PrincipalId:
    kind, _, name = who.partition(":")
    found = _agent if kind == "agent" else _member
    return PrincipalId(found(act, workspace, name))


def _member(act: Act, workspace: WorkspaceId, email: str) -> MemberId:
    for row in act.tx.find(Member, workspace=workspace, email=email):
        if row.status != "left":
            return row.id
    raise NotFound(f"there is no member {email!r} here")


def _agent(act: Act, workspace: WorkspaceId, name: str) -> AgentId:
    for row in act.tx.find(Agent, workspace=workspace, name=name):
        if row.status != "left":
            return row.id
    raise NotFound(f"there is no agent {name!r} here")


def _group(act: Act, workspace: WorkspaceId, name: str) -> GroupId:
    return act.the(Group, workspace=workspace, name=name).id


def _server(act: Act, workspace: WorkspaceId, alias: str) -> ServerId:
    return act.the(Server, workspace=workspace, alias=alias).id
