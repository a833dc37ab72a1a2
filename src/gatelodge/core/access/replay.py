"""Past calls decided again: by the rules of then, as records cite them, or by rules to come."""

from typing import Literal

from msgspec import Struct

from gatelodge.core.access.explain import depends
from gatelodge.core.ids import Instant, PrincipalId, WorkspaceId
from gatelodge.core.policy.decision import Allow, Decision, Deny
from gatelodge.core.policy.table import NO_GRANT
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import Entry

ReplayVerdict = Literal["same", "differs", "unknown"]
"""unknown: the record does not say what was asked for, so nothing can be decided again."""

_BEYOND_POLICY = frozenset(
    ("quota", "header_mismatch", "missing_capability", "audit_unavailable", "approval_denied")
)
"""What stops a call that the policy allows, by circumstances that no log holds."""
_REPLAYED = ("tools/call", "prompts/get", "resources/read")
"""Requests whose record says what they were about; of a completion or a task it does not."""


class RecordedDecision(Struct, frozen=True, kw_only=True):
    """What a call's opening record says that was decided, of whom and what; empty = not said."""

    workspace: WorkspaceId
    principal: PrincipalId
    method: str
    server: str
    tool: str
    tool_def: str
    policy: str
    reason: str
    rule: str
    at: Instant


class ReplayedDecision(Struct, frozen=True, kw_only=True):
    """What the log says today: the decision, the digest of the policy then, and what differs."""

    verdict: ReplayVerdict
    decision: Decision
    policy: str = ""
    differences: tuple[str, ...] = ()


def replay(view: PolicyView, recorded: RecordedDecision) -> ReplayedDecision:
    """Decide a recorded call again; `view` is of the size of the gov log that its record cites."""
    here = view.workspace(recorded.workspace)
    policy = "" if here is None else here.policy
    entry = entry_of(view, recorded)
    if recorded.method not in _REPLAYED or not recorded.server:
        return ReplayedDecision(verdict="unknown", decision=NO_GRANT, policy=policy)
    who = view.principals.get(recorded.principal)
    decision: Decision = NO_GRANT
    if who is not None and entry is not None:
        decision = decide(view, who, entry, recorded.at, who.context)
    found: list[str] = []
    if recorded.policy != policy:
        found.append("policy")
    if not _is_as_recorded(decision, recorded):
        found.append("decision")
    if recorded.tool_def and getattr(entry, "digest", "") != recorded.tool_def:
        found.append("definition of the tool")
    return ReplayedDecision(
        verdict="differs" if found else "same",
        decision=decision,
        policy=policy,
        differences=tuple(found),
    )


def _is_as_recorded(decision: Decision, recorded: RecordedDecision) -> bool:
    if isinstance(decision, Deny):
        return (decision.reason, decision.rule) == (recorded.reason, recorded.rule)
    if recorded.reason in _BEYOND_POLICY:
        return True
    return isinstance(decision, Allow) and (recorded.reason, recorded.rule) == ("", decision.rule)


def entry_of(view: PolicyView, recorded: RecordedDecision) -> Entry | None:
    """What a recorded call was about, as the view knows it; None where it does not."""
    here = view.workspace(recorded.workspace)
    servers = () if here is None else here.servers.values()
    server = next((each for each in servers if each.id == recorded.server), None)
    if server is None:
        return None
    if recorded.method == "tools/call":
        return server.tools.get(recorded.tool)
    return server.prompts if recorded.method == "prompts/get" else server.resources


SimulatedChange = Literal["denied", "allowed", ""]
"""What would have become of a recorded call; empty = nothing else."""


class SimulatedCalls:
    """Recorded calls, decided by two views: what the second one would have changed.

    A call counts as changed only where the first view, the present one, decides it as its record
    says: what was changed since then is not laid at the door of the rule that is weighed. `gone`
    are calls of principals or tools that are not here any more, `otherwise` those that present
    rules decide otherwise already.
    """

    def __init__(self, before: PolicyView, after: PolicyView) -> None:
        self._views = (before, after)
        self._known: dict[tuple[str, str, str, str], tuple[bool, bool]] = {}
        self.calls = self.gone = self.otherwise = 0
        self.changed: dict[tuple[PrincipalId, str, str, SimulatedChange], int] = {}

    def take(self, recorded: RecordedDecision) -> None:
        """Decide one recorded call by both views."""
        if recorded.method not in _REPLAYED or not recorded.server:
            return
        self.calls += 1
        both = self._decided(recorded)
        if both is None:
            self.gone += 1
            return
        was, would = both
        if was != (not recorded.reason or recorded.reason in _BEYOND_POLICY):
            self.otherwise += 1
        elif was != would:
            change: SimulatedChange = "denied" if was else "allowed"
            about = (recorded.principal, recorded.server, recorded.tool, change)
            self.changed[about] = self.changed.get(about, 0) + 1

    def _decided(self, recorded: RecordedDecision) -> tuple[bool, bool] | None:
        """Whether each view allows it; None where one of them does not know whom or what."""
        key = (recorded.principal, recorded.method, recorded.server, recorded.tool)
        if key in self._known:
            return self._known[key]
        found, fixed = [], True
        for view in self._views:
            who, entry = view.principals.get(recorded.principal), entry_of(view, recorded)
            if who is None or entry is None or who.workspace != recorded.workspace:
                return None
            decision = decide(view, who, entry, recorded.at, who.context)
            found.append(isinstance(decision, Allow))
            fixed = fixed and not depends(view, who, entry)
        both = (found[0], found[1])
        # Most decisions are the same at every time: a month of calls is a few of them.
        if fixed:
            self._known[key] = both
        return both
