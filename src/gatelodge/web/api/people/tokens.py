"""A token is issued: it is in this one answer only, and is never stored."""

import contextlib

from litestar import Response, post
from msgspec import Struct

from gatelodge.core.errors import Forbidden, Invalid, NotFound
from gatelodge.core.ids import PrincipalId
from gatelodge.core.people import Agent, Member
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.tokens import principal_name
from gatelodge.flows.identity import tokens
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.shown import shown_as
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Here, JSONBody


class NewToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom: exactly one of `member` (e-mail address) and `agent` (name)."""

    member: str = ""
    agent: str = ""
    label: str = ""
    days: int | None = None


class IssuedToken(Struct, frozen=True, kw_only=True):
    """A new token. `token` is shown here and never again.

    It ends with the token `parent`, with which it was issued; empty on the gate's own machine.
    """

    id: str
    principal: str
    label: str
    token: str
    expires_at: str
    parent: str
    path: str


@post("/tokens", opt={"act": ("token.issue", "token.own")})
async def issue(place: Here, data: JSONBody[NewToken]) -> Response[IssuedToken]:
    """Issue a token; the answer is the only place where it stands."""
    if bool(data.member) == bool(data.agent):
        raise Invalid("give exactly one of member and agent")
    gate = place.gate

    def work(act: GovernanceAct) -> tuple[tokens.IssuedCredential, str]:
        # Found within the transaction that issues: a transfer of the agent in between would give
        # its former owner a token.
        holder = _requested_holder(act.tx, place, data)
        label = data.label or "token"
        made = tokens.issue(act, gate.peppers, place.id, PrincipalId(holder.id), label, data.days)
        return made, principal_name(holder)

    made, name = await gate.change(place.caller, work)
    row = made.credential
    path = f"/k/{place.workspace.slug}/mcp"
    issued = shown_as(IssuedToken, row, principal=name, token=made.token, path=path)
    # A cache on the way would hold a token that the gate itself does not keep.
    return Response(issued, headers={"cache-control": "no-store"})


def _requested_holder(tx: StoreTx, place: WorkspaceContext, data: NewToken) -> Member | Agent:
    """For whom a token is wanted. Who may issue for themselves alone learns of nobody else."""
    find = lookup.member if data.member else lookup.agent
    if place.caller.may("token.issue"):
        return find(tx, place.id, data.member or data.agent)
    # Nobody and somebody else end in the same words, or they would tell who is here.
    with contextlib.suppress(NotFound):
        found = find(tx, place.id, data.member or data.agent)
        if place.caller.by in {found.id, getattr(found, "owner", "")}:
            return found
    raise Forbidden("this role may issue tokens for itself and its own agents only")


ROUTES = (issue,)
