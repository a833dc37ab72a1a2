"""Which grants nobody used lately, and who used which server last: access that could go."""

from collections.abc import Iterable
from typing import Annotated

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import NotFound
from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Group, Member
from gatelodge.core.policy.rules import Grant
from gatelodge.core.records.origin import calls_log
from gatelodge.flows.nouns import lookup
from gatelodge.flows.past.last_use import LogUse, has_earlier_shard
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Flag, Here
from gatelodge.web.api.record.audit import RecordsLook, written_down

DAY_US = 86_400_000_000
MOST_DAYS = 3650
Days = Annotated[
    int, QueryParameter(ge=1, le=MOST_DAYS, description="How many days count as lately.")
]


class GrantUse(Struct, frozen=True, kw_only=True):
    """One grant that holds, and when a call was last allowed by it; empty = not since `since`."""

    grant: str
    to: str
    kind: str
    server: str
    tool: str
    level: str
    created_at: str
    expires_at: str = ""
    last_used: str = ""


class UnusedGrants(Struct, frozen=True, kw_only=True):
    """Grants that allowed no call since `since`, the oldest first.

    `whole` is false when the log is so long that this question read back to `since` only, which is
    later than was asked for: ask again, and it reads on.
    """

    days: int
    since: str
    whole: bool
    grants: tuple[GrantUse, ...]


class RecentUse(Struct, frozen=True):
    """What was used since a moment, and whether all of the log since then was read."""

    use: LogUse
    since: str
    whole: bool


@get("/access/unused", opt={"act": "audit.read"})
async def unused(place: Here, days: Days = 90, *, used: Flag = False) -> UnusedGrants:
    """Tell which grants allowed no call for so many days; with `used`, those that did too.

    A grant that is younger than that is left out, since nobody had the time to use it.
    """
    found = await recent_use(place, days)

    def look(tx: StoreTx) -> list[GrantUse]:
        names = lookup.names(tx, place.id, Member, Agent, Group)
        servers = lookup.names(tx, place.id, Server)
        now = place.gate.clock.now()
        return [
            _grant_use(row, names, servers, found.use.grants.get(row.id, ""))
            for row in sorted(tx.find(Grant, workspace=place.id), key=lambda row: row.created_at)
            if row.expires_at is None or row.expires_at > now
        ]

    rows = await place.gate.read(look)
    grants = tuple(each for each in rows if is_told(each, found.since, used=used))
    await written_down(place, RecordsLook(calls_log(place.id), "unused"), len(grants))
    return UnusedGrants(days=days, since=found.since, whole=found.whole, grants=grants)


def is_told(grant: GrantUse, since: str, *, used: bool) -> bool:
    """Say whether a grant is listed: one that was not used since then, and was there by then."""
    if grant.last_used >= since:
        return used
    return grant.created_at < since


async def recent_use(place: WorkspaceContext, days: int) -> RecentUse:
    """What was used in the last days. Whoever calls it writes down that it was read."""
    gate = place.gate
    wanted = rfc3339(Instant(gate.clock.now() - days * DAY_US))
    # What was answered may still wait in the journal.
    await gate.sequencer.advance()
    try:
        use = await gate.last_uses.since(gate.ledger, gate.turn, calls_log(place.id), wanted)
    except NotFound:
        # The log is made with its first record; after a restore an earlier one may be there.
        now = rfc3339(gate.clock.now())
        earlier = await has_earlier_shard(gate.ledger, calls_log(place.id))
        use = LogUse(reached=now if earlier else wanted)
    use = use if use.reached else LogUse(reached=rfc3339(gate.clock.now()))
    return RecentUse(use, use.reached, use.reached == wanted)


async def servers_used(
    place: WorkspaceContext, found: RecentUse, members: Iterable[str]
) -> dict[tuple[str, str], str]:
    """When each of these members, or an agent of theirs, last used each server, by their ids."""
    ids = {server for _, server in found.use.servers}
    used: dict[tuple[str, str], str] = {}
    for member in members:
        for key in await place.gate.deks.ids_of(member):
            for server in ids:
                at = found.use.servers.get((key, server), "")
                if at >= found.since:
                    used[member, server] = max(at, used.get((member, server), ""))
    return used


def _grant_use(row: Grant, names: dict[str, str], servers: dict[str, str], used: str) -> GrantUse:
    return GrantUse(
        grant=row.id,
        to=names.get(row.grantee, row.grantee) or "everyone",
        kind=row.grantee_kind,
        server=servers.get(row.server, row.server),
        tool=row.tool,
        level=row.level,
        created_at=rfc3339(row.created_at),
        expires_at="" if row.expires_at is None else rfc3339(row.expires_at),
        last_used=used,
    )


ROUTES = (unused,)
