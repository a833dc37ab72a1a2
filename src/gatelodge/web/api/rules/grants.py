"""Grants: list, give, take back."""

from litestar import delete, get, post
from msgspec import Struct

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.people import Agent, Group, Member
from gatelodge.core.policy.rules import Grant, GranteeKind, Level
from gatelodge.flows.act import Act
from gatelodge.flows.admin import grants
from gatelodge.flows.identity.revocation import Receipt
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.gate import Place
from gatelodge.web.api.given import Asks, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.rules.shapes import GrantShape, grant_shape


class NewGrant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom (exactly one of the first four), which tools, how far, how long.

    `server` is an alias; `for_seconds` and `until` (RFC 3339) exclude each other.
    """

    member: str = ""
    agent: str = ""
    group: str = ""
    everyone: bool = False
    server: str
    tool: str = ""
    level: Level = "use"
    for_seconds: int | None = None
    until: str = ""
    ticket: str = ""


class _Names(Struct, frozen=True):
    """Names by id: of grantees, and of servers; and the tools of each server."""

    grantees: dict[str, str]
    servers: dict[str, str]
    tools: dict[str, list[Tool]]


@get("/grants", opt={"act": "grant.read"})
async def listed(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> Page[GrantShape]:
    """List the grants, expired ones too, oldest first."""
    now = place.gate.clock.now()

    def look(tx: Tx) -> Page[GrantShape]:
        names = _names(tx, place)
        return page(
            grants.listed(tx, place.id),
            lambda row: row.id,
            lambda row: _shape(row, names, now),
            Asked(limit, cursor),
        )

    return await place.gate.read(look)


@post("/grants", opt={"act": "grant.create"})
async def create(place: Here, data: JSONBody[NewGrant]) -> GrantShape:
    """Let somebody use tools."""

    def work(act: Act) -> GrantShape:
        kind, grantee = _grantee(act.tx, place, data)
        wish = grants.Wish(
            grantee_kind=kind,
            grantee=grantee,
            server=named.server(act.tx, place.id, data.server).id,
            tool=data.tool,
            level=data.level,
            expires_at=_end(data, act.at),
            ticket=data.ticket,
        )
        row = grants.create(act, place.id, wish)
        return _shape(row, _names(act.tx, place), act.at)

    return await place.gate.change(place.caller, work)


@delete("/grants/{grant_id:str}", opt={"act": "grant.revoke"}, status_code=200)
async def revoke(place: Here, grant_id: Named, why: Asks = "") -> Receipt:
    """Take a grant back; answers when it holds on every node."""
    row = await place.gate.read(lambda tx: named.grant(tx, place.id, grant_id))

    def work(act: Act) -> tuple[str, ...]:
        return (grants.revoke(act, place.id, row.id).id,)

    return await place.gate.end(place.caller, ("grant", row.id, place.id), why, work)


def _grantee(tx: Tx, place: Place, data: NewGrant) -> tuple[GranteeKind, str]:
    if sum(map(bool, (data.member, data.agent, data.group, data.everyone))) != 1:
        raise Invalid("give exactly one of member, agent, group and everyone")
    if data.member:
        return "member", named.member(tx, place.id, data.member).id
    if data.agent:
        return "agent", named.agent(tx, place.id, data.agent).id
    if data.group:
        return "group", named.group(tx, place.id, data.group).id
    return "everyone", ""


def _end(data: NewGrant, now: Instant) -> Instant | None:
    if data.for_seconds is not None and data.until:
        raise Invalid("give either for_seconds or until")
    if data.for_seconds is not None:
        if not 0 < data.for_seconds <= 10 * 366 * 86_400:
            raise Invalid("for_seconds: between a second and ten years")
        return Instant(now + data.for_seconds * 1_000_000)
    if not data.until:
        return None
    try:
        return parse_rfc3339(data.until)
    except ValueError:
        raise Invalid("until: wants a time such as 2026-12-01T18:00:00Z") from None


def _names(tx: Tx, place: Place) -> _Names:
    members = {str(row.id): row.email for row in tx.find(Member, workspace=place.id)}
    agents = {str(row.id): row.name for row in tx.find(Agent, workspace=place.id)}
    groups = {str(row.id): row.name for row in tx.find(Group, workspace=place.id)}
    servers = {str(row.id): row.alias for row in tx.find(Server, workspace=place.id)}
    tools: dict[str, list[Tool]] = {}
    for row in tx.find(Tool, workspace=place.id):
        tools.setdefault(row.server, []).append(row)
    return _Names(members | agents | groups | {"": "everyone"}, servers, tools)


def _shape(row: Grant, names: _Names, now: Instant) -> GrantShape:
    expired = row.expires_at is not None and row.expires_at <= now
    called = (
        names.grantees.get(row.grantee, row.grantee),
        names.servers.get(row.server, row.server),
    )
    return grant_shape(row, called, names.tools.get(row.server, []), expired=expired)


ROUTES = (listed, create, revoke)
