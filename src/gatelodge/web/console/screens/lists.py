"""A page for each noun that is declared, and for what runs: the columns that the command has."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from anyio import to_thread
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from gatelodge.flows.admin import agents, grants, groups
from gatelodge.flows.admin.tokens import token
from gatelodge.flows.nouns.noun import Noun
from gatelodge.flows.trust.cards import card
from gatelodge.flows.vault.secrets import secret
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import shown_rows
from gatelodge.web.api.pages import LONGEST, PageRequest
from gatelodge.web.api.pages import page as page_of
from gatelodge.web.api.parameters import Asks, Here
from gatelodge.web.api.rules import guardrails, instances
from gatelodge.web.console.forms import NOTHING, FormOutcome, VerbForm, forms_of_list
from gatelodge.web.console.rendering import cell, page
from gatelodge.web.console.suggestions import holders_of_tokens, suggested_names
from gatelodge.web.console.tables import as_file, parse_form, table_file

ROWS = 100

Rows = Callable[[WorkspaceContext], Awaitable[Sequence[Any]]]


class ListScreen(Struct, frozen=True, kw_only=True):
    """One list as a page: what it shows, of which rows, and what it says when there are none."""

    path: str
    title: str
    about: str
    columns: tuple[str, ...]
    empty: str
    act: str
    rows: Rows
    row: type[Struct]
    """What a row is."""
    noun: Noun[Any] | None = None
    link: str = ""
    """What of a row names its own page, an id where names are borne again; empty: it has none."""
    template: str = "list.html"


def _screen_of_noun(noun: Noun[Any]) -> ListScreen:
    return ListScreen(
        path=noun.plural,
        title=noun.plural.capitalize(),
        about=noun.about,
        columns=noun.columns,
        empty=noun.empty,
        act=f"{noun.name}.read",
        rows=partial(shown_rows, noun),
        row=noun.shape,
        noun=noun,
        link="id" if noun in (token, grants.grant, agents.agent, card) else "name",
        template="tokens.html" if noun is token else "list.html",
    )


async def _every_page(asks: Callable[[str], Awaitable[Any]]) -> list[Any]:
    """What stands on all pages of a list: a file of it leaves nothing out."""
    told = await asks("")
    rows = [*told.items]
    while told.next:
        told = await asks(told.next)
        rows += told.items
    return rows


async def _instances(place: WorkspaceContext) -> Sequence[Any]:
    return await _every_page(lambda cursor: instances.listed.fn(place, "", LONGEST, cursor))


async def _guardrails(place: WorkspaceContext) -> Sequence[Any]:
    return await _every_page(lambda cursor: guardrails.listed.fn(place, LONGEST, cursor))


LISTS: Final = (
    _screen_of_noun(agents.agent),
    _screen_of_noun(groups.group),
    _screen_of_noun(grants.grant),
    _screen_of_noun(token),
    _screen_of_noun(secret),
    _screen_of_noun(card),
    ListScreen(
        path="guardrails",
        title="Guardrails",
        about="What nobody may do, whatever is granted.",
        columns=("name", "mode", "scope", "text", "unmatched", "id"),
        empty="No guardrails yet. Write one: gatelodge policy add NAME FILE",
        act="guardrail.read",
        rows=_guardrails,
        row=guardrails.GuardrailShape,
        link="id",
        template="guardrails.html",
    ),
    ListScreen(
        path="instances",
        title="Instances",
        about="What runs of the servers on the node that answered, and how far it is kept apart.",
        columns=(
            "server",
            "owner",
            "tier",
            "runtime",
            "isolation",
            "memory_bytes",
            "processes",
            "seconds",
            "node",
            "id",
        ),
        empty="Nothing runs now. A server starts with its first call.",
        act="server.read",
        rows=_instances,
        row=instances.RunningInstance,
        link="id",
        template="instances.html",
    ),
)


async def list_page(
    screen: ListScreen,
    place: WorkspaceContext,
    *,
    q: str = "",
    cursor: str = "",
    outcome: FormOutcome = NOTHING,
    done: bool = False,
    **told: Any,
) -> Response[Any]:
    """The page of a list, with the forms that make a row of it, and what came of one of them."""
    found = await _found_rows(screen, place, q)
    part = page_of(found, lambda row: str(row.id), lambda row: row, PageRequest(ROWS, cursor))
    forms: Sequence[VerbForm] = ()
    if screen.noun is not None:
        names = await suggested_names(place, [verb for verb in screen.noun.verbs if verb.makes])
        forms = forms_of_list(screen.noun, place, outcome, names)
    return page(
        screen.template,
        place,
        screen.path,
        screen=screen,
        rows=part.items,
        q=q,
        next=part.next,
        forms=forms,
        holders=await holders_of_tokens(place) if screen.noun is token else {},
        outcome=outcome,
        done=done,
        status=outcome.status,
        **told,
    )


async def _found_rows(screen: ListScreen, place: WorkspaceContext, q: str) -> list[Any]:
    wanted, rows = q.strip().casefold(), await screen.rows(place)

    def matching() -> list[Any]:
        return [
            row
            for row in rows
            if any(wanted in cell(getattr(row, each)).casefold() for each in screen.columns)
        ]

    # Of a large house that is each cell of each of its grants or tokens: beside the loop.
    return await to_thread.run_sync(matching, limiter=place.gate.writing) if wanted else [*rows]


def _route(screen: ListScreen) -> HTTPRouteHandler:
    async def listed(
        place: Here, q: Asks = "", cursor: Asks = "", form: Asks = "", done: Asks = ""
    ) -> Response[Any]:
        """List what there is, of which a part is shown, and all of it as a file."""
        chosen = parse_form(form)
        if chosen:
            found = await _found_rows(screen, place, q)
            return await as_file(place, found, chosen, table_file(screen.row, screen.path, q))
        return await list_page(screen, place, q=q, cursor=cursor, done=bool(done))

    return get(f"/{screen.path}", opt={"act": screen.act}, name=screen.path)(listed)


ROUTES = tuple(map(_route, LISTS))
