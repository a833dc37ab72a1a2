"""Calls as they come: a table that grows by itself, or is loaded again where nothing runs."""

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromQuery

from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, Here
from gatelodge.web.api.record import audit
from gatelodge.web.api.record.live import watched
from gatelodge.web.api.record.responses import RecordShape
from gatelodge.web.console.forms import home_of
from gatelodge.web.console.rendering import page
from gatelodge.web.console.tables import FilePart, Form, as_file, parse_form, table_file

ROWS = 40
_READ = {"act": "audit.read"}
Asked = Request[Any, Any, Any]


@get("/live", opt=_READ)
async def live(place: Here, form: Asks = "") -> Response[Any]:
    """The newest records, newest first; the look is written down."""
    chosen = parse_form(form)
    found = await audit.tail.fn(place, ROWS)
    rows = found.items[::-1]
    if chosen:
        of = table_file(RecordShape, "live")
        return await as_file(place, rows, chosen, of, _part(place, chosen, found.items))
    return page("live.html", place, "live", rows=rows, next=found.next)


def _part(place: WorkspaceContext, form: Form, shown: tuple[RecordShape, ...]) -> FilePart:
    """What is older than the newest records stands in the files of the search."""
    oldest = shown[0].index if len(shown) == ROWS else 0
    if not oldest:
        return FilePart()
    address = f"{home_of(place)}/audit?form={form}&cursor={oldest}"
    return FilePart(next=str(oldest), address=address)


@get("/live/events", opt=_READ)
async def events(
    place: Here, request: Asked, after: FromQuery[int | None] = None
) -> Response[bytes]:
    """Tell of records as they end, in server-sent events, until the reader goes."""
    # The face goes on from here: an answer of the framework is whole before it leaves.
    request.scope["state"]["source"] = await watched(place, after)
    return Response(b"", media_type="text/event-stream")


ROUTES = (live, events)
