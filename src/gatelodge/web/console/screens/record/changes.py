"""Who changed who may do what: the leaves of the gov log, with names; and one of them whole."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from msgspec.structs import replace

from gatelodge.core.records.origin import GOV, past
from gatelodge.flows.audit.changes import LOOK
from gatelodge.flows.audit.reading import fields
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, Flag, FromIndex, Here, Shard, from_query
from gatelodge.web.api.record import changes
from gatelodge.web.api.record.changes import ChangeFilter, ChangeShape
from gatelodge.web.console.forms import home_of
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.record.proofs import proof_panel
from gatelodge.web.console.screens.record.question import AskedQuestion
from gatelodge.web.console.tables import FILE_ROWS, FilePart, Form, as_file, parse_form, table_file

ROWS = 50


class ChangeLine(Struct, frozen=True, kw_only=True):
    """One change as a row of a file."""

    index: int
    at: str
    type: str
    by: str
    about: str
    why: str


@get("/changes", opt={"act": "audit.read"}, dependencies={"wanted": from_query(ChangeFilter)})
async def search(
    place: Here,
    wanted: NamedDependency[ChangeFilter],
    cursor: Asks = "",
    form: Asks = "",
    *,
    looks: Flag = False,
) -> Response[Any]:
    """Changes, newest first: by whom, about whom or what, when, and for which ticket.

    That somebody read records is left out unless it is asked for: it would hide all else.
    """
    chosen = parse_form(form)
    looks = looks or wanted.type == LOOK
    if chosen:
        return await _file(place, wanted, cursor, chosen, looks=looks)
    found = await changes.found_changes(place, wanted, ROWS, cursor, looks=looks)
    return page(
        "changes.html",
        place,
        "changes",
        found=found,
        wanted=wanted,
        asked=AskedQuestion(wanted),
        looks=looks,
        cursor=cursor,
        most=FILE_ROWS,
    )


async def _file(
    place: WorkspaceContext, wanted: ChangeFilter, cursor: str, form: Form, *, looks: bool
) -> Response[Any]:
    """The changes as a file, of as many as a file holds; that it was taken is written down."""
    since, until = wanted.span(place.gate.clock.now())
    # The next part asks for the same times: `7d` would be other days by then.
    asked = replace(wanted, since=since, until=until)
    told = await changes.gathered_changes(place, asked, FILE_ROWS, cursor, looks=looks)
    query = AskedQuestion(asked).link(looks="true" if looks else "", form=form, cursor=told.next)
    part = FilePart(begins=cursor, next=told.next, address=f"{home_of(place)}/changes?{query}")
    if form == "csv":
        of = table_file(ChangeLine, "changes")
        return await as_file(place, map(_line, told.items), form, of, part)
    return await as_file(place, told.items, form, table_file(ChangeShape, "changes"), part)


def _line(each: ChangeShape) -> ChangeLine:
    return ChangeLine(
        index=each.index,
        at=each.at,
        type=each.type,
        by=each.by_name or each.by,
        about=", ".join(each.names.values()),
        why=each.why,
    )


@get("/changes/{index:int}", opt={"act": "audit.read"})
async def show(place: Here, index: FromIndex, shard: Shard = 0) -> Response[Any]:
    """One change as the log has it; the receipt of an end of access is one, too."""
    told = await changes.change.fn(place, index, shard)
    log = past(GOV, shard) if shard else GOV
    leaf = await place.gate.changes.at(log, index, place.id)
    cuts = {}
    if told.type == "revocation.receipt":
        cuts = {node: str(how).split(":") for node, how in told.subject["nodes"].items()}
    return page(
        "change.html",
        place,
        "changes",
        told=told,
        leaf=fields(leaf),
        log=log,
        cuts=cuts,
        proof=proof_panel(place, log, str(index), shard),
    )


ROUTES = (search, show)
