"""What each principal may use at a moment, told once for all who are alike to the rules."""

from typing import Final

from gatelodge.core.ids import Instant, ServerId
from gatelodge.core.policy.decision import Allow
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import CallContext, PrincipalEntry, WorkspaceView

AllowedTools = dict[ServerId, dict[str, str]]
"""The rule that allows each tool, by server; a server or a tool that is not there is denied."""

_NOTHING: Final[AllowedTools] = {}


class AccessReach:
    """Answers for one view, one workspace and one moment."""

    def __init__(self, view: PolicyView, workspace: WorkspaceView, at: Instant) -> None:
        self._view = view
        self._at = at
        self._servers = {server.id: server for server in workspace.servers.values()}
        self._known: dict[tuple[int, CallContext], AllowedTools] = {}

    def of(self, who: PrincipalEntry) -> AllowedTools:
        """What this principal may use, by their usual kind of credential; the same for all alike.

        As `decide` says it: principals with one access object and one context are told one thing.
        """
        access = self._view.access.get(who.id)
        if access is None:
            return _NOTHING
        key = (id(access), who.context)
        found = self._known.get(key)
        if found is None:
            # A server without a table is denied: of a large house these are most.
            tables = [self._servers[each] for each in access.cells if each in self._servers]
            found = self._known[key] = {}
            for server in tables:
                allowed = {}
                for tool in server.tools.values():
                    decision = decide(self._view, who, tool, self._at, who.context)
                    if isinstance(decision, Allow):
                        allowed[tool.name] = decision.rule
                if allowed:
                    found[server.id] = allowed
        return found
