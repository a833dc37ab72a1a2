"""Whether what was admitted may still have an effect: asked last thing before each of them.

Between a decision and its effect there is always a wait: for the disk, for a data key, for a free
connection, for the machine. So whatever sends bytes to a server or to a client asks here right
before it does, without any wait in between (guarantee revoke:under-a-second).
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from gatelodge.core.policy.decision import Allow
from gatelodge.core.view import PolicyView, decide
from gatelodge.core.view_entry import ToolEntry
from gatelodge.flows.gateway.answers import WasCut
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.gateway.inflight import CutReason, RunningRequest
from gatelodge.flows.gateway.request import HELD_BYTES, CallRequest, NotificationBuffer
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.ports.tracing import RequestTrace
from gatelodge.ports.upstream import UpstreamExchange
from gatelodge.ports.world import Clock

UNCOUNTED_BYTES = 4096
"""An answer of this size costs no more than its connection, of which nobody has very many."""


class NoAdmission:
    """What has not been decided may have no effect."""

    __slots__ = ()
    why_not: CutReason = "stale"

    def holds(self) -> bool:
        """Never."""
        return False

    def holds_anew(self) -> bool:
        """Never."""
        return False

    async def renewed(self) -> bool:
        """Never, whatever is waited for."""
        return False

    def ended_in(self, view: PolicyView) -> bool:  # noqa: ARG002 - the form of an admission's
        """Under any view."""
        return True


_NOT_YET: Final = NoAdmission()


def _fits_resting_limit(size: int) -> bool:
    """Say whether so much may be kept of the answer to a call that rests."""
    return size <= HELD_BYTES


class ExchangeLicence(Struct, eq=False):
    """Under which an exchange writes, and keeps what comes: the call's which it belongs to now.

    While it belongs to none little is kept of an answer, since it is counted against nobody.
    """

    holder: "AdmittedCall | NoAdmission" = _NOT_YET
    room: Callable[[int], bool] = _fits_resting_limit
    process: bool = False
    """A process of the server was started for it."""

    def begun(self) -> None:
        """A process is started."""
        self.process = True

    def keeps(self, size: int) -> bool:
        """Say whether so much may be kept of an answer (hot path)."""
        return size <= UNCOUNTED_BYTES or self.room(size)

    def __call__(self) -> bool:
        """Say whether anything may be written now."""
        return self.holder.holds()

    def rest(self) -> None:
        """Nobody's for now: the call waits for its client's next request."""
        self.holder, self.room = _NOT_YET, _fits_resting_limit


class CallControl(Struct, eq=False):
    """A running call's ear: remembers why it was cut and stops the exchange that it has by then."""

    admission: "AdmittedCall | NoAdmission" = _NOT_YET
    licence: ExchangeLicence = field(default_factory=ExchangeLicence)
    exchange: UpstreamExchange | None = None
    ears: NotificationBuffer | None = None
    """Through which an exchange that was taken up speaks; one that was begun has its request's."""
    reason: CutReason | None = None
    target: CallTarget | None = None
    """What the call is about, once that was found."""
    give_up: Callable[[], None] | None = None
    """Set while the client is asked something: stops waiting for its word."""
    trace: RequestTrace | None = None
    """Set when the request is traced, which most are not."""

    def __call__(self, reason: CutReason) -> None:
        """End the call for this reason; only the first one counts."""
        if self.reason is None:
            # The abort cancels the reply, and by the reason whoever awaits it tells a cut from a
            # cancellation of its own task: so the reason is set first.
            self.reason = reason
            if self.exchange is not None:
                self.exchange.abort(reason)
            if self.give_up is not None:
                self.give_up()

    def over(self) -> None:
        """The call ended and was answered: let go of what holds this in turn.

        Its memory is free at once then, and need not wait for a collector that looks for circles.
        """
        if self.licence.holder is self.admission:  # a parked call's belongs to whoever took it up
            self.licence.rest()
        self.admission, self.exchange, self.ears, self.target = _NOT_YET, None, None, None
        if self.trace is not None:
            self.trace.over()

    @property
    def left(self) -> bool:
        """True when the client itself went or took the call back: nobody waits for the answer."""
        return self.reason in ("client_gone", "cancelled")


class AdmittedCall(Struct, eq=False):
    """One call that was allowed under a view; decided again whenever the view is another one."""

    request: CallRequest
    target: CallTarget
    cut: CallControl
    view: PolicyView
    standing: ViewFollower
    clock: Clock
    call: str = ""
    """The id under which its intent is recorded."""

    def registered(self) -> RunningRequest:
        """What stands for the call where things are cut."""
        request, who = self.request, self.request.who
        return RunningRequest(
            kind="call",
            principal=who.id,
            credential=request.credential.id,
            workspace=request.workspace,
            cut=self.cut,
            person=who.person,
            server=self.target.entry.server,
            ended_in=self.ended_in,
            method=request.method,
            call=self.call,
        )

    def was_cut(self) -> WasCut:
        """How it comes back when it may not go on."""
        return WasCut(self.why_not, self.call)

    def holds(self) -> bool:
        """Say whether the call may have an effect now (hot path)."""
        # A view is swapped whole, so the same object means that nothing changed in between.
        standing = self.standing
        return (
            self.cut.reason is None
            and standing.fresh()
            and (standing.view is self.view or self._is_still_admitted())
        )

    def holds_anew(self) -> bool:
        """The same, decided anew in any case: after people were waited for, time has passed.

        What is asked for must be what it was: the same server, and the tool as it was approved.
        """
        view = self.standing.view
        return (
            self.cut.reason is None
            and self.standing.fresh()
            and self._is_still_admitted()
            and self._is_the_same(view)
        )

    async def renewed(self) -> bool:
        """The same, after a wait for the lease if it is only that."""
        # It is decided again after the wait: the view that came with the lease may say no.
        return self.holds() or (await self.standing.renewed() and self.holds())

    def ended_in(self, view: PolicyView) -> bool:
        """Say whether the call may not go on under this view."""
        request, entry = self.request, self.target.entry
        context, now = request.credential.context, self.clock.now()
        if now >= request.credential.expires_at:
            return True
        if not view.admits(request.credential, entry.server):
            return True
        return not isinstance(decide(view, request.who, entry, now, context), Allow)

    @property
    def why_not(self) -> CutReason:
        """Why it does not hold."""
        if self.cut.reason is not None:
            return self.cut.reason
        return "revoked" if self.ended_in(self.standing.view) else "stale"

    def _is_the_same(self, view: PolicyView) -> bool:
        # The name may stand for another server by now, or the tool may have a new definition:
        # the caller's answers belong to neither.
        request = self.request
        found = request.targets.find(view, request.method, request.name, request.params)
        if found is None or found.server != self.target.server:
            return False
        was, now = self.target.entry, found.entry
        return not isinstance(was, ToolEntry) or (
            isinstance(now, ToolEntry) and now.digest == was.digest
        )

    def _is_still_admitted(self) -> bool:
        view = self.standing.view
        if self.ended_in(view):
            return False
        # What was decided under this view needs no second decision, only the comparison.
        self.view = view
        return True
