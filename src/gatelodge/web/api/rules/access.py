"""Who can use what and why, now or at a past moment: by the view that decides calls."""

from collections.abc import Iterator

from anyio import to_thread
from litestar import Response, get
from msgspec import Struct

from gatelodge.core.access.explain import AccessExplanation, explain
from gatelodge.core.access.matrix import Kind, MatrixCell, matrix
from gatelodge.core.instant import rfc3339
from gatelodge.core.policy.decision import Allow, Deny
from gatelodge.core.view_entry import Entry, ToolEntry
from gatelodge.web.api.parameters import Asks, Here
from gatelodge.web.api.rules.asked import (
    decision_fields,
    moment_of,
    no_server,
    no_tool,
    parse_kind,
)
from gatelodge.web.api.rules.written import in_parts


class GrantLine(Struct, frozen=True, kw_only=True):
    """A grant that concerns what was asked about; `permits` = alone it would allow it."""

    id: str
    to: str
    level: str
    permits: bool
    why_not: str = ""


class GuardrailLine(Struct, frozen=True, kw_only=True):
    """A guardrail that can stop such a request; `now` says what it does to this one."""

    name: str
    mode: str
    reason: str
    now: str


class ExplainedDecision(Struct, frozen=True, kw_only=True):
    """The decision at `gov`, the rule that says so, and everything that bears on it.

    `kind` says what it is about; `tool` is SERVER/TOOL, or the server alone when it is about the
    server's prompts or resources.
    """

    principal: str
    tool: str
    allowed: bool
    decision: str
    rule: str = ""
    reason: str = ""
    advice: str = ""
    conditional: bool
    standing: str
    gov: int
    at: str
    kind: str = "tools"
    remedy: str = ""
    grants: tuple[GrantLine, ...] = ()
    guardrails: tuple[GuardrailLine, ...] = ()


class AccessCell(Struct, frozen=True, kw_only=True):
    """One principal and one tool; `decision` is allow, ask or the reason of the deny.

    In a matrix of prompts or of resources `tool` is the server alone.
    """

    principal: str
    tool: str
    allowed: bool
    decision: str
    rule: str
    conditional: bool


class AccessMatrix(Struct, frozen=True, kw_only=True):
    """Each principal with each tool of the approved servers, as of `gov`.

    Or with the prompts, or the resources, of each server; `kind` says which.
    """

    workspace: str
    gov: int
    at: str
    kind: str = "tools"
    cells: tuple[AccessCell, ...]


@get("/access/explain", opt={"act": ("access.read", "access.own")})
async def explain_route(
    place: Here,
    principal: Asks,
    tool: Asks = "",
    server: Asks = "",
    kind: Asks = "tools",
    at: Asks = "",
) -> ExplainedDecision:
    """Say whether somebody may call a tool, now or `at` a past moment, and which rule says so.

    With `kind=prompts` or `kind=resources`: whether they may read those of `server`.
    """
    asked = parse_kind(kind)
    then = await moment_of(place, at)
    # Grants and guardrails tell what others may do: whoever may see their own access only is told
    # the decision alone.
    full = place.caller.may("access.read")
    who = then.principal_or_self(principal)
    wanted = then.tool(tool) if asked == "tools" else then.server(server).reading(asked)
    found = explain(then.view, who, wanted, then.at)
    if not full and isinstance(found.decision, Deny) and found.decision.hidden:
        # Whoever may see their own access only is told of a hidden tool what they are told of none.
        raise no_tool(tool) if asked == "tools" else no_server(server)
    names = then.names()
    word, rule, reason, advice = decision_fields(found.decision)
    return ExplainedDecision(
        principal=names[who.id],
        tool=f"{wanted.alias}/{wanted.name}" if isinstance(wanted, ToolEntry) else wanted.alias,
        allowed=isinstance(found.decision, Allow),
        decision=word,
        rule=rule,
        reason=reason,
        advice=advice,
        conditional=found.conditional,
        standing=found.standing,
        gov=then.view.gov,
        at=rfc3339(then.at),
        kind=asked,
        remedy=_remedy_for_denial(found, wanted) if full and not then.past else "",
        grants=tuple(_grant_lines(found, names, asked)) if full else (),
        guardrails=tuple(_guardrail_lines(found)) if full else (),
    )


@get("/access/matrix", opt={"act": "access.read"})
async def matrix_route(
    place: Here,
    kind: Asks = "tools",
    principal: Asks = "",
    server: Asks = "",
    tool: Asks = "",
    at: Asks = "",
) -> AccessMatrix:
    """Show each principal with each tool of the approved servers, now or `at` a past moment.

    With `kind=prompts` or `kind=resources` those of each server stand in the place of its tools.
    Of one principal, server or tool (SERVER/TOOL) only, where it is named.
    """
    asked = parse_kind(kind)
    then = await moment_of(place, at)
    who = {then.principal(principal).id} if principal else None
    one = then.tool(tool) if tool else None
    if one is not None:
        server = one.alias
    on = {then.server(server).id} if server else None
    names = then.names()
    aliases = {str(server.id): server.alias for server in then.here.servers.values()}
    cells = (
        _shape_of_cell(each, names, aliases)
        for each in matrix(then.view, then.here, then.at, principals=who, servers=on, kind=asked)
        if one is None or each.tool == one.name
    )
    whole = AccessMatrix(
        workspace=then.here.slug, gov=then.view.gov, at=rfc3339(then.at), kind=asked, cells=()
    )
    # `cells` is a generator: the decisions, a million in a large workspace, are made in the thread
    # too, for one such question at a time.
    written = await to_thread.run_sync(in_parts, whole, "cells", cells, limiter=place.gate.writing)
    return Response(written, media_type="application/json")  # type: ignore[return-value]


def _remedy_for_denial(found: AccessExplanation, wanted: Entry) -> str:
    """What would let the principal in, where it is grants and reviews that are missing."""
    if not isinstance(found.decision, Deny) or found.decision.reason != "no_grant":
        return ""
    short = any(each.mine and each.lasts and not each.reaches for each in found.grants)
    if short and isinstance(wanted, ToolEntry):
        review = f"gatelodge tool review {wanted.alias} {wanted.name}"
        return f"Say what the tool does ({review}), or grant it at level all."
    return f"Grant it: gatelodge grant add --server {wanted.alias} ..."


def _grant_lines(
    found: AccessExplanation, names: dict[str, str], kind: Kind
) -> Iterator[GrantLine]:
    for each in found.grants:
        short = f"level {each.grant.level} does not reach this tool"
        if kind != "tools":
            short = "for one tool alone"
        why_not = [
            text
            for holds, text in (
                (each.mine, "for somebody else"),
                (each.reaches, short),
                (each.lasts, "expired"),
            )
            if not holds
        ]
        yield GrantLine(
            id=each.grant.id,
            to=names.get(each.grant.grantee, each.grant.grantee),
            level=each.grant.level,
            permits=each.permits,
            why_not="; ".join(why_not),
        )


def _guardrail_lines(found: AccessExplanation) -> Iterator[GuardrailLine]:
    for each in found.guardrails:
        row, reason = each.guard.guardrail, each.guard.telling.text
        yield GuardrailLine(name=row.name, mode=row.mode, reason=reason, now=each.now)


def _shape_of_cell(cell: MatrixCell, names: dict[str, str], aliases: dict[str, str]) -> AccessCell:
    word, rule, _, _ = decision_fields(cell.decision)
    alias = aliases.get(cell.server, cell.server)
    return AccessCell(
        principal=names.get(cell.principal, cell.principal),
        tool=f"{alias}/{cell.tool}" if cell.tool else alias,
        allowed=isinstance(cell.decision, Allow),
        decision=word,
        rule=rule,
        conditional=cell.conditional,
    )


ROUTES = (explain_route, matrix_route)
