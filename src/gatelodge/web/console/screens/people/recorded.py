"""What was recorded about whoever looks: their own calls, and the changes that name them."""

from typing import Any

from litestar import Response, get
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, Here
from gatelodge.web.api.people import recorded
from gatelodge.web.console.forms import home_of
from gatelodge.web.console.rendering import page
from gatelodge.web.console.tables import FILE_ROWS, FilePart, Form, as_file, parse_form, table_file

ROWS = 50
_CURSORS = {"calls": "cursor", "changes": "older"}
"""Where each of the lists goes on, by the names of the query."""


@get("/recorded", opt={"act": "access.own"})
async def shown(
    place: Here, cursor: Asks = "", older: Asks = "", form: Asks = "", of: Asks = "calls"
) -> Response[Any]:
    """The reader's own records; nobody else's are there to be asked for."""
    chosen = parse_form(form)
    if of not in _CURSORS:
        raise Invalid(f"of: there is no list {of!r}", remedy="Say calls or changes.")
    if chosen:
        return await _file(place, of, cursor if of == "calls" else older, chosen)
    calls = await recorded.own_calls.fn(place, ROWS, cursor)
    changes = await recorded.own_changes.fn(place, ROWS, older)
    return page(
        "recorded.html",
        place,
        "recorded",
        calls=calls,
        changes=changes,
        cursor=cursor,
        older=older,
        most=FILE_ROWS,
    )


async def _file(place: WorkspaceContext, of: str, begins: str, form: Form) -> Response[Any]:
    """One of the lists as a file: of calls it is one look."""
    told: recorded.OwnRecords | recorded.OwnChanges
    row: type[Struct]
    if of == "calls":
        told, row = await recorded.gathered_calls(place, FILE_ROWS, begins), recorded.OwnRecord
    else:
        told, row = await recorded.gathered_changes(place, FILE_ROWS, begins), recorded.OwnChange
    address = f"{home_of(place)}/recorded?form={form}&of={of}&{_CURSORS[of]}={told.next}"
    part = FilePart(begins=begins, next=told.next, address=address)
    return await as_file(place, told.items, form, table_file(row, of), part)


ROUTES = (shown,)
