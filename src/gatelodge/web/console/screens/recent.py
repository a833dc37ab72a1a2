"""The last hours: a picture of the calls, and a strip for each server, also on its own page."""

from markupsafe import Markup
from msgspec import Struct

from gatelodge.core.pictures.recent import calls_title, health_cell, share
from gatelodge.core.pictures.sparkline import sparkline
from gatelodge.core.pictures.strip import strip
from gatelodge.web.api.record.activity import RecentActivity, ServerHours
from gatelodge.web.console.rendering import picture


class ServerStrip(Struct, frozen=True, kw_only=True):
    """One server's strip."""

    id: str
    server: str
    picture: Markup
    calls: int
    failed: int
    troubles: int


class ServerPanel(Struct, frozen=True, kw_only=True):
    """What a server's page shows of the last hours; `strip` is None where nothing is recorded."""

    strip: ServerStrip | None
    since: str
    sampled: bool


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
        sampled=_is_sampled(told),
        servers=tuple(_server_strip(each, told) for each in told.servers),
    )


def server_panel(told: RecentActivity, alias: str) -> ServerPanel:
    """The strip of one server, of which these numbers may say nothing at all."""
    found = next((each for each in told.servers if each.server == alias), None)
    return ServerPanel(
        strip=None if found is None else _server_strip(found, told),
        since=told.hours[0].at if told.hours else "",
        sampled=_is_sampled(told),
    )


def _is_sampled(told: RecentActivity) -> bool:
    return any(each.read < each.leaves or not each.counted for each in told.hours)


def _server_strip(server: ServerHours, told: RecentActivity) -> ServerStrip:
    cells = [
        health_cell(
            hour.at,
            server.ok[at],
            server.denied[at],
            server.failed[at],
            ran=server.ran[at],
            troubles=server.troubles[at],
        )
        for at, hour in enumerate(told.hours)
    ]
    failed, troubles = sum(server.failed), sum(server.troubles)
    known = sum(each.kind != "none" for each in cells)
    title = (
        f"{server.server}, hour by hour: known of {known} of {len(cells)} hours, {failed} calls "
        f"failed, {troubles} instances were refused or ended by themselves"
    )
    return ServerStrip(
        id=server.id,
        server=server.server,
        picture=picture(strip(cells, title)),
        calls=sum(server.ok) + failed,
        failed=failed,
        troubles=troubles,
    )
