"""A page for each row of a declared noun, with a form for each of its verbs: as the API has them.

Grants, groups, agents, tokens and servers are changed by the very functions that answer the API.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import asdict

from gatelodge.core.people import Member
from gatelodge.flows.admin import agents, grants, groups
from gatelodge.flows.admin.tokens import token
from gatelodge.flows.identity.revocation import RevocationReceipt
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.foreseen import DryRun
from gatelodge.flows.nouns.noun import Noun, NounVerb
from gatelodge.flows.vault.secrets import secret
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import answer_of_verb, route_options, row_for_caller
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.record.filters import RecordFilter
from gatelodge.web.api.rules.instances import EndedInstances
from gatelodge.web.console.forms import (
    NOTHING,
    Asked,
    FormOutcome,
    SentForm,
    answered,
    body_of_form,
    done,
    forms_of_row,
    home_of,
    sent_form,
    untold_problem,
)
from gatelodge.web.console.rendering import page, segment
from gatelodge.web.console.screens.lists import LISTS, list_page
from gatelodge.web.console.screens.people.holdings import holdings
from gatelodge.web.console.screens.people.latest import LatestRecords, latest_records
from gatelodge.web.console.screens.values import forms_of_values
from gatelodge.web.console.suggestions import SuggestedNames, suggested_names

Shows = Callable[[WorkspaceContext, str, FormOutcome], Awaitable[Response[Any]]]
NOUNS: Final[tuple[Noun[Any], ...]] = (agents.agent, groups.group, grants.grant, token, secret)
_OF_VALUES: Final = ("set", "unset")
_TEMPLATES: Final = {"group": "group.html"}


async def ended_page(
    place: WorkspaceContext,
    path: str,
    name: str,
    receipt: RevocationReceipt,
    *,
    killed: EndedInstances | None = None,
) -> Response[Any]:
    """The page that tells what ended, and when it was certain; what was killed here with it."""

    def look(tx: StoreTx) -> str:
        return lookup.names(tx, place.id, Member).get(receipt.by, receipt.by)

    by = await place.gate.read(look)
    return page("ended.html", place, path, name=name, told=receipt, by=by, killed=killed)


def verb_post(noun: Noun[Any], verb: NounVerb, shows: Shows) -> HTTPRouteHandler:
    """The route of a verb's form on a row; `shows` is the page that it stands on."""
    answer = answer_of_verb(noun, verb)

    async def change(place: Here, name: Named, request: Asked) -> Response[Any]:
        """Do what the form says, or tell what it would change."""
        sent = await sent_form(request)

        async def work() -> Response[Any]:
            given = await _told(answer, verb, place, name, body_of_form(noun, verb, sent), sent)
            if isinstance(given, DryRun):
                told = FormOutcome(form=verb.name, typed=sent.typed, foreseen=given)
                return await shows(place, name, told)
            if isinstance(given, RevocationReceipt):
                return await ended_page(place, noun.plural, name, given)
            gone = f"/{segment(name)}" if not verb.removes else ""
            return done(f"{home_of(place)}/{noun.plural}{gone}", verb.name)

        return await answered(verb.name, sent, work, lambda told: shows(place, name, told))

    change.__name__ = f"{noun.name}_{verb.run.__name__}"
    opt = {"act": route_options(noun, verb.act, "", owned=not verb.makes)["act"]}
    return post(f"/{noun.plural}/{{name:str}}/{verb.name}", opt=opt, status_code=200)(change)


def _maker_post(noun: Noun[Any], verb: NounVerb) -> HTTPRouteHandler:
    answer = answer_of_verb(noun, verb)
    screen = next(each for each in LISTS if each.path == noun.plural)

    async def make(place: Here, request: Asked) -> Response[Any]:
        """Make a row, or tell what that would change."""
        sent = await sent_form(request)

        async def shows(told: FormOutcome) -> Response[Any]:
            return await list_page(screen, place, outcome=told)

        async def work() -> Response[Any]:
            given = await _told(answer, verb, place, "", body_of_form(noun, verb, sent), sent)
            if isinstance(given, DryRun):
                told = FormOutcome(form=verb.name, typed=sent.typed, foreseen=given)
                return await shows(told)
            called = getattr(given, "name", given.id)
            return done(f"{home_of(place)}/{noun.plural}/{segment(called)}", verb.name)

        return await answered(verb.name, sent, work, shows)

    make.__name__ = f"{noun.name}_{verb.run.__name__}"
    return post(f"/{noun.plural}", opt={"act": verb.act}, status_code=200)(make)


async def _told(
    answer: Callable[..., Awaitable[Any]],
    verb: NounVerb,
    place: WorkspaceContext,
    name: str,
    data: Any,
    sent: SentForm,
) -> Any:
    named = {} if verb.makes else {"name": name}
    return await answer(
        place=place, data=data, dry_run=verb.tries and sent.asks, why=sent.text("why"), **named
    )


def row_page(noun: Noun[Any]) -> Shows:
    """The page of a row of that noun, by its name."""

    async def shows(
        place: WorkspaceContext, name: str, outcome: FormOutcome, finished: str = ""
    ) -> Response[Any]:
        def look(tx: StoreTx) -> tuple[Any, str]:
            # A refused form shows its row again: to whoever may see it.
            row = row_for_caller(noun, place, tx, f"{noun.name}.read", name)
            return noun.show(tx, [row], place.showing)[0], str(getattr(row, "owner", ""))

        row, owner = await place.gate.read(look)
        called = str(getattr(row, "name", row.id))
        # An agent's name may be borne again: what stands here is of this one.
        told = row.id if noun is agents.agent else called
        names = await _names(noun, place, row)
        forms = forms_of_row(noun, place, told, outcome, getattr(row, "status", ""), names)
        if noun is secret:
            forms = [*forms_of_values(place, row, outcome), *forms]
        known = {*(each.name for each in noun.verbs), *_OF_VALUES}
        return page(
            _TEMPLATES.get(noun.name, "row.html"),
            place,
            noun.plural,
            noun=noun.name,
            name=called,
            row=row,
            owner=owner,
            facts=[
                (key, value)
                for key, value in asdict(row).items()
                if key not in ("name", "principals")
            ],
            forms=forms,
            problem_above=untold_problem(outcome, forms),
            done=finished if finished in known else "",
            status=outcome.status,
            holds=await holdings(place, row.id) if noun is agents.agent else None,
            latest=await _latest_of_agent(noun, place, row.id, outcome),
        )

    return shows


async def _names(noun: Noun[Any], place: WorkspaceContext, row: Any) -> SuggestedNames:
    """What the forms on a row's page suggest."""
    # Only who is in a group can be taken out of it.
    inside = {"remove-member": row.principals} if noun is groups.group else {}
    return await suggested_names(place, [verb for verb in noun.verbs if not verb.makes], inside)


async def _latest_of_agent(
    noun: Noun[Any], place: WorkspaceContext, ident: str, outcome: FormOutcome
) -> LatestRecords | None:
    # A form that is shown again is no second look at who called.
    if noun is not agents.agent or outcome.form:
        return None
    return await latest_records(place, RecordFilter(agent=ident))


def _row_get(noun: Noun[Any], shows: Any) -> HTTPRouteHandler:
    async def show(place: Here, name: Named, done: Asks = "") -> Response[Any]:
        """One row, and what may be done with it."""
        return await shows(place, name, NOTHING, done)  # type: ignore[no-any-return]

    show.__name__ = f"{noun.name}_show"
    return get(f"/{noun.plural}/{{name:str}}", opt={"act": f"{noun.name}.read"})(show)


def _routes(noun: Noun[Any]) -> list[HTTPRouteHandler]:
    shows = row_page(noun)
    changes = (
        _maker_post(noun, verb) if verb.makes else verb_post(noun, verb, shows)
        for verb in noun.verbs
    )
    return [_row_get(noun, shows), *changes]


ROUTES: Final = tuple(route for noun in NOUNS for route in _routes(noun))
