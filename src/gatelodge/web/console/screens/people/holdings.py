"""What somebody holds now: servers with how many tools, and the grants that give them."""

from anyio import to_thread
from msgspec import Struct

from gatelodge.core.access.reach import AccessReach
from gatelodge.core.ids import PrincipalId
from gatelodge.core.instant import rfc3339
from gatelodge.core.policy.compile import subjects
from gatelodge.core.view_entry import PrincipalEntry
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.operators import operator_name
from gatelodge.web.api.rules.asked import AccessMoment, moment_of


class HeldServer(Struct, frozen=True, kw_only=True):
    """How many of a server's tools somebody may use."""

    server: str
    allowed: int
    total: int


class HeldGrant(Struct, frozen=True, kw_only=True):
    """A grant that reaches somebody, theirs or a group's; `ends` is empty without an end."""

    id: str
    to: str
    server: str
    tool: str
    level: str
    since: str
    by: str
    ends: str


class HeldAccess(Struct, frozen=True, kw_only=True):
    """Everything that somebody holds now."""

    servers: tuple[HeldServer, ...]
    grants: tuple[HeldGrant, ...]


async def is_let_in(place: WorkspaceContext, ident: str) -> bool:
    """Say whether anything of a member or an agent is let in now, by the view that decides."""
    return PrincipalId(ident) in (await place.gate.present()).principals


async def holdings(place: WorkspaceContext, ident: str) -> HeldAccess | None:
    """What a member or an agent holds; None of whom nothing is let in, or who may not be told."""
    if not (place.caller.may("access.read") and place.caller.may("grant.read")):
        return None
    now = await moment_of(place, "")
    who = now.view.principals.get(PrincipalId(ident))
    if who is None or who.workspace != place.id:
        return None
    # A grant and a tool of the house at a time: beside the loop.
    return await to_thread.run_sync(_held, now, who, limiter=place.gate.writing)


def _held(now: AccessMoment, who: PrincipalEntry) -> HeldAccess:
    names, servers = now.names(), now.here.servers.values()
    aliases = {str(server.id): server.alias for server in servers}
    allowed = AccessReach(now.view, now.here, now.at).of(who)
    mine = set(subjects(who))
    grants = [
        HeldGrant(
            id=row.id,
            to=names.get(row.grantee, row.grantee),
            server=aliases.get(row.server, row.server),
            tool=row.tool,
            level=row.level,
            since=rfc3339(row.created_at),
            by=names.get(row.created_by, operator_name(row.created_by)),
            ends="" if row.expires_at is None else rfc3339(row.expires_at),
        )
        for row in now.view.state.grants
        if row.workspace == now.place.id
        and (row.grantee_kind, "" if row.grantee_kind == "everyone" else row.grantee) in mine
        and (row.expires_at is None or row.expires_at > now.at)
    ]
    return HeldAccess(
        servers=tuple(
            HeldServer(server=s.alias, allowed=len(allowed[s.id]), total=len(s.tools))
            for s in servers
            if s.id in allowed
        ),
        grants=tuple(sorted(grants, key=lambda each: (each.server, each.since))),
    )
