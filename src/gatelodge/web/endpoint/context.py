"""What the endpoint works with, and how a request that is not forwarded is closed in the log."""

import asyncio
from collections.abc import Callable

from anyio import CapacityLimiter
from msgspec import Struct

from gatelodge.config.schema import LimitSettings
from gatelodge.core.errors import LimitReached
from gatelodge.core.ids import PrincipalId
from gatelodge.core.jsontext.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, UNAVAILABLE, error_body
from gatelodge.core.protocol.envelope import RequestFault
from gatelodge.core.records.leaves import (
    RefusedReason,
    RequestAnswered,
    RequestRefused,
    WithheldReason,
)
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.gateway.bridge.asking import OpenBatches
from gatelodge.flows.gateway.bridge.words import ServerNotices
from gatelodge.flows.gateway.call import CallPath
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import SessionTable
from gatelodge.flows.gateway.streams import OpenStreams
from gatelodge.flows.gateway.targets import TargetFinder
from gatelodge.flows.identity.authenticate import TokenAuthenticator
from gatelodge.ports.journal import DataKeys
from gatelodge.ports.tracing import Tracer
from gatelodge.ports.upstream import Upstreams
from gatelodge.ports.world import Clock, FreshIds, StringSealer
from gatelodge.web.endpoint.origins import AllowedOrigins
from gatelodge.web.endpoint.request_context import BatchPart, EndpointRoute, RequestContext

_NO_CONTENT = 204


class EndpointContext(Struct, frozen=True, kw_only=True):
    """Everything an endpoint needs; built once by the app.

    `waits` says that an answer leaves only when its record
    is durable (all but `async`).
    `shut` says why no request is taken, though the view is fresh.
    """

    follower: ViewFollower
    shut: Callable[[], str]
    calls: CallPath
    recorder: AuditRecorder
    inflight: InFlight
    streams: OpenStreams
    deks: DataKeys
    offers: OfferMemory
    asking: OpenBatches
    words: ServerNotices
    upstreams: Upstreams
    sessions: SessionTable
    sealer: StringSealer
    authenticator: TokenAuthenticator
    clock: Clock
    ids: FreshIds
    limits: LimitSettings
    origins: AllowedOrigins
    waits: bool
    rendering: CapacityLimiter
    """Lets one large result at a time be rendered beside the loop."""
    info: bytes
    """The gate's own serverInfo, raw JSON."""
    tracer: Tracer | None
    """None when no request is ever traced."""

    def targets(self, who: PrincipalId, route: EndpointRoute) -> TargetFinder:
        """What this principal can ask for at this endpoint."""
        place = (route.workspace, route.alias)
        return TargetFinder(self.offers, self.clock, self.sealer, who, *place)


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

    def __init__(self, fault: RequestFault, *headers: bytes, recorded: bool = False) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.headers = headers
        self.recorded = recorded
        self.written: asyncio.Future[None] | None = None


def turn_away(
    http: int, text: str, reason: RefusedReason, code: int = INVALID_REQUEST, *headers: bytes
) -> TurnedAway:
    """The exception that ends a request with this status, text and recorded reason."""
    return TurnedAway(RequestFault(http, code, text, reason), *headers)


def too_many(fault: LimitReached) -> TurnedAway:
    """The exception that ends a request for which the caller's rate leaves no record."""
    # Retry-After has whole seconds (RFC 9110 clause 10.2.3); 0 would have a client knock at once.
    wait = b"retry-after: %d" % max(1, round(fault.retry_after or 1))
    return turn_away(429, fault.detail, "limit", UNAVAILABLE, wait)


def durable(gate: EndpointContext) -> "asyncio.Future[None] | None":
    """A future for the journal to resolve, or None when nobody waits."""
    return asyncio.get_running_loop().create_future() if gate.waits else None


def elapsed_ms(gate: EndpointContext, visit: RequestContext) -> int:
    """Milliseconds since the request was complete."""
    return int((gate.clock.boottime() - visit.started) * 1000)


class AnswerPermit:
    """Under which an answer leaves (`Permit`): the lease, asked right before it is written."""

    __slots__ = ("_about", "_gate", "recorded")

    def __init__(self, gate: EndpointContext, visit: RequestContext) -> None:
        self._gate = gate
        # The visit is not kept: a stream's permit outlives the request that opened it.
        self._about = (visit.log, visit.method)
        self.recorded: str | None = None
        """The call whose outcome is in the log, or empty for an answer of the gate's own."""

    def holds(self) -> bool:
        """Say whether this node may act now."""
        return self._gate.follower.fresh()

    def withheld(self, why: WithheldReason = "stale") -> None:
        """Record that what was recorded did not leave."""
        # What is said on the way has no record of its own: the call's or stream's end has one.
        if self.recorded is not None:
            log, method = self._about
            self._gate.recorder.withheld(log, self.recorded, method, why)


async def answer_here(
    gate: EndpointContext,
    visit: RequestContext,
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
    # Beyond the person's rate this raises, and the request leaves a count instead of a leaf.
    gate.recorder.answered(
        visit.log,
        visit.caller,
        RequestAnswered(
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
    # The disk was waited for: by now access may have ended, or the lease may have run out.
    why = await _why_not(gate, visit, still)
    if why:
        gate.recorder.withheld(visit.log, "", visit.method, why)
        tell_withheld(visit, why)
        return
    # The answer still waits for the end of the loop's round, so the lease is asked again there.
    leave = AnswerPermit(gate, visit)
    leave.recorded = ""
    visit.answer.permit = leave
    if still is not None and isinstance(visit.answer, BatchPart):
        visit.answer.still = lambda view: visit.look_again(view) and still()
    visit.answer.end(status, body)


async def answer_invalid(
    gate: EndpointContext,
    visit: RequestContext,
    text: str,
    code: int = INVALID_PARAMS,
    details: bytes = b"",
) -> None:
    """Answer a request that can be read, and asks for what it may not or not so."""
    body = error_body(visit.message.id, code, text, details)
    await answer_here(gate, visit, body, status=visit.invalid_status, rpc_code=code)


async def _why_not(
    gate: EndpointContext, visit: RequestContext, still: Callable[[], bool] | None
) -> WithheldReason | None:
    """Why an answer may not leave after its record was waited for; None when it may."""
    follower = gate.follower
    # A lease that is only late is waited for: else a short stall would turn everybody away.
    if not follower.fresh() and not await follower.renewed():
        return "stale"
    view = follower.view
    # A view is swapped whole, so the same object means that nothing changed (hot path).
    if view is visit.view:
        return None
    if not view.admits(visit.credential, ""):
        return "revoked"
    if still is not None and (not visit.look_again(view) or not still()):
        return "changed"
    return None


def tell_withheld(visit: RequestContext, why: WithheldReason) -> None:
    """Say why nothing is told."""
    http, text = _WITHHELD.get(why, _WITHHELD["stale"])
    # A handshake may have put a session id there, which goes to nobody whose access ended.
    visit.answer.forget_headers()
    if http == _TRY_AGAIN:
        visit.answer.header(b"retry-after: 1")
    visit.answer.end(http, error_body(visit.raw_id, UNAVAILABLE, text))


async def refuse_here(gate: EndpointContext, visit: RequestContext, fault: RequestFault) -> None:
    """Record a request that was turned away, then tell the client.

    A node that is not fresh waits for no record: what holds it up may hold the journal up too.
    """
    written = durable(gate) if fault.reason != "stale" else None
    gate.recorder.refused(
        visit.log,
        visit.caller,
        RequestRefused(reason=fault.reason, http=fault.http, bytes_in=visit.bytes_in),
        written,
    )
    if written is not None:
        await written
    if fault.http == _NO_CONTENT:
        visit.answer.end(fault.http, b"")
        return
    raw_id = visit.raw_id if fault.id == b"null" else fault.id
    visit.answer.end(fault.http, error_body(raw_id, fault.code, fault.message, fault.data))
