"""Members: who is here, and what one of them holds."""

from typing import Any

from litestar import Response, get

from gatelodge.flows.admin.members import member, whole
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.nouns import shown_rows
from gatelodge.web.api.pages import PageRequest
from gatelodge.web.api.pages import page as page_of
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.record.filters import RecordFilter
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.people.holdings import holdings
from gatelodge.web.console.screens.people.latest import latest_records
from gatelodge.web.console.tables import as_file, parse_form, table_file

ROWS = 100


@get("/members", opt={"act": "member.read"})
async def listed(place: Here, q: Asks = "", cursor: Asks = "", form: Asks = "") -> Response[Any]:
    """Everybody, also those who left."""
    chosen = parse_form(form)

    wanted = q.strip().casefold()
    rows = await shown_rows(member, place)
    rows = [each for each in rows if wanted in each.email or wanted in each.name.casefold()]
    if chosen:
        return await as_file(place, rows, chosen, table_file(member.shape, "members", q))
    part = page_of(rows, lambda row: str(row.id), lambda row: row, PageRequest(ROWS, cursor))
    return page("members.html", place, "members", rows=part.items, q=q, next=part.next)


@get("/members/{who:str}", opt={"act": "member.read"})
async def show(place: Here, who: Named) -> Response[Any]:
    """One member with everything that ends when they are revoked."""

    def look(tx: StoreTx) -> Any:
        row = lookup.member(tx, place.id, who)
        return whole(tx, row, place.showing)

    row = await place.gate.read(look)
    holds = await holdings(place, row.id)
    latest = await latest_records(place, RecordFilter(member=row.id))
    return page("member.html", place, "members", row=row, receipt=None, holds=holds, latest=latest)


ROUTES = (listed, show)
