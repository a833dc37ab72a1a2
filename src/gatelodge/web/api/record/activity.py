"""How much was called lately, hour by hour: counts and durations, and nobody's name.

Beside them stands how the instances of each server were.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import NotFound
from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.records.origin import calls_log
from gatelodge.flows.activity.hours import MOST_HOURS, HourCounts, quantile
from gatelodge.flows.activity.instances import HourOfServer, hours_of_servers
from gatelodge.flows.nouns import lookup
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Here

Hours = Annotated[int, QueryParameter(ge=1, le=MOST_HOURS, description="How many hours back.")]


class HourShape(Struct, frozen=True, kw_only=True):
    """One hour. Where `read` is less than `leaves`, the counts are of what was read of it.

    `p50_ms` and `p95_ms` are within an eighth of what was measured. `counted` is false for an hour
    that the next question goes on counting.
    """

    at: str
    ok: int
    denied: int
    failed: int
    p50_ms: int | None
    p95_ms: int | None
    leaves: int
    read: int
    counted: bool


class ServerHours(Struct, frozen=True, kw_only=True):
    """One server: how its calls ended in each of the hours, and how its instances were.

    `ran` is true where the records say that an instance of it ran in that hour; false says that
    they do not. `troubles` counts instances that were refused or ended by themselves.
    """

    id: str
    server: str
    ok: tuple[int, ...]
    denied: tuple[int, ...]
    failed: tuple[int, ...]
    ran: tuple[bool, ...]
    troubles: tuple[int, ...]


class RecentActivity(Struct, frozen=True, kw_only=True):
    """The last hours, the oldest first, and all of them together."""

    hours: tuple[HourShape, ...]
    servers: tuple[ServerHours, ...]
    ok: int
    denied: int
    failed: int
    p50_ms: int | None
    p95_ms: int | None


@get("/audit/activity", opt={"act": "audit.read"})
async def activity(place: Here, hours: Hours = 24) -> RecentActivity:
    """Count the calls of the last hours: how they ended, how long they took, what ran for them."""
    gate = place.gate
    try:
        found = await gate.recent.of(gate.ledger, calls_log(place.id), gate.clock.now(), hours)
    except NotFound:
        found = []  # the log is made with its first record
    names = await gate.read(lambda tx: lookup.names(tx, place.id, Server))
    took: Counter[int] = sum((each.took for each in found), Counter())
    instances = hours_of_servers(
        [each.instances for each in found], [each.whole for each in found], _live(place)
    )
    called = {server for each in found for server, _ in each.ends}
    servers = sorted((called | instances.keys()) & names.keys())
    return RecentActivity(
        hours=tuple(map(_shape_of_hour, found)),
        servers=tuple(
            _shape_of_server(each, names[each], found, instances.get(each, ())) for each in servers
        ),
        ok=sum(each.count("ok") for each in found),
        denied=sum(each.count("denied") for each in found),
        failed=sum(each.count("failed") for each in found),
        p50_ms=quantile(took, 0.5),
        p95_ms=quantile(took, 0.95),
    )


def _shape_of_hour(hour: HourCounts) -> HourShape:
    return HourShape(
        at=rfc3339(hour.start),
        ok=hour.count("ok"),
        denied=hour.count("denied"),
        failed=hour.count("failed"),
        p50_ms=quantile(hour.took, 0.5),
        p95_ms=quantile(hour.took, 0.95),
        leaves=hour.leaves,
        read=hour.read,
        counted=hour.next >= 0,
    )


def _live(place: WorkspaceContext) -> list[tuple[str, Instant]]:
    """The servers of what runs on this node, and since when: its beginning was on record first."""
    now, boot = place.gate.clock.now(), place.gate.clock.boottime()
    return [
        (each.server, Instant(now - round((boot - each.began) * 1_000_000)))
        for each in place.gate.hosted.running()
        if each.workspace == place.id
    ]


def _shape_of_server(
    ident: str, name: str, found: list[HourCounts], instances: Sequence[HourOfServer]
) -> ServerHours:
    here = instances or [HourOfServer()] * len(found)
    return ServerHours(
        id=ident,
        server=name,
        ok=tuple(each.ends[ident, "ok"] for each in found),
        denied=tuple(each.ends[ident, "denied"] for each in found),
        failed=tuple(each.ends[ident, "failed"] for each in found),
        ran=tuple(each.ran for each in here),
        troubles=tuple(each.troubles for each in here),
    )


ROUTES = (activity,)
