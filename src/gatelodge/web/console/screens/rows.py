"""A page for each row of a declared noun, with a form for each of its verbs: as the API has them.

Grants, groups, agents, tokens and servers are changed by the very functions that answer the API.
"""

from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec.structs import asdict

from gatelodge.flows.admin import agents, grants, groups
from gatelodge.flows.admin.tokens import token
from gatelodge.flows.nouns.noun import Noun
from gatelodge.flows.vault.secrets import secret
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import row_for_caller
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.record.filters import RecordFilter
from gatelodge.web.console.forms import (
    NOTHING,
    FormOutcome,
    forms_of_row,
    untold_problem,
)
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.lists import LISTS, list_page
from gatelodge.web.console.screens.people.holdings import holdings, is_let_in
from gatelodge.web.console.screens.people.latest import LatestRecords, latest_records
from gatelodge.web.console.screens.values import forms_of_values
from gatelodge.web.console.screens.verbs import Shows, maker_post, verb_post
from gatelodge.web.console.suggestions import SuggestedNames, suggested_names

NOUNS: Final[tuple[Noun[Any], ...]] = (agents.agent, groups.group, grants.grant, token, secret)
_OF_VALUES: Final = ("set", "unset")
_TEMPLATES: Final = {"group": "group.html"}


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
            here=noun is not agents.agent or await is_let_in(place, row.id),
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
    screen = next(each for each in LISTS if each.path == noun.plural)

    async def lists(place: WorkspaceContext, told: FormOutcome) -> Response[Any]:
        return await list_page(screen, place, outcome=told)

    changes = (
        maker_post(noun, verb, lists) if verb.makes else verb_post(noun, verb, shows)
        for verb in noun.verbs
    )
    return [_row_get(noun, shows), *changes]


ROUTES: Final = tuple(route for noun in NOUNS for route in _routes(noun))
