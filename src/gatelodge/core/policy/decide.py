"""What a cell that depends on time or circumstances comes to, for one call at one moment."""

from gatelodge.core.ids import GuardrailId, Instant
from gatelodge.core.policy.decision import Allow, Decision, Deny
from gatelodge.core.policy.evaluate import judge
from gatelodge.core.policy.table import NO_GRANT, Cell, ConditionalCell, Watch
from gatelodge.core.view_entry import CallContext


def settle(cell: ConditionalCell, at: Instant, context: CallContext) -> Decision:
    """The decision of that cell. The lowest id of the grants that still last is the rule."""
    allow = _first_unexpired_allow(cell, at)
    # This comes first: whoever has no grant hears of no guardrail, nor that one failed.
    if allow is None:
        return NO_GRANT
    if cell.fixed is not None:
        return cell.fixed
    failing: Deny | None = None
    for question in cell.questions:
        outcome = judge(question, at, context)
        # It is told and not hidden: the tool stands in lists, since only circumstances forbid it.
        if outcome == "forbids":
            return question.guard.telling
        # A later forbid still wins over a failure, so that the caller hears its reason.
        if outcome != "passes":
            failing = failing or question.guard.failing
    return failing or allow


def shows(cell: Cell, at: Instant) -> bool:
    """True when a list holds the tool at that moment: when no answer of the cell hides it."""
    if isinstance(cell, ConditionalCell):
        if _first_unexpired_allow(cell, at) is None:
            return False
        return cell.fixed is None or not cell.fixed.hidden
    return isinstance(cell, Allow) or not cell.hidden


def watched(
    watches: tuple[Watch, ...], at: Instant, context: CallContext
) -> tuple[GuardrailId, ...]:
    """The watching guardrails that would have stopped this call, or could not be evaluated."""
    return tuple(
        guard.id
        for guard, question in watches
        if question is None or judge(question, at, context) != "passes"
    )


def _first_unexpired_allow(cell: ConditionalCell, at: Instant) -> Allow | None:
    for permit in cell.permits:
        if at < permit.until:
            return permit.allow
    return None
