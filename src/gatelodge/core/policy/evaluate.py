"""One guardrail, one principal, one entry: what Cedar says, now or whenever.

`foresee` is the partial evaluation that tells whether the answer depends on the circumstances at
all; if it does, it comes as a question that `judge` answers in full for each call. A policy that
errors is skipped by Cedar, so an error is never read as a pass.
"""

from typing import Literal

import cedarpy
from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.policy.guardrails import CompiledGuardrail
from gatelodge.core.policy.schema import (
    UNKNOWN,
    as_text,
    circumstances,
    entities,
    request_entities,
)
from gatelodge.core.view_entry import CallContext, Entry, PrincipalEntry

Outcome = Literal["forbids", "passes", "fails"]


class PolicyQuestion(Struct, frozen=True, eq=False, gc=False):
    """A guardrail, a principal and an entry, ready to be judged at any moment.

    It stands for every principal and entry that the guardrail cannot tell from these.
    """

    guard: CompiledGuardrail
    policies: cedarpy.PolicySet
    entities: cedarpy.Entities
    named: dict[str, dict[str, str]]


def foresee(
    guard: CompiledGuardrail, principal: PrincipalEntry, entry: Entry
) -> Outcome | PolicyQuestion:
    """Whether the guardrail forbids such calls always or never, else the question of each call.

    Partial evaluation is experimental in Cedar, so anything but a clean answer is a question.
    """
    # A stored text that is no single forbid must not pass: a failure denies (decision 0008).
    if guard.policies is None:
        return "fails"
    try:
        found = entities(principal, entry)
    except ValueError:
        # Of an entity that Cedar cannot hold nothing can be ruled out, so the rule denies it.
        return "fails"
    named = request_entities(principal, entry)
    question = PolicyQuestion(guard, guard.policies, found, named)
    # Partial evaluation takes entities as text only.
    request = {what: as_text(ref) for what, ref in named.items()} | {"context": UNKNOWN}
    try:
        result = cedarpy.is_authorized_partial(request, guard.policies, found)
    except (ValueError, TypeError):
        return question
    if result.diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
        return question
    return "passes" if result.decision is cedarpy.Decision.Allow else "forbids"


def judge(question: PolicyQuestion, at: Instant, context: CallContext) -> Outcome:
    """Whether the guardrail forbids this call now, by full evaluation; `fails` means deny."""
    try:
        request = {**question.named, "context": circumstances(at, context)}
        result = cedarpy.is_authorized(request, question.policies, question.entities)
    except (ValueError, TypeError):
        # A time that Cedar cannot hold ends here too: who cannot be judged is denied.
        return "fails"
    if result.diagnostics.errors:
        return "fails"
    if result.decision is cedarpy.Decision.Allow:
        return "passes"
    # A permit for all stands beside the guardrail, so a Deny that no policy gave is a fault.
    return "forbids" if result.diagnostics.reasons else "fails"
