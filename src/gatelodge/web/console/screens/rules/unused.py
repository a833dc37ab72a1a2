"""Grants that nobody used lately: what could be revoked without anybody missing it."""

from typing import Any

from litestar import Response, get

from gatelodge.core.errors import Invalid
from gatelodge.web import problems
from gatelodge.web.api.parameters import Asks, Flag, Here
from gatelodge.web.api.rules import unused
from gatelodge.web.api.rules.unused import MOST_DAYS, GrantUse
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.rules.days import days_of_log
from gatelodge.web.console.tables import as_file, parse_form, table_file

MOST = 500
"""Grants on one page: what is beyond is in the file."""


@get("/unused", opt={"act": "audit.read"})
async def listed(
    place: Here, days: Asks = "90", form: Asks = "", *, used: Flag = False
) -> Response[Any]:
    """The grants that allowed no call for so many days."""
    chosen = parse_form(form)
    if not (days.isascii() and days.isdecimal() and len(days) <= 4 and 0 < int(days) <= MOST_DAYS):
        fault = Invalid(f"days: {days!r} is no number of days", remedy="Say 90.")
        if chosen:
            raise fault
        problem = problems.problem(fault)
        shown = page("unused.html", place, "unused", typed=days, used=used, problem=problem)
        shown.status_code = problem.status
        return shown
    told = await unused.unused.fn(place, int(days), used=used)
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
        typed=days,
        problem=None,
        rows=told.grants[:MOST],
        left_out=max(0, len(told.grants) - MOST),
        used=used,
        days=days_there,
        # What is older than the log itself is no answer, however short it looks.
        young=days_there.last < told.days,
        fewer=max(1, told.days // 3),
    )


ROUTES = (listed,)
