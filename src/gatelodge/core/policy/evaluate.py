"""One guardrail, one principal, one tool: what Cedar says, now or whenever.

Two questions: `judge` is the full evaluation of a call; `foresee` is the partial evaluation that
tells whether the answer depends on the circumstances at all. A policy that errors is skipped by
Cedar, so an error is never read as a pass.
"""

from typing import Literal

import cedarpy

from gatelodge.core.ids import Instant
from gatelodge.core.policy.guardrails import CompiledGuardrail
from gatelodge.core.policy.schema import (
    ACTION,
    UNKNOWN,
    circumstances,
    entities,
    principal_uid,
    tool_uid,
)
from gatelodge.core.view_entry import CallContext, PrincipalEntry, ToolEntry

Outcome = Literal["forbids", "passes", "depends", "fails"]


def judge(
    guard: CompiledGuardrail,
    principal: PrincipalEntry,
    tool: ToolEntry,
    at: Instant,
    context: CallContext,
) -> Outcome:
    """Whether the guardrail forbids this call now: forbids, passes, or fails (then deny)."""
    if guard.policies is None:
        return "fails"
    request = {**_request(principal, tool), "context": circumstances(at, context)}
    try:
        result = cedarpy.is_authorized(request, guard.policies, entities(principal, tool))
    except (ValueError, TypeError):
        return "fails"
    if result.diagnostics.errors:
        return "fails"
    if result.decision is cedarpy.Decision.Allow:
        return "passes"
    return "forbids" if result.diagnostics.reasons else "fails"


def foresee(guard: CompiledGuardrail, principal: PrincipalEntry, tool: ToolEntry) -> Outcome:
    """Whether the guardrail forbids such calls always, never, or depending on circumstances.

    Partial evaluation is experimental in Cedar, so anything but a clean answer is `depends`, and
    then each call is judged in full.
    """
    if guard.policies is None:
        return "fails"
    request = {**_request(principal, tool), "context": UNKNOWN}
    try:
        result = cedarpy.is_authorized_partial(request, guard.policies, entities(principal, tool))
    except (ValueError, TypeError):
        return "depends"
    if result.diagnostics.errors:
        return "depends"
    if result.decision is cedarpy.Decision.Allow:
        return "passes"
    return "forbids" if result.decision is cedarpy.Decision.Deny else "depends"


def _request(principal: PrincipalEntry, tool: ToolEntry) -> dict[str, str]:
    return {"principal": principal_uid(principal), "action": ACTION, "resource": tool_uid(tool)}
