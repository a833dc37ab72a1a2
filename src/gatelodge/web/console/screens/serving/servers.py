"""Servers: how they are doing, their tools with what is approved of each, and what is said of it.

What is approved is what was shown: each form bears the digests of the page that it stands on, and
the gate refuses what has changed since.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from anyio import to_thread
from litestar import Response, get, post

from gatelodge.core.catalog.server import Server, Tool
from gatelodge.core.errors import Invalid
from gatelodge.flows.admin import pins
from gatelodge.flows.admin.definitions.shapes import ToolDetail, tool_detail
from gatelodge.flows.admin.pins import tool
from gatelodge.flows.admin.servers import server
from gatelodge.flows.jobs.kinds import ARTIFACT
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.house import jobs
from gatelodge.web.api.house.jobs import JobShape
from gatelodge.web.api.nouns import shown_rows
from gatelodge.web.api.pages import LONGEST
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.record import activity
from gatelodge.web.api.rules import servers as api
from gatelodge.web.console.forms import (
    NOTHING,
    Asked,
    FormOutcome,
    SentForm,
    answered_with_place,
    home_of,
    sent_form,
    untold_problem,
)
from gatelodge.web.console.rendering import page_beside, segment
from gatelodge.web.console.screens.recent import ServerPanel, server_panel
from gatelodge.web.console.screens.rules.definitions import MOST_WHOLE, text_runs, views_of
from gatelodge.web.console.screens.rules.instances import running
from gatelodge.web.console.screens.serving.offered import (
    commands_to_add,
    forms_of_server,
    forms_to_add,
)
from gatelodge.web.console.screens.verbs import verb_post
from gatelodge.web.console.tables import as_file, parse_form, table_file

_BUILDS: Final = 5
DONE: Final = {
    "url": "It is described. Read its tools next, then approve what they are.",
    "command": "It is described. Read its tools next, then approve what they are.",
    "artifact": "It is described. Read its tools next, then approve what they are.",
    "move": "It has the other image. Look at its tools, then approve it.",
    "edit": "It is changed.",
    "secret": "The secret is in the vault, and named in the definition.",
    "restart": "It begins anew.",
    "approve": "What was shown is approved.",
    "observe": "Its tools were read.",
    "enable": "It serves again.",
    "block": "The tool is blocked.",
    "unblock": "The block is lifted.",
    "review": "The finding is written down.",
}


@get("/servers", opt={"act": "server.read"})
async def listed(place: Here, form: Asks = "", done: Asks = "") -> Response[Any]:
    """Every server with its health and how far it is kept apart."""
    chosen = parse_form(form)
    if chosen:
        rows = await shown_rows(server, place)
        return await as_file(place, rows, chosen, table_file(server.shape, "servers"))
    return await servers_page(place, NOTHING, finished=bool(done))


async def servers_page(
    place: WorkspaceContext, outcome: FormOutcome, *, finished: bool = False
) -> Response[Any]:
    """The list of servers, with the forms that add one."""
    forms = forms_to_add(place, outcome)
    return await page_beside(
        "servers.html",
        place,
        "servers",
        rows=await shown_rows(server, place),
        forms=forms,
        problem_above=untold_problem(outcome, forms),
        commands=commands_to_add(place),
        builds=await _latest_builds(place),
        done=finished,
        status=outcome.status,
    )


async def _latest_builds(place: WorkspaceContext) -> list[tuple[JobShape, str]]:
    """The builds that the reader may follow, newest first, each with what is built."""
    if not place.caller.may(ARTIFACT.act):
        return []
    found = (await jobs.listed.fn(place.gate, place.caller, LONGEST, "")).items
    named = ((each, each.kind.partition(" ")) for each in found)
    return [(each, what) for each, (kind, _, what) in named if kind == ARTIFACT.name][:_BUILDS]


async def server_page(
    place: WorkspaceContext, alias: str, outcome: FormOutcome, finished: str = ""
) -> Response[Any]:
    """One server, its tools, and in full those that wait for a word."""

    def look(tx: StoreTx) -> tuple[Server, Any, list[Any], list[ToolDetail]]:
        row = lookup.server(tx, place.id, alias)
        here = tx.find(Tool, workspace=place.id, server=row.id)
        shown = list(tool.show(tx, here, place.showing)) if here else []
        length = place.showing.name_length
        due = [each for each in here if each.present and each.observed != each.approved]
        details = [tool_detail(each, row.alias, length) for each in due[:MOST_WHOLE]]
        return row, server.show(tx, [row], place.showing)[0], shown, details

    row, shape, tools, details = await place.gate.read(look)
    views = await to_thread.run_sync(views_of, details)
    said = await to_thread.run_sync(pins.instructions, row)
    told = await to_thread.run_sync(text_runs, row.approved_instructions, row.instructions)
    due = [each for each in tools if each.digest != each.approved and _can_be_approved(each)]
    instances = () if shape.kind == "http" else await running(place, alias)
    forms = forms_of_server(place, row, outcome)
    return await page_beside(
        "server.html",
        place,
        "servers",
        row=shape,
        changed=row.revision > 1,
        tools=tools,
        views=views,
        due=due,
        left_out=len(due) - len(views),
        instructions=said,
        told=told,
        lately=await _lately(place, shape.alias),
        forms=forms,
        problem_above=untold_problem(outcome, forms),
        instances=instances,
        done=DONE.get(finished, ""),
        status=outcome.status,
    )


@get("/servers/{alias:str}", opt={"act": "server.read"})
async def show(place: Here, alias: Named, done: Asks = "") -> Response[Any]:
    """One server, with its tools."""
    return await server_page(place, alias, NOTHING, done)


@post("/servers/{alias:str}/approve", opt={"act": "server.approve"}, status_code=200)
async def approve(place: Here, alias: Named, request: Asked) -> Response[Any]:
    """Approve the server, and of its tools and instructions what was shown and chosen."""
    sent = await sent_form(request)

    async def work() -> None:
        shown = api.ServerApproval(
            description=sent.text("description"),
            tools=_shown_digests(sent),
            instructions=sent.text("instructions"),
        )
        await api.approve.fn(place, alias, shown)

    return await answered_of_server(place, alias, sent, "approve", work)


@post("/servers/{alias:str}/observe", opt={"act": "tool.observe"}, status_code=200)
async def look_again(place: Here, alias: Named, request: Asked) -> Response[Any]:
    """Reach the server and read its tools; approves nothing."""
    sent = await sent_form(request)

    async def work() -> None:
        await api.look_again.fn(place, alias)

    return await answered_of_server(place, alias, sent, "observe", work)


async def answered_of_server(
    place: WorkspaceContext,
    alias: str,
    sent: SentForm,
    form: str,
    work: Callable[[], Awaitable[Any]],
) -> Response[Any]:
    """Do what a form on a server's page says; the page tells what came of it."""

    async def shows(told: FormOutcome) -> Response[Any]:
        return await server_page(place, alias, told)

    path = f"{home_of(place)}/servers/{segment(alias)}"
    return await answered_with_place(form, sent, work, path, shows)


async def _lately(place: WorkspaceContext, alias: str) -> ServerPanel | None:
    """How it was in the last hours; None for whoever may not read the records that say so."""
    if not place.caller.may("audit.read"):
        return None
    return server_panel(await activity.activity.fn(place), alias)


def _shown_digests(sent: SentForm) -> dict[str, str]:
    """The tools that were chosen, each with the digest that the page showed. Raises Invalid."""
    chosen = sent.every("only") or sent.every("tool")
    found = {}
    for each in chosen:
        digest, space, name = each.partition(" ")
        if not space or not digest:
            raise Invalid("the form names a tool without its digest", remedy="Load the page again.")
        found[name] = digest
    return found


def _can_be_approved(shape: Any) -> bool:
    return shape.standing in ("new", "changed", "pinned")


async def _shown_server(place: WorkspaceContext, name: str, outcome: FormOutcome) -> Response[Any]:
    return await server_page(place, name, outcome)


ROUTES = (
    listed,
    show,
    approve,
    look_again,
    *(verb_post(server, verb, _shown_server) for verb in server.verbs),
)
