"""How access came and went: somebody's timeline, and what differs between two moments."""

from typing import Any

from anyio import to_thread
from litestar import Response, get
from msgspec import Struct

from gatelodge.core.errors import Forbidden, Invalid, NotFound
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.core.pictures.timeline import TimelineSpan, access_timeline
from gatelodge.web import problems
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, Here, Named
from gatelodge.web.api.rules import past
from gatelodge.web.api.rules.asked import moment_of
from gatelodge.web.api.rules.past import (
    AccessIntervalShape,
    DifferentAccess,
    HistoryEdgeShape,
    PrincipalHistory,
)
from gatelodge.web.console.rendering import page, page_beside, picture
from gatelodge.web.console.tables import as_file, moment_word, parse_form, table_file

MOST = 500
"""Intervals on one page: what is beyond is in the file."""


class TimelineLine(Struct, frozen=True, kw_only=True):
    """One interval as a row of a file."""

    tool: str
    rule: str
    began_at: str
    began_by: str
    ended_at: str
    ended_by: str


@get("/access/{principal:str}/history", opt={"act": ("access.read", "access.own")})
async def history(place: Here, principal: Named, tool: Asks = "", form: Asks = "") -> Response[Any]:
    """Each tool that somebody could use, as bars over time and as a table."""
    chosen = parse_form(form)
    told = await past.history.fn(place, principal, tool)
    if chosen:
        of = table_file(TimelineLine, "history", told.principal, tool, moment_word(told.at))
        return await as_file(place, map(_line, told.intervals), chosen, of)
    rows = told.intervals[-MOST:]
    # Of years there are tens of thousands of intervals: beside the loop.
    timeline = await to_thread.run_sync(_timeline, told, limiter=place.gate.writing)
    return await page_beside(
        "history.html",
        place,
        "access",
        told=told,
        # As it was asked for: a name may be borne by somebody else now.
        asked=principal,
        here=await _is_here(place, principal),
        last=_last_moment(told),
        rows=rows,
        timeline=timeline,
        tool=tool,
        left_out=len(told.intervals) - len(rows),
    )


@get("/diff", opt={"act": "access.read"})
async def diff(place: Here, earlier: Asks = "", later: Asks = "", form: Asks = "") -> Response[Any]:
    """Who gained and who lost what between two moments."""
    chosen = parse_form(form)
    asked = {"earlier": earlier, "later": later}
    try:
        told = await past.diff.fn(place, earlier, later)
    except (Invalid, NotFound) as fault:
        if chosen:
            raise
        problem = problems.problem(fault)
        shown = page("diff.html", place, "diff", problem=problem, asked=asked)
        shown.status_code = problem.status
        return shown
    if chosen:
        began = moment_word(told.earlier) if earlier else "beginning"
        words = (began, "to", moment_word(told.later))
        of = table_file(DifferentAccess, "differences", *words)
        return await as_file(place, told.differences, chosen, of)
    rows, left_out = told.differences[:MOST], max(0, len(told.differences) - MOST)
    shows = {"told": told, "rows": rows, "left_out": left_out, "asked": asked, "problem": None}
    return page("diff.html", place, "diff", **shows)


async def _is_here(place: WorkspaceContext, text: str) -> bool:
    """Say whether somebody is let in now, so that there is something to see of them."""
    try:
        (await moment_of(place, "")).principal_or_self(text)
    except (NotFound, Forbidden):
        return False
    return True


def _last_moment(told: PrincipalHistory) -> str:
    """A moment in which somebody who can use nothing any more could use something last."""
    ended = [each for each in told.intervals if each.ended is not None]
    if not ended:
        return ""
    last = max(ended, key=lambda each: parse_rfc3339(each.ended.at) if each.ended else 0)
    began, end = parse_rfc3339(last.began.at), parse_rfc3339(last.ended.at if last.ended else "")
    return rfc3339(Instant(max(began, end - 1_000_000)))


async def ends_after(
    place: WorkspaceContext, ident: str, at: Instant
) -> dict[str, HistoryEdgeShape | None]:
    """How each tool that somebody could use at a moment ended for them; None while it has not."""
    told = await past.history.fn(place, ident)

    def found() -> dict[str, HistoryEdgeShape | None]:
        return {
            each.tool: each.ended
            for each in told.intervals
            if parse_rfc3339(each.began.at) <= at
            and (each.ended is None or at < parse_rfc3339(each.ended.at))
        }

    return await to_thread.run_sync(found, limiter=place.gate.writing)


def _timeline(told: PrincipalHistory) -> Any:
    """The picture of all intervals, of which it draws the newest."""
    spans = [
        TimelineSpan(
            row=each.tool,
            began=each.began.at,
            ended="" if each.ended is None else each.ended.at,
        )
        for each in told.intervals
    ]
    return picture(access_timeline(spans, told.at, told.principal))


def _line(each: AccessIntervalShape) -> TimelineLine:
    return TimelineLine(
        tool=each.tool,
        rule=each.rule,
        began_at=each.began.at,
        began_by=f"{each.began.kind} {each.began.by}".strip(),
        ended_at="" if each.ended is None else each.ended.at,
        ended_by="" if each.ended is None else f"{each.ended.kind} {each.ended.by}".strip(),
    )


ROUTES = (history, diff)
