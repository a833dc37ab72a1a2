"""What the endpoint works with, and how a request that is not forwarded is closed in the log."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from gatelodge.config.schema import Limits
from gatelodge.core.ids import PrincipalId
from gatelodge.core.protocol.envelope import INVALID_REQUEST, Fault, error_body
from gatelodge.core.records.leaves import RefusedReason
from gatelodge.flows.audit.recorder import Answer, Recorder, Refusal
from gatelodge.flows.catalog.offers import Offers
from gatelodge.flows.gateway.bridge.asking import Asking
from gatelodge.flows.gateway.call import Calls
from gatelodge.flows.gateway.follower import Follower
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import Sessions
from gatelodge.flows.gateway.streams import Streams
from gatelodge.flows.gateway.targets import Targets
from gatelodge.ports.journal import Deks
from gatelodge.ports.upstream import Asker
from gatelodge.ports.world import Clock, Ids, Peppers, Sealer
from gatelodge.web.endpoint.origins import Origins
from gatelodge.web.endpoint.route import Route
from gatelodge.web.endpoint.visit import Visit


class Gate(Struct, frozen=True, kw_only=True):
    """Everything an endpoint needs; built once by the app.

    `roots_changed` is that of `Upstreams`. `waits` says that an answer leaves only when its record
    is durable (all but `async`).
    """

    follower: Follower
    calls: Calls
    recorder: Recorder
    inflight: InFlight
    streams: Streams
    deks: Deks
    offers: Offers
    asking: Asking
    roots_changed: Callable[[Asker], None]
    sessions: Sessions
    sealer: Sealer
    peppers: Peppers
    clock: Clock
    ids: Ids
    limits: Limits
    origins: Origins
    waits: bool
    info: bytes
    """The gate's own serverInfo, raw JSON."""

    def targets(self, who: PrincipalId, route: Route) -> Targets:
        """What this principal can ask for at this endpoint."""
        return Targets((self.offers, self.clock), who, route.workspace, route.alias)


class TurnedAway(Exception):
    """Ends the reading of a request with this fault; `recorded` = its record is written."""

    def __init__(self, fault: Fault, *headers: bytes, recorded: bool = False) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.headers = headers
        self.recorded = recorded


def turn_away(
    http: int, text: str, reason: RefusedReason, code: int = INVALID_REQUEST, *headers: bytes
) -> TurnedAway:
    """The exception that ends a request with this status, text and recorded reason."""
    return TurnedAway(Fault(http, code, text, reason), *headers)


def durable(gate: Gate) -> "asyncio.Future[None] | None":
    """A future for the journal to resolve, or None when nobody waits."""
    return asyncio.get_running_loop().create_future() if gate.waits else None


def elapsed_ms(gate: Gate, visit: Visit) -> int:
    """Milliseconds since the request was complete."""
    return int((gate.clock.boottime() - visit.started) * 1000)


async def answer_here(
    gate: Gate, visit: Visit, body: bytes, *, status: int = 200, rpc_code: int | None = None
) -> None:
    """Record a request that the gate answered itself, then let the answer leave."""
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
    visit.answer.end(status, body)


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
    raw_id = visit.raw_id if fault.id == b"null" else fault.id
    visit.answer.end(fault.http, error_body(raw_id, fault.code, fault.message, fault.data))
