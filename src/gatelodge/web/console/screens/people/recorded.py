"""What was recorded about whoever looks: their own calls, and the changes that name them."""

from typing import Any

from litestar import Response, get

from gatelodge.core.errors import Invalid
from gatelodge.web.api.pages import LONGEST
from gatelodge.web.api.parameters import Asks, Here
from gatelodge.web.api.people import recorded
from gatelodge.web.console.rendering import page
from gatelodge.web.console.tables import as_file, parse_form

ROWS = 50


@get("/recorded", opt={"act": "access.own"})
async def shown(
    place: Here, cursor: Asks = "", older: Asks = "", form: Asks = "", of: Asks = "calls"
) -> Response[Any]:
    """The reader's own records; nobody else's are there to be asked for."""
    chosen = parse_form(form)
    if of not in ("calls", "changes"):
        raise Invalid(f"of: there is no list {of!r}", remedy="Say calls or changes.")
    if chosen and of == "calls":
        return as_file((await recorded.own_calls.fn(place, LONGEST, cursor)).items, chosen, of)
    if chosen:
        return as_file((await recorded.own_changes.fn(place, LONGEST, older)).items, chosen, of)
    calls = await recorded.own_calls.fn(place, ROWS, cursor)
    changes = await recorded.own_changes.fn(place, ROWS, older)
    return page(
        "recorded.html", place, "recorded", calls=calls, changes=changes, cursor=cursor, older=older
    )


ROUTES = (shown,)
