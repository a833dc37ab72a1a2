"""How access came and went: one principal's history, and what differs between two moments."""

from anyio import to_thread
from litestar import get
from msgspec import Struct

from gatelodge.core.access.difference import differences
from gatelodge.core.access.history import HistoryEdge
from gatelodge.core.errors import Invalid, NotFound
from gatelodge.core.ids import Instant, PrincipalId
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.core.people import Agent, Member
from gatelodge.core.view import PolicyView
from gatelodge.flows.nouns import lookup
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.operators import operator_name
from gatelodge.web.api.parameters import Asks, Here
from gatelodge.web.api.record.filters import moment
from gatelodge.web.api.rules.asked import moment_of, only_their_own


class HistoryEdgeShape(Struct, frozen=True, kw_only=True):
    """When access began or ended, and by what: a change of the gov log, `expiry` or `time`.

    `expiry` is that of a grant. `time` is a guardrail that depends on it: at this moment it was
    found to say something else.

    `by` and `why` are told to whoever may see everybody's access.
    """

    at: str
    kind: str
    leaf: int
    by: str = ""
    why: str = ""


class AccessIntervalShape(Struct, frozen=True, kw_only=True):
    """A tool that could be used for a while; without `ended` it still can be."""

    tool: str
    rule: str
    began: HistoryEdgeShape
    ended: HistoryEdgeShape | None = None


class PrincipalHistory(Struct, frozen=True, kw_only=True):
    """Everything that a principal could ever use, by the log, oldest first."""

    principal: str
    at: str
    intervals: tuple[AccessIntervalShape, ...]


class DifferentAccess(Struct, frozen=True, kw_only=True):
    """One principal and one tool: `change` is gained, lost, or rule (allowed by another one).

    `id` is the principal's: a name may be borne again.
    """

    id: str
    principal: str
    tool: str
    change: str
    before: str
    after: str


class AccessDiff(Struct, frozen=True, kw_only=True):
    """What differs between two moments."""

    earlier: str
    later: str
    differences: tuple[DifferentAccess, ...]


@get("/access/history", opt={"act": ("access.read", "access.own")})
async def history(place: Here, principal: Asks, tool: Asks = "") -> PrincipalHistory:
    """Tell what somebody could use, from when until when; also of those who left.

    `tool` is SERVER/TOOL, or a SERVER with all its tools.
    """
    ident, name = await _asked_about(place, principal)
    now = place.gate.clock.now()
    full = place.caller.may("access.read")
    names = await place.gate.read(lambda tx: lookup.names(tx, place.id, Member, Agent))

    def edge(each: HistoryEdge) -> HistoryEdgeShape:
        by = names.get(each.by, operator_name(each.by)) if full and each.by else ""
        why = each.why if full else ""
        return HistoryEdgeShape(
            at=rfc3339(each.at), kind=each.kind, leaf=each.index, by=by, why=why
        )

    with place.gate.questions.by(place.caller.by):
        intervals = await place.gate.past.history(ident, now)

    def shapes() -> tuple[AccessIntervalShape, ...]:
        return tuple(
            AccessIntervalShape(
                tool=f"{each.alias}/{each.tool}",
                rule=each.rule,
                began=edge(each.began),
                ended=None if each.ended is None else edge(each.ended),
            )
            for each in intervals
            if tool in {"", each.alias, f"{each.alias}/{each.tool}"}
        )

    # Years of a person with many tools are tens of thousands of these.
    found = await to_thread.run_sync(shapes, limiter=place.gate.writing)
    return PrincipalHistory(principal=name, at=rfc3339(now), intervals=found)


@get("/access/diff", opt={"act": "access.read"})
async def diff(place: Here, earlier: Asks, later: Asks = "") -> AccessDiff:
    """Tell who gained and who lost which tools between two moments.

    An empty `earlier` is before the log began, when nobody could use anything; an empty `later` is
    now.
    """
    one = await _view_then(place, earlier)
    other = await moment_of(place, later)
    if one[1] > other.at:
        raise Invalid(
            "earlier: it is later than the other moment", remedy="Name the earlier one first."
        )
    names = other.names()

    def compared() -> tuple[DifferentAccess, ...]:
        found = (
            DifferentAccess(
                id=each.principal,
                principal=names.get(each.principal, each.principal),
                tool=f"{each.server}/{each.tool}",
                change="rule" if each.before and each.after else "gained" if each.after else "lost",
                before=each.before,
                after=each.after,
            )
            for each in differences(one, (other.view, other.at), place.id)
        )
        # People look for names, and ids stand in no order that they know.
        return tuple(sorted(found, key=lambda each: (each.principal, each.tool)))

    # Two matrices of a large workspace are two million decisions.
    found = await to_thread.run_sync(compared, limiter=place.gate.writing)
    return AccessDiff(earlier=rfc3339(one[1]), later=rfc3339(other.at), differences=found)


async def _view_then(place: WorkspaceContext, text: str) -> tuple[PolicyView, Instant]:
    """The view of a moment; before the log or the workspace began it admits nobody."""
    now = place.gate.clock.now()
    at = parse_rfc3339(moment(text, now)) if text else Instant(0)
    try:
        with place.gate.questions.by(place.caller.by):
            return await place.gate.past.view(at, now), at
    except NotFound:
        return PolicyView.empty(), at


async def _asked_about(place: WorkspaceContext, text: str) -> tuple[PrincipalId, str]:
    """Whom the question is about: anybody who ever came in. Raises NotFound, Forbidden."""

    def find(tx: StoreTx) -> tuple[str, str, str]:
        if text == "me":
            row: Member | Agent = lookup.member(tx, place.id, place.caller.by)
        else:
            row = lookup.principal(tx, place.id, text)
        owner = row.owner if isinstance(row, Agent) else row.id
        return row.id, owner, row.email if isinstance(row, Member) else row.name

    try:
        ident, owner, name = await place.gate.read(find)
    except NotFound:
        if place.caller.may("access.read"):
            raise
        raise only_their_own() from None
    if not place.caller.may("access.read") and place.caller.by not in {ident, owner}:
        raise only_their_own()
    return PrincipalId(ident), name


ROUTES = (history, diff)
