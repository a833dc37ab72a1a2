"""Grants that nobody used lately: what could be revoked without anybody missing it."""

from typing import Any

from litestar import Response, get

from gatelodge.web.api.parameters import Asks, Flag, Here
from gatelodge.web.api.rules import unused
from gatelodge.web.api.rules.unused import Days, GrantUse
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.rules.days import days_of_log
from gatelodge.web.console.tables import as_file, parse_form, table_file

MOST = 500
"""Grants on one page: what is beyond is in the file."""


@get("/unused", opt={"act": "audit.read"})
async def listed(
    place: Here, days: Days = 90, form: Asks = "", *, used: Flag = False
) -> Response[Any]:
    """The grants that allowed no call for so many days."""
    chosen = parse_form(form)
    told = await unused.unused.fn(place, days, used=used)
    if chosen:
        # Where the log was read in part, it is later than was asked for.
        words = ("grants", "with-used") if used else ("unused",)
        of = table_file(GrantUse, *words, f"since-{told.since[:10]}")
        return await as_file(place, told.grants, chosen, of)
    days_there = await days_of_log(place)
    return page(
        "unused.html",
        place,
        "unused",
        told=told,
        rows=told.grants[:MOST],
        left_out=max(0, len(told.grants) - MOST),
        used=used,
        days=days_there,
        # What is older than the log itself is no answer, however short it looks.
        young=days_there.last < told.days,
        fewer=max(1, told.days // 3),
    )


ROUTES = (listed,)
