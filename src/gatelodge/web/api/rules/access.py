"""Who can use what, and why: read from the view that decides calls."""

from collections.abc import Iterator

from anyio import to_thread
from litestar import Response, get
from msgspec import Struct

from gatelodge.core.access.explain import AccessExplanation, explain
from gatelodge.core.access.matrix import Kind, MatrixCell, matrix
from gatelodge.core.errors import Forbidden, Invalid, NotFound
from gatelodge.core.ids import PrincipalId
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import folded
from gatelodge.core.policy.decision import Allow, Ask, Decision, Deny
from gatelodge.core.view import PolicyView
from gatelodge.core.view_entry import Entry, PrincipalEntry, ServerView, ToolEntry, WorkspaceView
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Asks, Here
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
    place: Here, principal: Asks, tool: Asks = "", server: Asks = "", kind: Asks = "tools"
) -> ExplainedDecision:
    """Say whether somebody may call a tool now, and which rule says so.

    With `kind=prompts` or `kind=resources`: whether they may read those of `server`.
    """
    asked = _parse_kind(kind)
    view = await place.gate.present()
    here = _workspace_in_view(view, place)
    # Grants and guardrails tell what others may do: whoever may see their own access only is told
    # the decision alone.
    full = place.caller.may("access.read")
    who = _asked_about(view, place, principal)
    wanted = (
        _find_tool(here, tool) if asked == "tools" else _find_server(here, server).reading(asked)
    )
    at = place.gate.clock.now()
    found = explain(view, who, wanted, at)
    if not full and isinstance(found.decision, Deny) and found.decision.hidden:
        # Whoever may see their own access only is told of a hidden tool what they are told of none.
        raise _no_tool(tool) if asked == "tools" else _no_server(server)
    names = _names_by_id(view, place)
    word, rule, reason, advice = _decision_fields(found.decision)
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
        gov=view.gov,
        at=rfc3339(at),
        kind=asked,
        remedy=_remedy_for_denial(found, wanted) if full else "",
        grants=tuple(_grant_lines(found, names, asked)) if full else (),
        guardrails=tuple(_guardrail_lines(found)) if full else (),
    )


@get("/access/matrix", opt={"act": "access.read"})
async def matrix_route(
    place: Here, kind: Asks = "tools", principal: Asks = "", server: Asks = "", tool: Asks = ""
) -> AccessMatrix:
    """Show each principal with each tool of the approved servers, now.

    With `kind=prompts` or `kind=resources` those of each server stand in the place of its tools.
    Of one principal, server or tool (SERVER/TOOL) only, where it is named.
    """
    asked = _parse_kind(kind)
    view = await place.gate.present()
    here = _workspace_in_view(view, place)
    who = {_find_principal(view, place, principal).id} if principal else None
    one = _find_tool(here, tool) if tool else None
    if one is not None:
        server = one.alias
    on = {_find_server(here, server).id} if server else None
    at = place.gate.clock.now()
    names = _names_by_id(view, place)
    aliases = {str(server.id): server.alias for server in here.servers.values()}
    cells = (
        _shape_of_cell(each, names, aliases)
        for each in matrix(view, here, at, principals=who, servers=on, kind=asked)
        if one is None or each.tool == one.name
    )
    whole = AccessMatrix(workspace=here.slug, gov=view.gov, at=rfc3339(at), kind=asked, cells=())
    # `cells` is a generator: the decisions, a million in a large workspace, are made in the thread
    # too, for one such question at a time.
    written = await to_thread.run_sync(in_parts, whole, "cells", cells, limiter=place.gate.writing)
    return Response(written, media_type="application/json")  # type: ignore[return-value]


def _parse_kind(text: str) -> Kind:
    match text:
        case "tools" | "prompts" | "resources":
            return text
    raise Invalid(
        f"the kind {text!r} is not one of tools, prompts, resources",
        remedy="Leave it out to ask about tools.",
    )


def _workspace_in_view(view: PolicyView, place: WorkspaceContext) -> WorkspaceView:
    here = view.workspace(place.id)
    if here is None:
        raise NotFound("this node's view does not know the workspace yet", retry_after=1.0)
    return here


def _names_by_id(view: PolicyView, place: WorkspaceContext) -> dict[str, str]:
    """What people call each principal and group of the workspace, by id."""
    state = view.state
    members = {str(row.id): row.email for row in state.members if row.workspace == place.id}
    agents = {str(row.id): row.name for row in state.agents if row.workspace == place.id}
    groups = {str(row.id): row.name for row in state.groups if row.workspace == place.id}
    return members | agents | groups | {"": "everyone"}


def _asked_about(view: PolicyView, place: WorkspaceContext, text: str) -> PrincipalEntry:
    """Whom the question is about. Raises Forbidden for anybody but oneself and one's agents.

    Somebody who may ask about themselves only learns nothing of whether others are here.
    """
    caller = place.caller
    if text == "me":
        text = caller.by
    if caller.may("access.read"):
        return _find_principal(view, place, text)
    try:
        who = _find_principal(view, place, text)
    except NotFound:
        who = None
    # Nobody and somebody else are told alike, or the answer would tell who is a member here.
    if who is None or caller.by not in {who.id, who.owner.id if who.owner else ""}:
        raise Forbidden(
            "this role may look at its own access only",
            remedy="Ask about yourself: `gatelodge access explain me SERVER/TOOL`.",
        )
    return who


def _find_principal(view: PolicyView, place: WorkspaceContext, text: str) -> PrincipalEntry:
    """An active principal by id, e-mail or name."""
    found = view.principals.get(PrincipalId(text))
    # The view holds every workspace: an id of another one is told as one that is not there.
    if found is not None and found.workspace == place.id:
        return found
    state, wanted = view.state, folded(text)
    rows: list[str] = [each.id for each in state.members if each.email == wanted]
    rows += [each.id for each in state.agents if folded(each.name) == wanted]
    for ident in rows:
        entry = view.principals.get(PrincipalId(ident))
        if entry is not None and entry.workspace == place.id:
            return entry
    raise NotFound(
        f"nobody active is called {text!r} here",
        remedy="See `gatelodge member list` and `gatelodge agent list`.",
    )


def _find_tool(here: WorkspaceView, text: str) -> ToolEntry:
    alias, slash, name = text.partition("/")
    server = here.servers.get(alias)
    found = server.tools.get(name) if server and slash else here.tools.get(text)
    if found is None:
        raise _no_tool(text)
    return found


def _no_tool(text: str) -> NotFound:
    return NotFound(
        f"no approved server has a tool {text!r}",
        remedy="Name it SERVER/TOOL; see `gatelodge tool list`.",
    )


def _find_server(here: WorkspaceView, text: str) -> ServerView:
    found = here.servers.get(text)
    if found is None:
        raise _no_server(text)
    return found


def _no_server(text: str) -> NotFound:
    return NotFound(f"no approved server is called {text!r}", remedy="See `gatelodge server list`.")


def _decision_fields(decision: Decision) -> tuple[str, str, str, str]:
    match decision:
        case Allow(rule):
            return "allow", rule, "", ""
        case Ask(rule, _):
            return "ask", rule, "a person has to answer first", ""
        case Deny():
            return f"deny: {decision.reason}", decision.rule, decision.text, decision.advice


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
    word, rule, _, _ = _decision_fields(cell.decision)
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
