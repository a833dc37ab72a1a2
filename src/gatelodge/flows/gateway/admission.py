"""Whether what was admitted may still have an effect: asked last thing before each of them.

Between a decision and its effect there is always a wait: for the disk, for a data key, for a free
connection, for the machine. So whatever sends bytes to a server or to a client asks here right
before it does, without any wait in between (guarantee revoke:under-a-second).
"""

from gatelodge.core.policy.decision import Allow
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import ToolEntry
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.gateway.inflight import CutReason
from gatelodge.flows.gateway.request import CallControl, CallRequest
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.ports.world import Clock


class CallAdmission:
    """One call that was allowed under a view; decided again whenever the view is another one."""

    __slots__ = ("_clock", "_cut", "_request", "_standing", "_target", "_view")

    def __init__(
        self,
        request: CallRequest,
        target: CallTarget,
        cut: CallControl,
        view: PolicyView,
        standing: ViewFollower,
        clock: Clock,
    ) -> None:
        self._request, self._target, self._cut = request, target, cut
        self._view = view
        self._standing = standing
        self._clock = clock

    def holds(self) -> bool:
        """Say whether the call may have an effect now (hot path)."""
        # A view is swapped whole, so the same object means that nothing changed in between.
        standing = self._standing
        return (
            self._cut.reason is None
            and standing.fresh()
            and (standing.view is self._view or self._is_still_admitted())
        )

    def holds_anew(self) -> bool:
        """The same, decided anew in any case: after people were waited for, time has passed.

        What is asked for must be what it was: the same server, and the tool as it was approved.
        """
        view = self._standing.view
        return (
            self._cut.reason is None
            and self._standing.fresh()
            and self._is_still_admitted()
            and self._is_the_same(view)
        )

    async def renewed(self) -> bool:
        """The same, after a wait for the lease if it is only that."""
        # It is decided again after the wait: the view that came with the lease may say no.
        return self.holds() or (await self._standing.renewed() and self.holds())

    def ended_in(self, view: PolicyView) -> bool:
        """Say whether the call may not go on under this view."""
        request, entry = self._request, self._target.entry
        context, now = request.credential.context, self._clock.now()
        if now >= request.credential.expires_at:
            return True
        if not view.admits(request.credential, entry.server):
            return True
        return not isinstance(decide(view, request.who, entry, now, context), Allow)

    @property
    def why_not(self) -> CutReason:
        """Why it does not hold."""
        if self._cut.reason is not None:
            return self._cut.reason
        return "revoked" if self.ended_in(self._standing.view) else "stale"

    def _is_the_same(self, view: PolicyView) -> bool:
        # The name may stand for another server by now, or the tool may have a new definition:
        # the caller's answers belong to neither.
        found = self._request.find(view, self._request.params)
        if found is None or found.server != self._target.server:
            return False
        was, now = self._target.entry, found.entry
        return not isinstance(was, ToolEntry) or (
            isinstance(now, ToolEntry) and now.digest == was.digest
        )

    def _is_still_admitted(self) -> bool:
        view = self._standing.view
        if self.ended_in(view):
            return False
        # What was decided under this view needs no second decision, only the comparison.
        self._view = view
        return True
