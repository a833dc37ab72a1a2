"""What the endpoint works with, and how a request that is not forwarded is closed in the log."""

import asyncio
from collections.abc import Callable

from anyio import CapacityLimiter
from msgspec import Struct

from gatelodge.config.schema import Limits
from gatelodge.core.errors import LimitReached
from gatelodge.core.ids import PrincipalId
from gatelodge.core.protocol.envelope import (
    INVALID_REQUEST,
    UNAVAILABLE,
    Fault,
    error_body,
)
from gatelodge.core.records.leaves import RefusedReason, WithheldReason
from gatelodge.flows.audit.recorder import Answer, Recorder
from gatelodge.flows.audit.tallies import Refusal
from gatelodge.flows.catalog.offers import Offers
from gatelodge.flows.gateway.bridge.asking import Asking
from gatelodge.flows.gateway.bridge.words import Words
from gatelodge.flows.gateway.call import Calls
from gatelodge.flows.gateway.follower import Follower
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import Sessions
from gatelodge.flows.gateway.streams import Streams
from gatelodge.flows.gateway.targets import Targets
from gatelodge.ports.journal import Deks
from gatelodge.ports.upstream import Upstreams
from gatelodge.ports.world import Clock, Ids, Peppers, Sealer
from gatelodge.web.endpoint.origins import Origins
from gatelodge.web.endpoint.route import Route
from gatelodge.web.endpoint.visit import Visit

_NO_CONTENT = 204


class Gate(Struct, frozen=True, kw_only=True):
    """Everything an endpoint needs; built once by the app.

    `waits` says that an answer leaves only when its record
    is durable (all but `async`).
    `shut` says why no request is taken, though the view is fresh.
    """

    follower: Follower
    shut: Callable[[], str]
    calls: Calls
    recorder: Recorder
    inflight: InFlight
    streams: Streams
    deks: Deks
    offers: Offers
    asking: Asking
    words: Words
    upstreams: Upstreams
    sessions: Sessions
    sealer: Sealer
    peppers: Peppers
    clock: Clock
    ids: Ids
    limits: Limits
    origins: Origins
    waits: bool
    rendering: CapacityLimiter
    """Lets one large result at a time be rendered beside the loop."""
    info: bytes
    """The gate's own serverInfo, raw JSON."""

    def targets(self, who: PrincipalId, route: Route) -> Targets:
        """What this principal can ask for at this endpoint."""
        return Targets((self.offers, self.clock), who, route.workspace, route.alias)


_TRY_AGAIN = 503
_WITHHELD: dict[WithheldReason, tuple[int, str]] = {
    "revoked": (401, "your access ended while this was answered"),
    "stale": (_TRY_AGAIN, "your access could not be confirmed while this was answered"),
    "changed": (_TRY_AGAIN, "what you may use changed while this was answered; ask again"),
}


class TurnedAway(Exception):
    """Ends the reading of a request with this fault.

    `recorded` = its record is written, and durable once `written` is done.
    """

    def __init__(self, fault: Fault, *headers: bytes, recorded: bool = False) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.headers = headers
        self.recorded = recorded
        self.written: asyncio.Future[None] | None = None


def turn_away(
    http: int, text: str, reason: RefusedReason, code: int = INVALID_REQUEST, *headers: bytes
) -> TurnedAway:
    """The exception that ends a request with this status, text and recorded reason."""
    return TurnedAway(Fault(http, code, text, reason), *headers)


def too_many(fault: LimitReached) -> TurnedAway:
    """The exception that ends a request for which the caller's rate leaves no record."""
    wait = b"retry-after: %d" % max(1, round(fault.retry_after or 1))
    return turn_away(429, fault.detail, "limit", UNAVAILABLE, wait)


def durable(gate: Gate) -> "asyncio.Future[None] | None":
    """A future for the journal to resolve, or None when nobody waits."""
    return asyncio.get_running_loop().create_future() if gate.waits else None


def elapsed_ms(gate: Gate, visit: Visit) -> int:
    """Milliseconds since the request was complete."""
    return int((gate.clock.boottime() - visit.started) * 1000)


class Leave:
    """Under which an answer leaves (`Permit`): the lease, asked right before it is written."""

    __slots__ = ("_about", "_gate", "recorded")

    def __init__(self, gate: Gate, visit: Visit) -> None:
        self._gate = gate
        self._about = (visit.log, visit.method)
        self.recorded: str | None = None
        """The call whose outcome is in the log, or empty for an answer of the gate's own."""

    def holds(self) -> bool:
        """Say whether this node may act now."""
        return self._gate.follower.fresh()

    def withheld(self) -> None:
        """Record that what was recorded did not leave."""
        if self.recorded is not None:
            log, method = self._about
            self._gate.recorder.withheld(log, self.recorded, method, "stale")


async def answer_here(
    gate: Gate,
    visit: Visit,
    body: bytes,
    *,
    status: int = 200,
    rpc_code: int | None = None,
    still: Callable[[], bool] | None = None,
) -> None:
    """Record a request that the gate answered itself, then let the answer leave.

    `still` says whether `visit.view`, which is another one by then, gives the same answer: what
    changed while the record was written is not told as it was.
    """
    assert visit.caller is not None
    written = durable(gate)
    gate.recorder.answered(
        visit.log,
        visit.caller,
        Answer(
            gov=visit.view.gov,
            method=visit.method,
            outcome="ok" if rpc_code is None else "rpc_error",
            proto=visit.proto,
            rpc_code=rpc_code,
            ms=elapsed_ms(gate, visit),
            bytes_in=visit.bytes_in,
            bytes_out=len(body),
        ),
        written,
    )
    if written is not None:
        await written
    why = await _why_not(gate, visit, still)
    if why:
        _withhold(gate, visit, why)
        return
    leave = Leave(gate, visit)
    leave.recorded = ""
    visit.answer.permit = leave
    visit.answer.end(status, body)


async def _why_not(
    gate: Gate, visit: Visit, still: Callable[[], bool] | None
) -> WithheldReason | None:
    """Why an answer may not leave after its record was waited for; None when it may."""
    follower = gate.follower
    if not follower.fresh() and not await follower.renewed():
        return "stale"
    view = follower.view
    if view is visit.view:
        return None
    if not view.admits(visit.credential, ""):
        return "revoked"
    if still is not None and (not visit.look_again(view) or not still()):
        return "changed"
    return None


def _withhold(gate: Gate, visit: Visit, why: WithheldReason) -> None:
    """Say why nothing is told, and record that nothing was."""
    gate.recorder.withheld(visit.log, "", visit.method, why)
    http, text = _WITHHELD.get(why, _WITHHELD["stale"])
    visit.answer.forget_headers()
    if http == _TRY_AGAIN:
        visit.answer.header(b"retry-after: 1")
    visit.answer.end(http, error_body(visit.raw_id, UNAVAILABLE, text))


async def refuse_here(gate: Gate, visit: Visit, fault: Fault) -> None:
    """Record a request that was turned away, then tell the client.

    A node that is not fresh waits for no record: what holds it up may hold the journal up too.
    """
    written = durable(gate) if fault.reason != "stale" else None
    gate.recorder.refused(
        visit.log,
        visit.caller,
        Refusal(reason=fault.reason, http=fault.http, bytes_in=visit.bytes_in),
        written,
    )
    if written is not None:
        await written
    if fault.http == _NO_CONTENT:
        visit.answer.end(fault.http, b"")
        return
    raw_id = visit.raw_id if fault.id == b"null" else fault.id
    visit.answer.end(fault.http, error_body(raw_id, fault.code, fault.message, fault.data))
