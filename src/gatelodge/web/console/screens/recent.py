"""The last hours on the overview: a picture of the calls, a strip for each server."""

from markupsafe import Markup
from msgspec import Struct

from gatelodge.core.pictures.recent import calls_title, health_cell, share
from gatelodge.core.pictures.sparkline import sparkline
from gatelodge.core.pictures.strip import strip
from gatelodge.web.api.record.activity import RecentActivity, ServerHours
from gatelodge.web.console.rendering import picture


class ServerStrip(Struct, frozen=True, kw_only=True):
    """One server's strip."""

    server: str
    picture: Markup
    calls: int
    failed: int


class RecentPanel(Struct, frozen=True, kw_only=True):
    """What the overview shows of the last hours; `sampled` where not all of it was read."""

    since: str
    picture: Markup
    calls: int
    denied: int
    failed: int
    errors: str
    p50_ms: int | None
    p95_ms: int | None
    sampled: bool
    servers: tuple[ServerStrip, ...]


def recent_panel(told: RecentActivity) -> RecentPanel:
    """The pictures of these numbers."""
    values = [each.ok + each.denied + each.failed if each.counted else None for each in told.hours]
    return RecentPanel(
        since=told.hours[0].at if told.hours else "",
        picture=picture(sparkline(values, calls_title(values))),
        calls=told.ok + told.denied + told.failed,
        denied=told.denied,
        failed=told.failed,
        errors=share(told.failed, told.ok + told.failed),
        p50_ms=told.p50_ms,
        p95_ms=told.p95_ms,
        sampled=any(each.read < each.leaves or not each.counted for each in told.hours),
        servers=tuple(_strip(each, told) for each in told.servers),
    )


def _strip(server: ServerHours, told: RecentActivity) -> ServerStrip:
    cells = [
        health_cell(hour.at, *counts)
        for hour, *counts in zip(told.hours, server.ok, server.denied, server.failed, strict=True)
    ]
    failed = sum(server.failed)
    title = f"{server.server}, hour by hour: {failed} calls failed"
    return ServerStrip(
        server=server.server,
        picture=picture(strip(cells, title)),
        calls=sum(server.ok) + failed,
        failed=failed,
    )
