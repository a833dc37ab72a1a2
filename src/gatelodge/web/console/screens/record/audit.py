"""What happened, and when: the records of calls, and one call whole."""

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec.structs import replace

from gatelodge.core.errors import HouseError, Invalid, NotFound
from gatelodge.web import problems
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, Here, Named, Shard, from_query
from gatelodge.web.api.record import audit, replay
from gatelodge.web.api.record.audit import RecordPage
from gatelodge.web.api.record.filters import RecordFilter
from gatelodge.web.api.record.responses import RecordShape
from gatelodge.web.console.forms import home_of
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.record.proofs import proof_panel
from gatelodge.web.console.screens.record.question import SPANS, AskedQuestion, names_to_choose
from gatelodge.web.console.tables import FILE_ROWS, FilePart, Form, as_file, parse_form, table_file

ROWS = 50


@get("/audit", opt={"act": "audit.read"}, dependencies={"sought": from_query(RecordFilter)})
async def search(
    place: Here, sought: NamedDependency[RecordFilter], cursor: Asks = "", form: Asks = ""
) -> Response[Any]:
    """Records by whom, what, when and how they ended, newest first; the look is written down."""
    chosen = parse_form(form)
    if chosen:
        return await _file(place, sought, cursor, chosen)
    names = await place.gate.read(lambda tx: names_to_choose(tx, place))
    problem, status = "", 200
    try:
        found = await audit.search.fn(place, sought, ROWS, cursor)
    except (Invalid, NotFound) as fault:
        # What was typed stays in its field, beside what is wrong with it.
        found, problem = RecordPage(items=()), _told(fault)
        status = problems.problem(fault).status
    asked = AskedQuestion(sought)
    shown = page(
        "audit.html",
        place,
        "audit",
        found=found,
        sought=sought,
        asked=asked,
        names=names,
        spans=SPANS,
        cursor=cursor,
        problem=problem,
        most=FILE_ROWS,
    )
    shown.status_code = status
    return shown


def _told(fault: HouseError) -> str:
    return f"{fault.detail}. What to do: {fault.remedy or 'change the filter'}"


async def _file(
    place: WorkspaceContext, sought: RecordFilter, cursor: str, form: Form
) -> Response[Any]:
    """The records as a file: one look, of as many as a file holds."""
    since, until = sought.span(place.gate.clock.now())
    # The next part asks for the same times: `7d` would be other days by then.
    asked = replace(sought, since=since, until=until)
    with place.gate.questions.by(place.caller.by):
        rows = await audit.gathered(place, asked, FILE_ROWS, cursor)
    query = AskedQuestion(asked).link(form=form, cursor=rows.next)
    part = FilePart(begins=cursor, next=rows.next, address=f"{home_of(place)}/audit?{query}")
    return await as_file(place, rows.items, form, table_file(RecordShape, "records"), part)


@get("/audit/calls/{call:str}", opt={"act": "audit.read"})
async def show(place: Here, call: Named, shard: Shard = 0) -> Response[Any]:
    """One call: its record, its leaves as the log has them, and its decision made again."""
    told = await audit.show.fn(place, call, shard)
    again = None
    if "gov" in next(iter(told.leaves.values())):
        again = await replay.replay_call.fn(place, call, shard)
    proof = proof_panel(place, told.log, call, shard)
    return page("call.html", place, "audit", call=call, told=told, again=again, proof=proof)


ROUTES = (search, show)
