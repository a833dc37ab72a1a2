"""One instance: what was found of it, and how it is paused, attested and ended."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import asdict

from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import PAGE
from gatelodge.web.api.parameters import Here, Named
from gatelodge.web.api.rules import instances as api
from gatelodge.web.api.rules.instances import (
    AttestedInstance,
    EndedInstances,
    PausedInstance,
    RunningInstance,
)
from gatelodge.web.console.forms import NOTHING, Asked, FormOutcome, answered, sent_form
from gatelodge.web.console.rendering import page

_APART: Final = frozenset(("id", "promises", "facts", "deviations", "limits", "refused"))
"""What the page shows in a place of its own."""

_ACTS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {
    "pause": api.pause.fn,
    "resume": api.resume.fn,
    "attest": api.attest.fn,
    "stop": api.stop.fn,
    "kill": api.kill.fn,
}


async def running(place: WorkspaceContext, server: str) -> Sequence[RunningInstance]:
    """What runs of a server on this node, oldest first; as many as a page of the list has."""
    return (await api.listed.fn(place, server, PAGE, "")).items  # type: ignore[no-any-return]


async def _instance_page(
    place: WorkspaceContext,
    name: str,
    outcome: FormOutcome,
    *,
    turned: PausedInstance | None = None,
    attested: AttestedInstance | None = None,
) -> Response[Any]:
    row = await api.show.fn(place, name)
    return page(
        "instance.html",
        place,
        "instances",
        row=row,
        facts=[each for each in asdict(row).items() if each[0] not in _APART],
        limits=list(asdict(row.limits).items()),
        turned=turned,
        attested=attested,
        outcome=outcome,
        status=outcome.status,
    )


@get("/instances/{name:str}", opt={"act": "server.read"})
async def show(place: Here, name: Named) -> Response[Any]:
    """One instance with what was found of its isolation."""
    return await _instance_page(place, name, NOTHING)


def _act_post(name: str, work: Callable[..., Awaitable[Any]]) -> HTTPRouteHandler:
    act = name

    async def change(place: Here, name: Named, request: Asked) -> Response[Any]:
        """Do it, and say what came of it."""
        sent = await sent_form(request)

        async def shows(told: FormOutcome) -> Response[Any]:
            return await _instance_page(place, name, told)

        async def done() -> Response[Any]:
            found = await work(place, name)
            if isinstance(found, PausedInstance):
                return await _instance_page(place, name, NOTHING, turned=found)
            if isinstance(found, AttestedInstance) and not found.ended:
                return await _instance_page(place, name, NOTHING, attested=found)
            ended = found if isinstance(found, EndedInstances) else None
            return page(
                "instance_ended.html", place, "instances", name=name, ended=ended, attested=found
            )

        # One that ended meanwhile has no page: then the error has one of its own.
        return await answered(act, sent, done, shows)

    change.__name__ = f"instance_{act}"
    path = f"/instances/{{name:str}}/{act}"
    return post(path, opt={"act": "server.disable"}, status_code=200)(change)


ROUTES = (show, *(_act_post(name, work) for name, work in _ACTS.items()))
