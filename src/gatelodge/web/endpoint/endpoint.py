"""The MCP endpoint: each request is let in, read and answered, or turned away; all are recorded.

Every request that reaches the socket leaves its records (guarantee audit:every-request-once): a
forwarded call in `flows.gateway.call`, everything else through `gate.answer_here` and
`gate.refuse_here`. An unknown exception becomes an incident id and the word "internal".
"""

import asyncio
import contextlib
import logging

from gatelodge.core.errors import HouseError, LimitReached, Unavailable
from gatelodge.core.jsontext.jsonrpc import INTERNAL_ERROR, INVALID_REQUEST, UNAVAILABLE, error_body
from gatelodge.core.protocol.bridge.batch import is_batch
from gatelodge.core.protocol.envelope import RequestFault
from gatelodge.core.protocol.version import LEGACY
from gatelodge.core.records.leaves import RequestRefused
from gatelodge.core.records.origin import UNROUTED
from gatelodge.web.endpoint.admit import judge, let_in, log_of, read_body, session_of
from gatelodge.web.endpoint.batch import answer_batch, may_batch
from gatelodge.web.endpoint.context import (
    EndpointContext,
    TurnedAway,
    answer_here,
    refuse_here,
    too_many,
    turn_away,
)
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.reader import Unreadable
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.http.serving import CROWDED, LIGHT, UNREADABLE, FaceTurns
from gatelodge.web.endpoint.methods.listening import legacy_stream
from gatelodge.web.endpoint.methods.tables import method_of
from gatelodge.web.endpoint.origins import AllowedOrigins, readable_by
from gatelodge.web.endpoint.request_context import RequestContext

log = logging.getLogger(__name__)

_ALLOWED = b"allow: POST, GET, DELETE"


class McpEndpoint:
    """Answers requests as tasks of its own; `drain` waits for them."""

    def __init__(self, gate: EndpointContext) -> None:
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[HttpRequest, asyncio.Task[None]] = {}
        self._turns = FaceTurns()

    @property
    def origins(self) -> AllowedOrigins:
        """The Host and Origin values that are taken."""
        return self._gate.origins

    def receive(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Begin to answer a request."""
        # The loop itself holds tasks only weakly.
        self._tasks[request] = self._loop.create_task(self._serve_request(connection, request))

    def judge(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Look at the head of a request that has to wait."""
        judge(self._gate, connection, request)

    def crowded(self, request: HttpRequest) -> None:
        """Its person has too much under way."""
        request.away = turn_away(429, CROWDED, "limit", UNAVAILABLE, b"retry-after: 5")

    def full(self) -> None:
        """Count a connection that found no place, with what it may have asked."""
        # Nothing of the request was read, so no workspace is known to whose log it belongs.
        refusal = RequestRefused(reason="limit", http=503, bytes_in=0)
        self._gate.recorder.refused(UNROUTED, None, refusal, None)

    def turn_away(
        self, connection: ClientConnection, request: HttpRequest, fault: Unreadable
    ) -> None:
        """Answer what could not be read as a request, and close."""
        http, text, reason = UNREADABLE[fault]
        told = RequestFault(http, INVALID_REQUEST, text, reason)
        self._tasks[request] = self._loop.create_task(
            self._answer_unreadable(connection, request, told)
        )

    def gone(self, request: HttpRequest) -> None:
        """Record a request that its client left before it was looked at."""
        refusal = RequestRefused(reason="client_gone", http=0, bytes_in=request.size)
        # Nobody is left to be answered, so nobody waits for this record.
        self._gate.recorder.refused(log_of(self._gate, request.target), None, refusal, None)

    async def drain(self, seconds: float) -> None:
        """Wait for running answers, at most that long."""
        if self._tasks:
            # Nothing is cancelled when time is up: what still runs is cut later, with its record.
            await asyncio.wait(tuple(self._tasks.values()), timeout=seconds)

    async def _serve_request(self, connection: ClientConnection, request: HttpRequest) -> None:
        gate = self._gate
        visit = RequestContext(connection, request, gate.clock.boottime())
        # A page can read a refusal only if this was done before it.
        if b"origin" in request.headers:
            self._open_to_page(visit)
        try:
            if request.away is not None:
                await self._refuse_unread(visit, request)
                return
            # Large bodies that came at once would all be parsed in one round, while others wait.
            if request.size > LIGHT:
                await self._turns.wait()
            let_in(gate, visit)
            # The recorder waits for nothing: the caller's data key has to be in memory before that.
            if gate.deks.current(visit.answerable) is None:
                await gate.deks.ensure(visit.answerable)
            if request.method == b"POST":
                if is_batch(request.body) and may_batch(gate, visit):
                    await answer_batch(gate, visit)
                else:
                    await method_of(gate, visit, read_body(gate, visit))(gate, visit)
            else:
                await self._dispatch_http_method(visit)
        except (TurnedAway, LimitReached) as away:
            await self._turned_away(visit, away)
        except Unavailable as down:
            self._answer_unavailable(visit, down)
        except Exception as error:  # noqa: BLE001 - the web face: whatever it is, say "internal"
            self._answer_incident(visit, error)
        finally:
            # Whatever happened: without this the connection would never begin its next request.
            connection.finish()
            del self._tasks[request]

    async def _answer_unreadable(
        self, connection: ClientConnection, request: HttpRequest, fault: RequestFault
    ) -> None:
        visit = RequestContext(connection, request, self._gate.clock.boottime())
        visit.log = log_of(self._gate, request.target)
        try:
            await refuse_here(self._gate, visit, fault)
        except HouseError:
            # What cannot be recorded is told by its status alone.
            visit.answer.end(503, b"")
        finally:
            connection.finish()
            del self._tasks[request]

    def _open_to_page(self, visit: RequestContext) -> None:
        """Let a page whose origin is allowed read the answer, whatever it is."""
        headers, origins = visit.request.headers, self._gate.origins
        host, origin = headers.get(b"host"), headers[b"origin"]
        # A page that rebinds its name has the same Origin as Host: only the Host tells them apart.
        if origins.host_allowed(host) and origins.origin_allowed(origin, host or b""):
            for line in readable_by(origin):
                visit.answer.header(line)

    async def _refuse_unread(self, visit: RequestContext, request: HttpRequest) -> None:
        """Answer what was turned away by its head; it is not raised again (see `judge`)."""
        away = request.away
        assert isinstance(away, TurnedAway)
        visit.log = log_of(self._gate, request.target)
        await self._turned_away(visit, away)

    async def _turned_away(self, visit: RequestContext, why: TurnedAway | LimitReached) -> None:
        away = too_many(why) if isinstance(why, LimitReached) else why
        for line in away.headers:
            visit.answer.header(line)
        # A failed sign-in was recorded where it was found; a second record would count it twice.
        if away.recorded:
            if away.written is not None:
                # A record that cannot be written lets nobody in: the refusal is told all the same.
                with contextlib.suppress(Unavailable):
                    await away.written
            # No id is known: nothing of a body is read before the credential was good.
            body = error_body(b"null", away.fault.code, away.fault.message)
            visit.answer.end(away.fault.http, body)
            return
        try:
            await refuse_here(self._gate, visit, away.fault)
        except Unavailable as down:
            visit.answer.end(503, error_body(visit.raw_id, UNAVAILABLE, down.detail))

    async def _dispatch_http_method(self, visit: RequestContext) -> None:
        version = visit.request.headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        match visit.request.method:
            case b"GET" | b"DELETE" if version and version not in LEGACY:
                # The modern era has neither (MCP 2026-07-28 basic/transports/streamable-http).
                raise turn_away(
                    405, "use POST", "method_not_allowed", INVALID_REQUEST, b"allow: POST"
                )
            case b"GET":
                visit.session = session_of(self._gate, visit)
                visit.proto = visit.session.version
                await legacy_stream(self._gate, visit)
            case b"DELETE":
                await self._end_session(visit)
            case _:
                raise turn_away(405, "use POST", "method_not_allowed", INVALID_REQUEST, _ALLOWED)

    async def _end_session(self, visit: RequestContext) -> None:
        """End a legacy session with its streams; calls that run in it come to their own end."""
        gate, session = self._gate, session_of(self._gate, visit)
        visit.session = session
        visit.method, visit.proto = "session/end", session.version
        gate.sessions.end(session.nonce, session.ends_at, gate.clock.now(), visit.answerable)
        for running in gate.inflight.of_session(visit.who.id, session.nonce):
            running.cut("cancelled")
        await answer_here(gate, visit, b"")

    def _answer_unavailable(self, visit: RequestContext, down: Unavailable) -> None:
        """Say that it cannot be done now; the record waits for nobody, it may be what is down."""
        refusal = RequestRefused(reason="unavailable", http=503, bytes_in=visit.bytes_in)
        self._gate.recorder.refused(visit.log, None, refusal, None)
        visit.answer.header(b"retry-after: 1")
        visit.answer.end(503, error_body(visit.raw_id, UNAVAILABLE, down.detail))

    def _answer_incident(self, visit: RequestContext, error: Exception) -> None:
        incident = self._gate.ids.new("inc")
        log.error("incident %s: %s", incident, type(error).__name__, exc_info=error)
        # Nobody waits for this record: whatever failed may be what would write it.
        refusal = RequestRefused(reason="internal", http=500, bytes_in=visit.bytes_in)
        self._gate.recorder.refused(visit.log, None, refusal, None)
        text = f"internal error, incident {incident}"
        visit.answer.end(500, error_body(visit.raw_id, INTERNAL_ERROR, text))
