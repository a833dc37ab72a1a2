"""A recorded call decided again, from the gov log alone."""

from litestar import get
from msgspec import Struct

from gatelodge.core.access.replay import RecordedDecision
from gatelodge.core.errors import NotFound
from gatelodge.core.ids import PrincipalId
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.policy.decision import Allow, Decision, Deny
from gatelodge.flows.audit.reading import FoundRecords
from gatelodge.flows.past.past_access import gov_log_beside
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Here, Named, Shard
from gatelodge.web.api.record.audit import RecordsLook, written_down
from gatelodge.web.api.record.filters import log_of
from gatelodge.web.api.record.responses import names_of, record_shape


class ReplayedCall(Struct, frozen=True, kw_only=True):
    """What a call's record says was decided, and what the log of who may do what says of it.

    `verdict` is same, differs (`differences` say in what) or unknown: of a request that named
    nothing, or that its record does not describe, no decision can be made again. `policy` is the
    digest of grants and guardrails by which it was decided, at the size `gov` of the log.
    """

    call: str
    at: str
    who: str
    server: str
    tool: str
    gov: int
    policy: str
    recorded: str
    replayed: str
    verdict: str
    differences: tuple[str, ...] = ()


@get("/audit/calls/{call:str}/replay", opt={"act": "audit.read"})
async def replay_call(place: Here, call: Named, shard: Shard = 0) -> ReplayedCall:
    """Decide a recorded call again, by the leaves of the gov log that its record cites."""
    gate = place.gate
    await gate.sequencer.advance()
    found = await gate.search.show(log_of(place, shard), call)
    await written_down(place, RecordsLook(found.log, "call", (call,)), 1)
    (named,) = await gate.search.naming.with_names((found,))
    recorded = recorded_decision(place, named)
    gov = found.leaf.get("gov")
    if not isinstance(gov, int):
        raise NotFound(f"{call} cites no size of the gov log", remedy="Ask about a call.")
    with gate.questions.by(place.caller.by):
        again = await gate.past.replay(gov_log_beside(found.log), gov, recorded)
    line = record_shape(named, await gate.read(lambda tx: names_of(tx, place)))
    return ReplayedCall(
        call=call,
        at=line.at,
        who=line.agent or line.who,
        server=line.server,
        tool=line.tool,
        gov=gov,
        policy=again.policy,
        recorded=_words(recorded.reason, recorded.rule),
        replayed="" if again.verdict == "unknown" else _words_of(again.decision),
        verdict=again.verdict,
        differences=again.differences,
    )


def recorded_decision(place: WorkspaceContext, found: FoundRecords) -> RecordedDecision:
    """What a record says that was decided. Raises NotFound where nobody knows who called."""
    if found.who is None:
        raise NotFound(
            f"who called is not known any more ({found.gone or 'no opening'})",
            remedy="Without whoever called, nothing can be decided again.",
        )
    leaf = {name: value if isinstance(value, str) else "" for name, value in found.leaf.items()}
    return RecordedDecision(
        workspace=place.id,
        principal=PrincipalId(found.who.agent or found.who.member),
        method=leaf.get("method", ""),
        server=leaf.get("server", ""),
        tool=leaf.get("tool", ""),
        tool_def=leaf.get("tool_def", ""),
        policy=leaf.get("policy", ""),
        reason=leaf.get("reason", ""),
        rule=leaf.get("rule", ""),
        at=parse_rfc3339(leaf["at"]),
    )


def _words_of(decision: Decision) -> str:
    match decision:
        case Allow(rule):
            return _words("", rule)
        case Deny():
            return _words(decision.reason, decision.rule)
    return "ask"


def _words(reason: str, rule: str) -> str:
    """As lists show a decision: `allow by grn_1`, `deny: guardrail by grd_2`."""
    said = f"deny: {reason}" if reason else "allow"
    return f"{said} by {rule}" if rule else said


ROUTES = (replay_call,)
