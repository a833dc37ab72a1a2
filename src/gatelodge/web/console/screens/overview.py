"""Is it fine now? What needs a person, what there is, what happened last."""

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get
from msgspec import Struct

from gatelodge.flows.admin.servers import server
from gatelodge.web.api.nouns import shown_rows
from gatelodge.web.api.parameters import Here
from gatelodge.web.api.record import activity, audit
from gatelodge.web.api.rules.asked import moment_of
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.recent import recent_panel

LATEST = 12
_WELL: Final = ("ready", "idle", "starting", "")


class NeedLine(Struct, frozen=True, kw_only=True):
    """Something that waits for a person, and the command that does it."""

    what: str
    command: str


@get("/", opt={"act": "access.own"})
async def overview(place: Here) -> Response[Any]:
    """The first page; a member without a role sees what is theirs."""
    then = await moment_of(place, "")
    caller = place.caller
    latest = ()
    recent = None
    if caller.may("audit.read"):
        latest = tuple(reversed((await audit.tail.fn(place, LATEST)).items))
        recent = recent_panel(await activity.activity.fn(place))
    servers = await shown_rows(server, place) if caller.may("server.read") else ()
    approved = len(then.here.servers)
    kinds = [each.kind for each in then.view.principals.values() if each.workspace == place.id]
    counts = {
        "people": kinds.count("member"),
        "agents": kinds.count("agent"),
        "servers": sum(map(_serves, servers)) if servers else approved,
        "approved": approved,
        "for_tasks": sum(each.for_tasks for each in servers if each.status == "approved"),
        "tools": len(then.here.tools),
    }
    return page(
        "overview.html",
        place,
        "",
        counts=counts if caller.may("workspace.read") else {},
        needs=_needs(servers),
        latest=latest,
        recent=recent,
        gov=then.view.gov,
        faults=then.view.left_out.get(place.id, ()) if caller.may("server.read") else (),
    )


def _serves(server: Any) -> bool:
    """True for an approved server that is well, or would be started by a call."""
    return server.status == "approved" and server.health in _WELL


def _needs(servers: Sequence[Any]) -> list[NeedLine]:
    found = []
    for each in servers:
        if each.status == "proposed":
            found.append(
                NeedLine(
                    what=f"{each.alias} waits for its approval",
                    command=f"gatelodge server approve {each.alias}",
                )
            )
        if each.changed:
            found.append(
                NeedLine(
                    what=f"{each.changed} tools of {each.alias} changed since they were approved",
                    command=f"gatelodge tool diff {each.alias}",
                )
            )
        if each.new and each.status != "proposed":
            found.append(
                NeedLine(
                    what=f"{each.new} tools of {each.alias} are new",
                    command=f"gatelodge server approve {each.alias}",
                )
            )
        if each.status == "approved" and not _serves(each):
            found.append(
                NeedLine(
                    what=f"{each.alias} is {each.health}: {each.detail}",
                    command=f"gatelodge server show {each.alias}",
                )
            )
    return found


ROUTES = (overview,)
