"""What is set, and where from: as the node that answers runs."""

from typing import Any

from litestar import Response, get

from gatelodge.web.api.house import settings
from gatelodge.web.api.parameters import Asks, Here
from gatelodge.web.console.rendering import page
from gatelodge.web.console.tables import as_file, parse_form, table_file


@get("/settings", opt={"act": "settings.read"})
async def listed(place: Here, q: Asks = "", form: Asks = "") -> Response[Any]:
    """Each setting with its value and its origin; what is no default stands first."""
    chosen = parse_form(form)
    wanted = q.strip().casefold()
    told = await settings.listed.fn(place.gate)
    rows = [each for each in told if wanted in f"{each.key} {each.value} {each.origin}".casefold()]
    if chosen:
        return await as_file(place, rows, chosen, table_file(settings.SettingLine, "settings", q))
    rows.sort(key=lambda each: not each.changed)
    return page("settings.html", place, "settings", rows=rows, q=q)


ROUTES = (listed,)
