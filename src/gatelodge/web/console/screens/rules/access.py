"""Who can use what, now or at a past moment: a heat map, and one principal's tools."""

from collections.abc import Iterator
from typing import Any, Final

from anyio import to_thread
from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from gatelodge.core.access.matrix import matrix
from gatelodge.core.access.reach import AccessReach, AllowedTools
from gatelodge.core.errors import Forbidden, Invalid, LimitReached, NotFound
from gatelodge.core.ids import PrincipalId, ServerId
from gatelodge.core.instant import rfc3339
from gatelodge.core.policy.rules import Grant
from gatelodge.core.records.origin import calls_log
from gatelodge.core.view_entry import PrincipalEntry
from gatelodge.web import problems
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.operators import operator_name
from gatelodge.web.api.pages import PageRequest
from gatelodge.web.api.pages import page as page_of
from gatelodge.web.api.parameters import Asks, Here, Named, from_query
from gatelodge.web.api.record.audit import RecordsLook, written_down
from gatelodge.web.api.rules.asked import AccessMoment, decision_fields, moment_of
from gatelodge.web.api.rules.unused import MOST_DAYS, recent_use, servers_used
from gatelodge.web.console.rendering import page, page_beside
from gatelodge.web.console.screens.rules.days import LogDays, days_of_log
from gatelodge.web.console.screens.rules.past import ends_after
from gatelodge.web.console.tables import Form, as_file, moment_word, parse_form, table_file

ROWS = 200
"""Principals on one page at most: what is beyond is paged or searched."""
CELLS: Final = 10_000
"""Cells on one page: of many servers fewer principals are shown at once."""
_SAID: Final = {
    "deny: no_grant": "no grant reaches it",
    "deny: guardrail": "a guardrail forbids it",
    "deny: tool_unknown": "there is no such tool",
    "deny: tool_changed": "it waits for its approval: it is new, or it changed",
    "deny: server_disabled": "its server is disabled",
    "deny: policy_error": "a rule could not be judged, and what cannot be judged is denied",
}
"""Why a tool is denied, in words, where no rule's author says why."""
_READ_IN_PART: Final = "the log of calls goes further back than was read so far"


class HeatCell(Struct, frozen=True, kw_only=True):
    """How many of a server's tools a principal may use; `reach` is none, some or all.

    `idle`: they may, and did not lately.
    """

    server: str
    allowed: int
    total: int
    reach: str
    idle: bool = False


class HeatRow(Struct, frozen=True, kw_only=True):
    """One principal with each server."""

    principal: str
    kind: str
    role: str
    cells: tuple[HeatCell, ...]


class AccessLine(Struct, frozen=True, kw_only=True):
    """One principal, one server: a row of the table as a file."""

    principal: str
    server: str
    allowed: int
    tools: int
    unused: bool


class ToolLine(Struct, frozen=True, kw_only=True):
    """One tool and what is decided about it."""

    tool: str
    decision: str
    rule: str
    reason: str
    conditional: bool


class HeatAsked(Struct, frozen=True, kw_only=True):
    """What the heat map is asked to show: of whom, when, and whether it marks what is unused."""

    q: Asks = ""
    at: Asks = ""
    day: Asks = ""
    unused: Asks = ""
    cursor: Asks = ""
    form: Asks = ""


class GrantReason(Struct, frozen=True, kw_only=True):
    """A grant as the reason of what is allowed; `ends` is empty when only a revocation ends it.

    `kind` is of whom it is for: of one, a group, or everyone.
    """

    to: str
    kind: str
    since: str
    by: str
    ends: str
    there: bool
    """True while the grant is there today."""


@get("/access", opt={"act": "access.read"}, dependencies={"asked": from_query(HeatAsked)})
async def heat_map(place: Here, asked: NamedDependency[HeatAsked]) -> Response[Any]:
    """Members and agents by servers; a number says how many tools are allowed."""
    chosen = parse_form(asked.form)
    days = await days_of_log(place)
    try:
        return await _heat_page(place, asked, chosen, days)
    except (Invalid, NotFound) as fault:
        if chosen:
            raise
        # What was typed stays in its field, above what is wrong with it.
        told = problems.problem(fault)
        fields = {"asked": asked, "at": asked.at, "days": days}
        shown = page("access.html", place, "access", **fields, problem=told)
        shown.status_code = told.status
        return shown


async def _heat_page(
    place: WorkspaceContext, asked: HeatAsked, chosen: Form | None, days: LogDays
) -> Response[Any]:
    at = asked.at or days.moment(asked.day)
    then = await moment_of(place, at)
    names = then.names()
    people = _found_principals(then, names, asked.q)
    size = max(1, min(ROWS, CELLS // max(1, len(then.here.servers))))
    part = page_of(people, lambda who: who.id, lambda who: who, PageRequest(size, asked.cursor))
    shown = people if chosen else list(part.items)
    used = await _used_lately(place, asked.unused, [str(who.id) for who in shown])
    rows = await _heat_rows(then, names, shown, used)
    unknown = bool(asked.unused) and used is None
    if chosen and unknown:
        raise LimitReached(_READ_IN_PART, remedy="Ask again: it reads on.", retry_after=1.0)
    if chosen:
        of = table_file(AccessLine, "access", asked.q, moment_word(rfc3339(then.at)))
        return await as_file(place, _access_lines(rows), chosen, of)
    return await page_beside(
        "access.html",
        place,
        "access",
        problem=None,
        rows=rows,
        unknown=unknown,
        servers=[server.alias for server in then.here.servers.values()],
        people=len(people),
        asked=asked,
        at=at,
        days=days,
        day=days.day_of(then.at),
        moment=rfc3339(then.at),
        gov=then.view.gov,
        past=then.past,
        next=part.next,
    )


@get("/access/{principal:str}", opt={"act": ("access.read", "access.own")})
async def tools_of(
    place: Here,
    principal: Named,
    at: Asks = "",
    server: Asks = "",
    only: Asks = "",
    form: Asks = "",
) -> Response[Any]:
    """Each tool that there is for one principal, with the rule that decides; allowed ones first.

    Of one server, or of what is allowed, only where that is asked.
    """
    chosen = parse_form(form)
    then = await moment_of(place, at)
    who = then.principal_or_self(principal)
    full = place.caller.may("access.read")
    grants = {str(row.id): row for row in then.view.state.grants if row.workspace == place.id}

    def decided() -> list[ToolLine]:
        found = [line for line, told in _tool_lines(then, who, server) if full or told]
        if only:
            found = [line for line in found if line.decision == "allow"]
        return sorted(found, key=lambda line: line.decision != "allow")

    # As many decisions as the house has tools: beside the loop.
    shown = await to_thread.run_sync(decided, limiter=place.gate.writing)
    name, moment = then.names().get(who.id, who.id), rfc3339(then.at)
    if chosen:
        of = table_file(ToolLine, "tools", name, server, moment_word(moment))
        return await as_file(place, shown, chosen, of)
    return await page_beside(
        "tools.html",
        place,
        "access",
        who=name,
        ident=who.id,
        kind=who.kind,
        server=server,
        only=only,
        said=_SAID,
        lines=shown,
        why=_reasons(then, shown, grants) if full else {},
        ended=await ends_after(place, who.id, then.at) if then.past and full else {},
        at=at,
        moment=moment,
        gov=then.view.gov,
        past=then.past,
    )


def _access_lines(rows: list[HeatRow]) -> Iterator[AccessLine]:
    for row in rows:
        for each in row.cells:
            yield AccessLine(
                principal=row.principal,
                server=each.server,
                allowed=each.allowed,
                tools=each.total,
                unused=each.idle,
            )


def _found_principals(then: AccessMoment, names: dict[str, str], q: str) -> list[PrincipalEntry]:
    wanted = q.strip().casefold()
    found = [
        each
        for each in then.view.principals.values()
        if each.workspace == then.place.id and wanted in names.get(each.id, each.id).casefold()
    ]
    return sorted(found, key=lambda each: names.get(each.id, each.id))


async def _used_lately(
    place: WorkspaceContext, days: str, members: list[str]
) -> dict[tuple[str, str], str] | None:
    """Who used which server in the last days; None when nobody asked, or it is not known.

    Raises Forbidden, Invalid.
    """
    if not days:
        return None
    if not days.isdecimal() or len(days) > 4 or not 0 < int(days) <= MOST_DAYS:
        raise Invalid(f"unused: {days!r} is no number of days", remedy="Say 90.")
    if not place.caller.may("audit.read"):
        raise Forbidden("this role may not see who called")
    # It tells who called, so it is written down before it is read.
    await written_down(place, RecordsLook(calls_log(place.id), "unused"), len(members))
    found = await recent_use(place, int(days))
    # Of a log that was read in part nothing can be called unused.
    return await servers_used(place, found, members) if found.whole else None


async def _heat_rows(
    then: AccessMoment,
    names: dict[str, str],
    people: list[PrincipalEntry],
    used: dict[tuple[str, str], str] | None,
) -> list[HeatRow]:
    reach = AccessReach(then.view, then.here, then.at)
    # Of a large workspace this is a million decisions: beside the loop nobody waits for it.
    gate = then.place.gate
    return await to_thread.run_sync(
        lambda: [_heat_row(then, names, who, reach.of(who), used) for who in people],
        limiter=gate.writing,
    )


def _heat_row(
    then: AccessMoment,
    names: dict[str, str],
    who: PrincipalEntry,
    allowed: AllowedTools,
    used: dict[tuple[str, str], str] | None,
) -> HeatRow:
    cells = []
    for server in then.here.servers.values():
        count = len(allowed.get(server.id, ()))
        # An agent's calls stand under its owner's key: of an agent alone the log says nothing here.
        idle = used is not None and count > 0 and who.kind == "member"
        cells.append(
            HeatCell(
                server=server.alias,
                allowed=count,
                total=len(server.tools),
                reach=_reach(count, len(server.tools)),
                idle=idle and (str(who.id), str(server.id)) not in (used or {}),
            )
        )
    return HeatRow(
        principal=names.get(who.id, who.id), kind=who.kind, role=who.role, cells=tuple(cells)
    )


def _reach(allowed: int, total: int) -> str:
    if not allowed:
        return "none"
    return "all" if allowed == total else "some"


def _reasons(
    then: AccessMoment, lines: list[ToolLine], grants: dict[str, Grant]
) -> dict[str, GrantReason]:
    """The grant behind each rule that is one: for whom, since when, by whom, until when."""
    names, found = then.names(), {}
    today = {str(row.id) for row in then.present.grants}
    for rule in {line.rule for line in lines} & grants.keys():
        row = grants[rule]
        found[rule] = GrantReason(
            to=names.get(row.grantee, row.grantee),
            kind=row.grantee_kind,
            there=rule in today,
            since=rfc3339(row.created_at),
            by=names.get(row.created_by, operator_name(row.created_by)),
            ends="" if row.expires_at is None else rfc3339(row.expires_at),
        )
    return found


def _tool_lines(
    then: AccessMoment, who: PrincipalEntry, server: str
) -> Iterator[tuple[ToolLine, bool]]:
    """Each tool, and whether one who may see their own access only is told of it."""
    aliases = {str(server.id): server.alias for server in then.here.servers.values()}
    on = {ServerId(each) for each, alias in aliases.items() if server in ("", alias)}
    told = matrix(then.view, then.here, then.at, principals={PrincipalId(who.id)}, servers=on)
    for cell in told:
        word, rule, reason, _ = decision_fields(cell.decision)
        line = ToolLine(
            tool=f"{aliases[cell.server]}/{cell.tool}",
            decision=word,
            rule=rule,
            reason=reason,
            conditional=cell.conditional,
        )
        yield line, not getattr(cell.decision, "hidden", False)


ROUTES = (heat_map, tools_of)
