"""What happened, and when: the records of calls, and one call whole."""

from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from msgspec.structs import replace

from gatelodge.core.errors import HouseError, Invalid, NotFound
from gatelodge.web import problems
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import LONGEST
from gatelodge.web.api.parameters import Asks, Here, Named, Shard, from_query
from gatelodge.web.api.record import audit, replay
from gatelodge.web.api.record.audit import RecordPage
from gatelodge.web.api.record.filters import RecordFilter
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.record.proofs import proof_panel
from gatelodge.web.console.screens.record.question import SPANS, AskedQuestion, names_to_choose
from gatelodge.web.console.tables import as_file, parse_form

ROWS = 50
FILE_ROWS: Final = 5_000
"""Records in one file; what is left is asked for with the cursor, or on the command line."""
_MOST_STEPS: Final = 20


@get("/audit", opt={"act": "audit.read"}, dependencies={"sought": from_query(RecordFilter)})
async def search(
    place: Here, sought: NamedDependency[RecordFilter], cursor: Asks = "", form: Asks = ""
) -> Response[Any]:
    """Records by whom, what, when and how they ended, newest first; the look is written down."""
    chosen = form if form == "jsonl" else parse_form(form)
    if chosen:
        with place.gate.questions.by(place.caller.by):
            rows = await _gathered(place, sought, cursor, FILE_ROWS)
        if chosen == "jsonl":
            lines = b"".join(msgspec.json.encode(each) + b"\n" for each in rows.items)
            return Response(lines, media_type="application/x-ndjson")
        return as_file(rows.items, parse_form(form), "records")
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
    )
    shown.status_code = status
    return shown


def _told(fault: HouseError) -> str:
    return f"{fault.detail}. What to do: {fault.remedy or 'change the filter'}"


async def _gathered(
    place: WorkspaceContext, sought: RecordFilter, cursor: str, most: int
) -> RecordPage:
    """So many records at most, over several pages; each page is a look that is written down."""
    found = RecordPage(items=(), next=cursor)
    for _ in range(_MOST_STEPS):
        wanted = min(LONGEST, most - len(found.items))
        step = await audit.search.fn(place, sought, wanted, found.next)
        found = replace(step, items=(*found.items, *step.items))
        if not step.next or len(found.items) >= most:
            break
    return found


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
