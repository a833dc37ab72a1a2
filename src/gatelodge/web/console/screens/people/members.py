"""Members: who is here, what one of them holds, and the forms that let in, rename and stop."""

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get
from msgspec.structs import replace

from gatelodge.core.people import Member
from gatelodge.flows.admin.members import member, whole
from gatelodge.flows.identity.revocation import RevocationReceipt
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import shown_rows
from gatelodge.web.api.pages import PageRequest
from gatelodge.web.api.pages import page as page_of
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.record.filters import RecordFilter
from gatelodge.web.console.forms import (
    NOTHING,
    FormOutcome,
    VerbForm,
    forms_of_list,
    forms_of_row,
    untold_problem,
)
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.people.holdings import holdings, is_let_in
from gatelodge.web.console.screens.people.latest import latest_records
from gatelodge.web.console.screens.verbs import maker_post, verb_post
from gatelodge.web.console.suggestions import suggested_names
from gatelodge.web.console.tables import as_file, parse_form, table_file

ROWS = 100
REVOKE: Final = next(verb for verb in member.verbs if verb.name == "revoke")
_OTHERS: Final = tuple(verb for verb in member.verbs if verb is not REVOKE)
"""What the page does as those of other nouns; of the end of access it tells more."""


@get("/members", opt={"act": "member.read"})
async def listed(place: Here, q: Asks = "", cursor: Asks = "", form: Asks = "") -> Response[Any]:
    """Everybody, also those who left."""
    chosen = parse_form(form)
    if chosen:
        rows = await _found_members(place, q)
        return await as_file(place, rows, chosen, table_file(member.shape, "members", q))
    return await _list_page(place, NOTHING, q, cursor)


async def _found_members(place: WorkspaceContext, q: str) -> list[Any]:
    wanted = q.strip().casefold()
    rows = await shown_rows(member, place)
    return [each for each in rows if wanted in each.email or wanted in each.name.casefold()]


async def _list_page(
    place: WorkspaceContext, outcome: FormOutcome, q: str = "", cursor: str = ""
) -> Response[Any]:
    """The page of all members, and what came of the form that lets one in."""
    rows = await _found_members(place, q)
    part = page_of(rows, lambda row: str(row.id), lambda row: row, PageRequest(ROWS, cursor))
    return page(
        "members.html",
        place,
        "members",
        rows=part.items,
        q=q,
        next=part.next,
        forms=forms_of_list(member, place, outcome),
        status=outcome.status,
    )


@get("/members/{who:str}", opt={"act": "member.read"})
async def show(place: Here, who: Named, done: Asks = "") -> Response[Any]:
    """One member with everything that ends when they are revoked."""
    return await member_page(place, who, NOTHING, done)


async def member_page(
    place: WorkspaceContext,
    who: str,
    outcome: FormOutcome,
    finished: str = "",
    receipt: RevocationReceipt | None = None,
) -> Response[Any]:
    """The page of a member, with what came of a form on it, or of the end of their access."""

    def look(tx: StoreTx) -> tuple[Any, str]:
        row = lookup.member(tx, place.id, who)
        by = "" if receipt is None else receipt.by
        by = lookup.names(tx, place.id, Member).get(by, by) if by else ""
        return whole(tx, row, place.showing), by

    row, by = await place.gate.read(look)
    names = await suggested_names(place, [verb for verb in member.verbs if not verb.makes])
    forms = forms_of_row(member, place, row.id, outcome, row.status, names)
    # A form that is shown again is no second look at who called.
    looks = not outcome.form and receipt is None
    return page(
        "member.html",
        place,
        "members",
        row=row,
        receipt=receipt,
        by=by,
        here=await is_let_in(place, row.id),
        holds=await holdings(place, row.id),
        latest=await latest_records(place, RecordFilter(member=row.id)) if looks else None,
        forms=[form for form in forms if form.name != REVOKE.name],
        leaving=_form_of_the_end(place, row.agents, forms),
        problem_above=untold_problem(outcome, forms),
        done=finished if finished in {verb.name for verb in _OTHERS} else "",
        status=outcome.status,
    )


def _form_of_the_end(
    place: WorkspaceContext, owned: Sequence[str], forms: Sequence[VerbForm]
) -> VerbForm | None:
    """The form that ends their access; an heir is asked for where there is something to inherit."""
    heirs = bool(owned) and place.caller.may("agent.transfer")
    for form in forms:
        if form.name == REVOKE.name:
            fields = [each for each in form.fields if heirs or each.name != "transfer_to"]
            return replace(form, fields=tuple(fields))
    return None


ROUTES = (
    listed,
    show,
    *(
        maker_post(member, verb, _list_page) if verb.makes else verb_post(member, verb, member_page)
        for verb in _OTHERS
    ),
)
