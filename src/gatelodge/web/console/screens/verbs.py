"""The forms of a declared noun's verbs, answered: what changed, what would, or what ended.

A row is changed by the very functions that answer the API.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from gatelodge.core.people import Member
from gatelodge.flows.identity.revocation import RevocationReceipt
from gatelodge.flows.nouns import lookup
from gatelodge.flows.nouns.foreseen import DryRun
from gatelodge.flows.nouns.noun import Noun, NounVerb
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import answer_of_verb, route_options
from gatelodge.web.api.parameters import Here, Named
from gatelodge.web.api.rules.instances import EndedInstances
from gatelodge.web.console.forms import (
    Asked,
    FormOutcome,
    SentForm,
    answered,
    body_of_form,
    done,
    home_of,
    sent_form,
)
from gatelodge.web.console.rendering import page, segment

Shows = Callable[[WorkspaceContext, str, FormOutcome], Awaitable[Response[Any]]]
ShowsList = Callable[[WorkspaceContext, FormOutcome], Awaitable[Response[Any]]]


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


def maker_post(noun: Noun[Any], verb: NounVerb, lists: ShowsList) -> HTTPRouteHandler:
    """The route of a form that makes a row; `lists` is the page that it stands on."""
    answer = answer_of_verb(noun, verb)

    async def make(place: Here, request: Asked) -> Response[Any]:
        """Make a row, or tell what that would change."""
        sent = await sent_form(request)

        async def work() -> Response[Any]:
            given = await _told(answer, verb, place, "", body_of_form(noun, verb, sent), sent)
            if isinstance(given, DryRun):
                told = FormOutcome(form=verb.name, typed=sent.typed, foreseen=given)
                return await lists(place, told)
            # A member's name is none to be found by: it is empty, or another's as well.
            called = getattr(given, "email", getattr(given, "name", given.id))
            return done(f"{home_of(place)}/{noun.plural}/{segment(called)}", verb.name)

        return await answered(verb.name, sent, work, lambda told: lists(place, told))

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
