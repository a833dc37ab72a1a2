"""One tool whole: what its server says, what was approved, what an admin found it to be."""

from collections.abc import Mapping
from typing import Any

from anyio import to_thread
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from gatelodge.core.catalog.server import Server
from gatelodge.flows.admin.definitions.shapes import ToolDetail, tool_detail
from gatelodge.flows.admin.pins import ToolFinding, tool
from gatelodge.flows.identity.revocation import RevocationReceipt
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.foreseen import DryRun
from gatelodge.flows.nouns.noun import NounVerb
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import answer_of_verb, body_type
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.console.forms import (
    NOTHING,
    Asked,
    FormOutcome,
    SentForm,
    answered,
    done,
    home_of,
    sent_form,
)
from gatelodge.web.console.rendering import page, segment
from gatelodge.web.console.screens.rules.definitions import views_of
from gatelodge.web.console.screens.serving.servers import DONE
from gatelodge.web.console.screens.verbs import ended_page

_ANSWERS: Mapping[str, bool | None] = {"yes": True, "no": False}


async def tool_page(
    place: WorkspaceContext, alias: str, name: str, outcome: FormOutcome, finished: str = ""
) -> Response[Any]:
    """One tool of a server, with the forms that say something of it."""

    def look(tx: StoreTx) -> tuple[Server, ToolDetail]:
        row = lookup.server(tx, place.id, alias)
        found = lookup.tool_of(tx, row, name)
        return row, tool_detail(found, row.alias, place.showing.name_length)

    server, detail = await place.gate.read(look)
    (view,) = await to_thread.run_sync(views_of, [detail])
    return page(
        "tool.html",
        place,
        "servers",
        alias=server.alias,
        server=server.id,
        view=view,
        tool=detail.tool,
        outcome=outcome,
        done=DONE.get(finished, ""),
        status=outcome.status,
    )


@get("/servers/{alias:str}/tool", opt={"act": "tool.read"})
async def show(place: Here, alias: Named, name: Asks, done: Asks = "") -> Response[Any]:
    """One tool of a server, whole."""
    return await tool_page(place, alias, name, NOTHING, done)


def _given(verb: NounVerb, name: str, sent: SentForm) -> Any:
    """What a verb of a tool is given, made of what the form sent."""
    made = body_type(tool, verb)
    match verb.name:
        case "approve":
            return made(tools={name: sent.text("digest")})
        case "unblock":
            return made(tools=(name,))
        case "review":
            found = ToolFinding(
                digest=sent.text("digest"),
                read_only=_ANSWERS.get(sent.text("read_only")),
                destructive=_ANSWERS.get(sent.text("destructive")),
                open_world=_ANSWERS.get(sent.text("open_world")),
            )
            return made(tools={name: found})
    return made(tool=name, why=sent.text("why"))


def _verb_post(verb: NounVerb) -> HTTPRouteHandler:
    answer = answer_of_verb(tool, verb)

    async def change(place: Here, alias: Named, request: Asked) -> Response[Any]:
        """Do what the form says of one tool, or tell what it would change."""
        sent = await sent_form(request)
        name = sent.whole("tool")

        async def shows(told: FormOutcome) -> Response[Any]:
            return await tool_page(place, alias, name, told)

        async def work() -> Response[Any]:
            asks = verb.tries and sent.asks
            given = await answer(
                place=place, name=alias, data=_given(verb, name, sent), dry_run=asks
            )
            if isinstance(given, DryRun):
                return await shows(FormOutcome(form=verb.name, typed=sent.typed, foreseen=given))
            if isinstance(given, RevocationReceipt):
                return await ended_page(place, "servers", f"{alias}/{name}", given)
            path = f"{home_of(place)}/servers/{segment(alias)}/tool?name={segment(name)}"
            return done(path, verb.name)

        return await answered(verb.name, sent, work, shows)

    change.__name__ = f"tool_{verb.run.__name__}"
    path = f"/servers/{{alias:str}}/tool/{verb.name}"
    return post(path, opt={"act": verb.act}, status_code=200)(change)


ROUTES = (show, *map(_verb_post, tool.verbs))
