"""Workspaces: the first one with its owner and their token, and further ones."""

import re
from collections.abc import Mapping

from msgspec import Struct

from gatelodge.core.errors import Conflict, Forbidden, Invalid
from gatelodge.core.ids import PrincipalId, WorkspaceId
from gatelodge.core.people import Credential, Member, Workspace
from gatelodge.flows.act import GovernanceAct, a_line
from gatelodge.flows.admin import guardrails, members
from gatelodge.flows.identity import keys, tokens
from gatelodge.ports.world import TokenPeppers

FIRST = "main"

_SLUG = re.compile(r"[a-z][a-z0-9-]{0,31}")


class WorkspaceFounding(Struct, frozen=True):
    """A new workspace, its owner, and the owner's token, which is shown once."""

    workspace: Workspace
    owner: Member
    credential: Credential
    token: str


def start(
    act: GovernanceAct,
    peppers: TokenPeppers,
    fingerprints: Mapping[str, str],
    owner: str,
    called: str = "",
    name: str = "Main",
) -> WorkspaceFounding:
    """Enrol the house's keys and found the workspace `main`: the first start of a new database.

    Raises Conflict when there is a workspace already.
    """
    if act.tx.find(Workspace):
        raise Conflict("this house has been started before")
    keys.enrol(act, fingerprints)
    return create(act, peppers, FIRST, name, owner, called)


def create(
    act: GovernanceAct, peppers: TokenPeppers, slug: str, name: str, owner: str, called: str = ""
) -> WorkspaceFounding:
    """Found a workspace with its first owner, an e-mail address and a name; only an operator may.

    Raises Invalid, Conflict (the slug is taken), Forbidden.
    """
    if not act.local:
        raise Forbidden(
            "a workspace is founded on the gate's own machine",
            remedy="Run `gatelodge workspace create` there.",
        )
    if _SLUG.fullmatch(slug) is None:
        raise Invalid(
            "a workspace's slug is a lower-case letter and up to 31 letters, digits and hyphens"
        )
    if act.tx.find(Workspace, slug=slug):
        raise Conflict(f"there is a workspace {slug!r} already", remedy="Choose another slug.")
    workspace = Workspace(
        id=WorkspaceId(act.ids.new("wsp")),
        slug=slug,
        name=a_line("a workspace's name", name),
        created_at=act.at,
    )
    act.tx.put(workspace)
    act.record("workspace.created", workspace.id, workspace=workspace.id, slug=slug)
    # A guardrail for every workspace may await this slug, and has to hold from the first moment.
    guardrails.rebind(act, workspace.id, slug)
    member = members.add(act, workspace.id, owner, called, "owner")
    # In the same transaction: without it nobody could come in but from the gate's own machine.
    issued = tokens.issue(act, peppers, workspace.id, PrincipalId(member.id), "first token")
    return WorkspaceFounding(workspace, member, issued.credential, issued.token)
