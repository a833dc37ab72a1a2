"""Tokens: list, issue, revoke. The token itself is in one answer only, and is never stored."""

import contextlib

from litestar import Response, get, post
from msgspec import Struct

from gatelodge.core.errors import Forbidden, Invalid, NotFound
from gatelodge.core.ids import PrincipalId
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Credential, Member
from gatelodge.flows.act import Act
from gatelodge.flows.identity import tokens
from gatelodge.flows.identity.revocation import Receipt
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.gate import Place
from gatelodge.web.api.given import Asks, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.people.shapes import TokenShape, Why, principal_name, token_shape

_OWN = "token.own"


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


class _Kept(Struct, frozen=True):
    rows: list[Credential]
    holders: dict[str, Member | Agent]


@get("/tokens", opt={"act": ("token.read", _OWN)})
async def listed(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> Page[TokenShape]:
    """List tokens by id, ended ones too; without the right to see all, one's own."""
    kept = await place.gate.read(lambda tx: _kept(tx, place))
    now = place.gate.clock.now()
    return page(
        kept.rows,
        lambda row: row.id,
        lambda row: token_shape(row, kept.holders.get(row.principal), now),
        Asked(limit, cursor),
    )


@post("/tokens", opt={"act": ("token.issue", _OWN)})
async def issue(place: Here, data: JSONBody[NewToken]) -> Response[IssuedToken]:
    """Issue a token; the answer is the only place where it stands."""
    if bool(data.member) == bool(data.agent):
        raise Invalid("give exactly one of member and agent")
    gate = place.gate

    def work(act: Act) -> tuple[tokens.Issued, str]:
        holder = _holder(act.tx, place, data)
        label = data.label or "token"
        made = tokens.issue(act, gate.peppers, place.id, PrincipalId(holder.id), label, data.days)
        return made, principal_name(holder)

    made, name = await gate.change(place.caller, work)
    row = made.credential
    issued = IssuedToken(
        id=row.id,
        principal=name,
        label=row.label,
        token=made.token,
        expires_at=rfc3339(row.expires_at),
        parent=row.parent,
        path=f"/k/{place.workspace.slug}/mcp",
    )
    return Response(issued, headers={"cache-control": "no-store"})


@post("/tokens/{token_id:str}/revoke", opt={"act": ("token.revoke", _OWN)}, status_code=200)
async def revoke(place: Here, token_id: Named, data: JSONBody[Why]) -> Receipt:
    """End one token; answers when it holds on every node."""
    row = await place.gate.read(lambda tx: named.credential(tx, place.id, token_id))
    if not place.caller.may("token.revoke"):
        kept = await place.gate.read(lambda tx: _kept(tx, place))
        if row.id not in {each.id for each in kept.rows}:
            raise Forbidden("this role may revoke its own tokens only")

    def work(act: Act) -> tuple[str, ...]:
        return tuple(each.id for each in tokens.revoke(act, place.id, row.id))

    return await place.gate.end(place.caller, ("credential", row.id, place.id), data.why, work)


def _holder(tx: Tx, place: Place, data: NewToken) -> Member | Agent:
    """For whom a token is wanted. Who may issue for themselves alone learns of nobody else."""
    find = named.member if data.member else named.agent
    if place.caller.may("token.issue"):
        return find(tx, place.id, data.member or data.agent)
    with contextlib.suppress(NotFound):
        found = find(tx, place.id, data.member or data.agent)
        if place.caller.by in {found.id, getattr(found, "owner", "")}:
            return found
    raise Forbidden("this role may issue tokens for itself and its own agents only")


def _kept(tx: Tx, place: Place) -> _Kept:
    """The credentials that the caller may see, and who holds them."""
    rows = tokens.of(tx, place.id, ended=True)
    members = tx.find(Member, workspace=place.id)
    agents = tx.find(Agent, workspace=place.id)
    holders: dict[str, Member | Agent] = {each.id: each for each in members}
    holders |= {each.id: each for each in agents}
    if not place.caller.may("token.read"):
        own = {each.id for each in agents if each.owner == place.caller.by}
        rows = [each for each in rows if each.principal in {place.caller.by, *own}]
    return _Kept(rows, holders)


ROUTES = (listed, issue, revoke)
