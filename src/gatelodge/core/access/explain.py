"""Why a call is allowed or denied: the decision, each grant that bears on it, each guardrail."""

from typing import Literal

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.policy.compile import subjects
from gatelodge.core.policy.decision import Decision
from gatelodge.core.policy.evaluate import Outcome, PolicyQuestion, foresee, judge
from gatelodge.core.policy.grants import CompiledGrant
from gatelodge.core.policy.guardrails import CompiledGuardrail
from gatelodge.core.policy.rules import Grant
from gatelodge.core.policy.table import ConditionalCell
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import CallContext, Entry, PrincipalEntry, Standing, ToolEntry


class GrantPath(Struct, frozen=True, kw_only=True):
    """One grant on the tool, or on the server of the prompts or resources, whoever it is for.

    `mine`: the principal is its grantee, or one of them; `reaches`: it covers this entry; `lasts`:
    it has not expired.
    """

    grant: Grant
    mine: bool
    reaches: bool
    lasts: bool

    @property
    def permits(self) -> bool:
        """True when this grant alone would allow the call."""
        return self.mine and self.reaches and self.lasts


class GuardrailBearing(Struct, frozen=True, kw_only=True):
    """One guardrail that can stop such a call: `ever` in general, `now` in this one."""

    guard: CompiledGuardrail
    ever: Outcome | Literal["depends"]
    now: Outcome


class AccessExplanation(Struct, frozen=True, kw_only=True):
    """Why. For people who may see the policy: it names other grantees.

    `conditional` says that the answer can change with the time or circumstances alone. `grants`
    are all that concern the entry, by id; the first that `permits` is the rule of an Allow.
    `guardrails` are those that do not always pass, the enforced ones first.
    """

    decision: Decision
    conditional: bool
    standing: Standing
    grants: tuple[GrantPath, ...]
    guardrails: tuple[GuardrailBearing, ...]


def explain(
    view: PolicyView,
    principal: PrincipalEntry,
    entry: Entry,
    at: Instant,
    context: CallContext | None = None,
) -> AccessExplanation:
    """Explain the decision of `core.view.decide` for this call.

    Without `context`, for the principal's usual kind of credential. Guardrails are evaluated anew,
    not looked up, so this takes about a millisecond.
    """
    given = context or principal.context
    rules = view.rules[principal.workspace]
    mine = frozenset(subjects(principal))
    grants = [
        GrantPath(
            grant=compiled.grant,
            mine=subject in mine,
            reaches=compiled.covers(entry),
            lasts=at < compiled.until,
        )
        for subject, by_server in rules.grants.items()
        for compiled in by_server.get(entry.server, ())
        if _is_about_entry(compiled, entry) and compiled.grant.workspace == entry.workspace
    ]
    guardrails = [
        GuardrailBearing(
            guard=guard,
            ever="depends" if isinstance(ever, PolicyQuestion) else ever,
            now=judge(ever, at, given) if isinstance(ever, PolicyQuestion) else ever,
        )
        for guard in rules.guards.all
        if (ever := foresee(guard, principal, entry)) != "passes"
    ]
    return AccessExplanation(
        # The decision is the call path's own: an explanation made apart could differ from it.
        decision=decide(view, principal, entry, at, given),
        conditional=depends(view, principal, entry),
        standing=entry.standing,
        grants=tuple(sorted(grants, key=lambda path: path.grant.id)),
        guardrails=tuple(guardrails),
    )


def depends(view: PolicyView, principal: PrincipalEntry, entry: Entry) -> bool:
    """True when time or circumstances alone can change the decision."""
    access = view.access.get(principal.id)
    # A server that was cut is denied at every time, whatever the table from before says.
    if access is None or entry.server in view.gone:
        return False
    return isinstance(access.cells.get(entry.server, {}).get(entry.key), ConditionalCell)


def _is_about_entry(compiled: CompiledGrant, entry: Entry) -> bool:
    """A grant on one tool says nothing of others, but tells why prompts cannot be read."""
    return not isinstance(entry, ToolEntry) or compiled.grant.tool in {"", entry.name}
