"""The MCP endpoint: each request is let in, read and answered, or turned away; all are recorded.

Every request that reaches the socket leaves its records (guarantee audit:every-request-once): a
forwarded call in `flows.gateway.call`, everything else through `gate.answer_here` and
`gate.refuse_here`. An unknown exception becomes an incident id and the word "internal".
"""

import asyncio
import logging

from gatelodge.core.errors import HouseError, Unavailable
from gatelodge.core.protocol.envelope import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    UNAVAILABLE,
    Fault,
    Response,
    error_body,
)
from gatelodge.core.records.origin import DOOR
from gatelodge.flows.audit.recorder import Refusal
from gatelodge.web.endpoint.admit import let_in, read_body, session_of
from gatelodge.web.endpoint.gate import Gate, TurnedAway, answer_here, refuse_here, turn_away
from gatelodge.web.endpoint.http1 import HttpConnection, HttpRequest
from gatelodge.web.endpoint.listen import legacy_stream
from gatelodge.web.endpoint.methods import LEGACY_METHODS, MODERN_METHODS, unknown
from gatelodge.web.endpoint.visit import Visit

log = logging.getLogger(__name__)

_STATUS = {"malformed_http": 400, "too_large": 413}


class Endpoint:
    """Answers requests as tasks of its own; `drain` waits for them."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, connection: HttpConnection, request: HttpRequest) -> None:
        """Begin to answer a request."""
        self._tasks.add(self._loop.create_task(self._serve(connection, request)))

    def turn_away(self, connection: HttpConnection, reason: str, size: int) -> None:
        """Answer what could not be read as a request, and close."""
        request = HttpRequest()
        request.body = b"\0" * min(size, 1)
        fault = Fault(_STATUS[reason], INVALID_REQUEST, reason.replace("_", " "), reason)  # type: ignore[arg-type]
        self._tasks.add(self._loop.create_task(self._refuse(connection, request, fault)))

    def gone(self, _connection: HttpConnection) -> None:
        """Record a request that its client broke off before it was complete."""
        refusal = Refusal(reason="client_gone", http=0, bytes_in=0)
        self._gate.recorder.refused(DOOR, None, refusal, None)

    async def drain(self, seconds: float) -> None:
        """Wait for running answers, at most that long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    async def _serve(self, connection: HttpConnection, request: HttpRequest) -> None:
        gate = self._gate
        visit = Visit(connection, request, gate.clock.boottime())
        try:
            let_in(gate, visit)
            if gate.deks.current(visit.answerable) is None:
                await gate.deks.ensure(visit.answerable)
            await self._dispatch(visit)
        except TurnedAway as away:
            await self._turned_away(visit, away)
        except Unavailable as down:
            self._unavailable(visit, down)
        except Exception as error:  # noqa: BLE001 - the web face: whatever it is, say "internal"
            self._incident(visit, error)
        finally:
            connection.finish()
            self._tasks.discard(asyncio.current_task(self._loop))

    async def _refuse(self, connection: HttpConnection, request: HttpRequest, fault: Fault) -> None:
        visit = Visit(connection, request, self._gate.clock.boottime())
        try:
            await refuse_here(self._gate, visit, fault)
        except HouseError:
            visit.answer.end(503, b"")
        finally:
            connection.finish()
            self._tasks.discard(asyncio.current_task(self._loop))

    async def _turned_away(self, visit: Visit, away: TurnedAway) -> None:
        for line in away.headers:
            visit.answer.header(line)
        if away.recorded:
            body = error_body(b"null", away.fault.code, away.fault.message)
            visit.answer.end(away.fault.http, body)
            return
        try:
            await refuse_here(self._gate, visit, away.fault)
        except Unavailable as down:
            visit.answer.end(503, error_body(b"null", UNAVAILABLE, down.detail))

    async def _dispatch(self, visit: Visit) -> None:
        match visit.request.method:
            case b"POST":
                await self._post(visit)
            case b"GET":
                visit.session = session_of(self._gate, visit)
                visit.proto = visit.session.version
                await legacy_stream(self._gate, visit)
            case b"DELETE":
                visit.session = session_of(self._gate, visit)
                visit.method, visit.proto = "session/end", visit.session.version
                ends_at, nonce = visit.session.ends_at, visit.session.nonce
                self._gate.ended.end(nonce, ends_at, self._gate.clock.now())
                await answer_here(self._gate, visit, b"")
            case _:
                raise turn_away(405, "use POST", "method_not_allowed")

    async def _post(self, visit: Visit) -> None:
        message = read_body(self._gate, visit)
        if isinstance(message, Response):
            visit.method = "response"
            await answer_here(self._gate, visit, b"", status=202)
            return
        if not message.is_request:
            self._cancelled(visit)
            await answer_here(self._gate, visit, b"", status=202)
            return
        methods = MODERN_METHODS if visit.era == "modern" else LEGACY_METHODS
        await methods.get(message.method, unknown)(self._gate, visit)

    def _cancelled(self, visit: Visit) -> None:
        """A legacy client takes a request back (MCP 2025-11-25 cancellation)."""
        raw_id = visit.message.params.get("requestId")
        if visit.message.method != "notifications/cancelled" or visit.session is None:
            return
        running = self._gate.inflight.of_request(visit.session.nonce, bytes(raw_id or b""))
        if running is not None and running.principal == visit.who.id:
            running.cut("cancelled")

    def _unavailable(self, visit: Visit, down: Unavailable) -> None:
        """Say that it cannot be done now; the record waits for nobody, it may be what is down."""
        refusal = Refusal(reason="unavailable", http=503, bytes_in=visit.bytes_in)
        self._gate.recorder.refused(visit.log, None, refusal, None)
        visit.answer.header(b"retry-after: 1")
        visit.answer.end(503, error_body(b"null", UNAVAILABLE, down.detail))

    def _incident(self, visit: Visit, error: Exception) -> None:
        incident = self._gate.ids.new("inc")
        log.error("incident %s: %s", incident, type(error).__name__, exc_info=error)
        refusal = Refusal(reason="internal", http=500, bytes_in=visit.bytes_in)
        self._gate.recorder.refused(visit.log, None, refusal, None)
        text = f"internal error, incident {incident}"
        visit.answer.end(500, error_body(b"null", INTERNAL_ERROR, text))
