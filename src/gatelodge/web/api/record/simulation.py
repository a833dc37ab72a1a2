"""What a guardrail would have changed: recorded calls decided by it, before it is published.

It reads who called, so it leaves an `audit.read` leaf as every look at the records does. One
answer reads so many leaves and hands out a cursor; of one person one is made at a time.
"""

from collections.abc import Sequence
from typing import Annotated

import anyio
from anyio import to_thread
from litestar import post
from msgspec import Meta, Struct
from msgspec.structs import replace

from gatelodge.core.access.replay import SimulatedCalls
from gatelodge.core.errors import LimitReached, NotFound
from gatelodge.core.ids import GuardrailId, Instant
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Agent, Member
from gatelodge.core.policy.guardrails import validate
from gatelodge.core.policy.rules import Guardrail
from gatelodge.core.state import GovernanceState
from gatelodge.core.view import PolicyView, compile_view
from gatelodge.flows.admin import guardrails
from gatelodge.flows.audit import reading
from gatelodge.flows.audit.reading import FoundRecords, fields
from gatelodge.flows.nouns import lookup
from gatelodge.ports.journal import LeafAt
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.pages import log_place
from gatelodge.web.api.parameters import Here, JSONBody
from gatelodge.web.api.record.audit import RecordsLook, written_down
from gatelodge.web.api.record.replay import recorded_decision

MOST_LEAVES = 32_768
"""Leaves that one answer reads; what is older is asked for with the cursor."""
MOST_LINES = 500
"""Lines of who and what that one answer tells; all calls are counted."""
_DECIDED = frozenset(("call.intent", "call.denied"))
_DAY_US = 86_400 * 1_000_000
_DRAFT = GuardrailId("grd_draft")


class GuardrailTrial(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A guardrail that might be published, to be tried on calls of the last `days`.

    It stands in the place of the one that is called `name`, if there is one. Without a `text` that
    one would be retired.
    """

    name: str = ""
    text: str = ""
    days: Annotated[int, Meta(ge=1, le=366)] = 30
    cursor: str = ""


class SimulatedLine(Struct, frozen=True, kw_only=True):
    """Calls of one principal to one tool that would have been denied, or allowed."""

    principal: str
    tool: str
    change: str
    calls: int


class SimulatedPolicy(Struct, frozen=True, kw_only=True):
    """What a guardrail would have changed of the calls from `since` to `until`.

    `denied` were allowed and would not have been, `allowed` the other way round. `gone` are calls
    of principals or tools that are not here any more, `otherwise` those that the present rules
    decide otherwise already; of both nothing is said. `next` is the cursor of older calls.
    """

    since: str
    until: str
    calls: int
    denied: int
    allowed: int
    gone: int
    otherwise: int
    lines: tuple[SimulatedLine, ...]
    next: str = ""


class _ReadSpan(Struct, kw_only=True):
    """Which part of the log is read, newest leaf first, and which times were met in it."""

    log: str
    low: int
    high: int
    since: str
    first: str = ""
    last: str = ""


@post(
    "/guardrails/simulate",
    opt={"act": "audit.read", "noun": "guardrails", "operation": "simulate"},
    status_code=200,
)
async def simulate(place: Here, data: JSONBody[GuardrailTrial]) -> SimulatedPolicy:
    """Say what a guardrail would have changed of recorded calls; 400 when it is none."""
    gate, who = place.gate, place.caller.by
    if gate.simulations.of(who):
        raise LimitReached(
            "one simulation of yours is being made",
            remedy="Wait for its answer.",
            retry_after=1.0,
        )
    gate.simulations.take(who)
    try:
        return await _simulated(place, data)
    finally:
        gate.simulations.give(who)


async def _simulated(place: WorkspaceContext, data: GuardrailTrial) -> SimulatedPolicy:
    gate = place.gate
    present = await gate.present()
    state = await gate.read(lambda tx: _candidate(tx, place, present.state, data))
    longest = gate.settings.limits.name_length
    after: PolicyView = await to_thread.run_sync(
        compile_view, state, present, longest, limiter=gate.writing
    )
    tried = SimulatedCalls(present, after)
    # What was acknowledged may still wait in the journal.
    await gate.sequencer.advance()
    span = await _span(place, data)
    await _walk(place, span, tried)
    # Before the answer is handed out: it tells who called what.
    await written_down(place, RecordsLook(span.log, "simulation"), tried.calls)
    names = await gate.read(lambda tx: lookup.names(tx, place.id, Member, Agent))
    return _told(present, span, tried, names)


def _candidate(
    tx: StoreTx, place: WorkspaceContext, state: GovernanceState, data: GuardrailTrial
) -> GovernanceState:
    """The state with the guardrail in force. Raises Invalid, NotFound."""
    replaced = [
        row for row in guardrails.listed(tx, place.id) if data.name in (row.name, str(row.id))
    ]
    standing = {row.id for row in replaced if row.mode != "retired"}
    if not data.text.strip():
        if not standing:
            raise NotFound(
                f"no guardrail {data.name!r} holds in this workspace",
                remedy="Give a text, or the name of a guardrail that would be retired.",
            )
        return replace(state, guardrails=_without(state.guardrails, standing))
    bound = guardrails.checked(tx, place.id, data.text, validate, unmatched=True)
    draft = Guardrail(
        id=_DRAFT,
        workspace=place.id,
        name=data.name,
        text=bound.text,
        written=bound.written,
        digest="",
        created_by=place.caller.by,
        created_at=place.gate.clock.now(),
    )
    return replace(state, guardrails=(*_without(state.guardrails, standing), draft))


def _without(rows: Sequence[Guardrail], ended: set[GuardrailId]) -> tuple[Guardrail, ...]:
    return tuple(row for row in rows if row.id not in ended)


async def _span(place: WorkspaceContext, data: GuardrailTrial) -> _ReadSpan:
    gate, log = place.gate, f"calls:{place.id}"
    since = rfc3339(Instant(gate.clock.now() - data.days * _DAY_US))
    before = log_place(data.cursor)
    if any(head.log == log and head.size for head in await gate.ledger.heads()):
        low, high = await gate.search.reading.span(log, since, "", before)
        return _ReadSpan(log=log, low=low, high=high, since=since)
    # The log is made with its first record.
    return _ReadSpan(log=log, low=0, high=0, since=since)


async def _walk(place: WorkspaceContext, span: _ReadSpan, tried: SimulatedCalls) -> None:
    """Read the calls of the span, newest first, as far as one answer goes."""
    gate = place.gate
    origin = (await gate.search.naming.origins()).get(span.log, "")
    stop = max(span.low, span.high - MOST_LEAVES)
    while span.high > stop:
        start = max(stop, span.high - reading.STEP)
        # The turn is held for one step, so that others' questions go on in between.
        async with gate.turn:
            leaves = await gate.ledger.leaves(span.log, start, span.high)
            calls = [leaf for leaf in leaves if _is_decided_call(leaf, span)]
            opened = await gate.search.naming.open(calls, origin, frozenset())
        found = [
            FoundRecords(log=span.log, index=leaf.index, leaf=fields(leaf), who=seen.who)
            for leaf, seen in zip(calls, opened, strict=True)
        ]
        await to_thread.run_sync(_take, place, tried, found, limiter=gate.writing)
        span.high = start
        await anyio.sleep(reading.PAUSE_SECONDS)


def _is_decided_call(leaf: LeafAt, span: _ReadSpan) -> bool:
    here = fields(leaf)
    at = str(here.get("at", ""))
    if here.get("t") not in _DECIDED or at < span.since:
        return False
    span.first, span.last = min(span.first or at, at), max(span.last, at)
    return True


def _take(place: WorkspaceContext, tried: SimulatedCalls, found: list[FoundRecords]) -> None:
    for each in found:
        try:
            tried.take(recorded_decision(place, each))
        except NotFound:
            # Who called was erased: nothing can be decided again.
            tried.calls += 1
            tried.gone += 1


def _told(
    view: PolicyView, span: _ReadSpan, tried: SimulatedCalls, names: dict[str, str]
) -> SimulatedPolicy:
    aliases = {
        str(server.id): server.alias
        for here in view.workspaces.values()
        for server in here.servers.values()
    }
    lines = [
        SimulatedLine(
            principal=names.get(who, who),
            tool=f"{aliases.get(server, server)}/{tool}".rstrip("/"),
            change=change,
            calls=calls,
        )
        for (who, server, tool, change), calls in tried.changed.items()
    ]
    lines.sort(key=lambda each: (-each.calls, each.principal, each.tool))
    counts = {
        change: sum(each.calls for each in lines if each.change == change)
        for change in ("denied", "allowed")
    }
    return SimulatedPolicy(
        since=span.first or span.since,
        until=span.last,
        calls=tried.calls,
        denied=counts["denied"],
        allowed=counts["allowed"],
        gone=tried.gone,
        otherwise=tried.otherwise,
        lines=tuple(lines[:MOST_LINES]),
        next=str(span.high) if span.high > span.low else "",
    )


ROUTES = (simulate,)
