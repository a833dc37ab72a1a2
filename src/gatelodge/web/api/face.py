"""The face of the admin API: what comes over a connection is judged, answered and counted.

Host and Origin are looked at before anything else, and a body is read only from whom a token names.
What is refused leaves its record: a bad token is counted, anything else is a `request.refused`, in
the caller's workspace where there is one. What the local operator does is not counted here; changes
stand in the gov log whoever makes them.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

from gatelodge.core.access.shares import PersonShares
from gatelodge.core.errors import (
    Forbidden,
    HouseError,
    Invalid,
    LimitReached,
    Stale,
    Unauthenticated,
    Unavailable,
)
from gatelodge.core.jsontext.weight import burden
from gatelodge.core.records.leaves import RefusedReason, RequestRefused
from gatelodge.core.records.origin import UNROUTED, calls_log
from gatelodge.flows.audit.recorder import AuditRecorder, RecordedCaller
from gatelodge.web import problems
from gatelodge.web.api.asgi import AsgiApp, AsgiExchange, rendered
from gatelodge.web.api.authentication import (
    OPENAPI_PATH,
    PROBES,
    UNPROVEN,
    ReaderLeave,
    identify,
)
from gatelodge.web.api.context import LOCAL, AdminCaller, AdminContext
from gatelodge.web.endpoint.http.answer import HttpAnswer
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.events import EventSource, send_events
from gatelodge.web.endpoint.http.reader import Unreadable
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.http.serving import CROWDED, LIGHT, UNREADABLE, FaceTurns, look_at
from gatelodge.web.endpoint.origins import NOT_SERVED, AllowedOrigins

_REASONS: dict[int, RefusedReason] = {
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    429: "limit",
    431: "too_large",
    500: "internal",
    503: "unavailable",
}
MOST_AT_ONCE = 16
"""Requests of one person that are answered at once; for strangers nothing is read."""
MOST_VALUES = 100_000
"""Values of one request's JSON: here each of them is read, and most are checked one by one."""
_READING = (b"GET", b"HEAD")
_STREAMED = (b"GET", b"POST")
_OWN_FIELDS = frozenset((b"content-type", b"content-length", b"cache-control", b"connection"))
"""What a stream of events says itself in its head."""
_RECORD_SECONDS = 1.0
"""How long a refusal waits for its record: whoever mends a gate whose disk hangs needs answers."""


_NO_OPTIONS: Final = msgspec.structs.replace(
    problems.problem(
        Invalid("this route does not take that method", remedy=f"See {OPENAPI_PATH}.")
    ),
    status=405,
    title=HTTPStatus.METHOD_NOT_ALLOWED.phrase,
)
"""Nobody asks which methods a route takes before they use one: pages of others may not ask."""


class _Reply(Struct):
    """What is answered, and how it is recorded."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    reason: RefusedReason = "invalid_request"
    auth: str = ""
    who: AdminCaller | None = None
    source: EventSource | None = None
    """What goes on being told, where the answer is a stream of events."""


class ApiFace:
    """Serves the admin API; `app` is awaited by requests that come before it is loaded."""

    def __init__(
        self,
        gate: AdminContext,
        recorder: AuditRecorder,
        origins: AllowedOrigins,
        app: "asyncio.Future[AsgiApp]",
        *,
        local: bool,
    ) -> None:
        self._gate = gate
        self._recorder = recorder
        self._origins = origins
        self._app = app
        self._local = local
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = PersonShares()
        self._turns = FaceTurns()
        self._sources: set[EventSource] = set()

    def receive(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Begin to answer a request."""
        self._start_task(connection, request, self._serve_request(connection, request))

    def judge(self, connection: ClientConnection, request: HttpRequest) -> None:
        """Look at a request's head: where it comes from, and whose body would be read."""
        request.judged = True
        try:
            request.person = self._admitted_person(connection, request)
        except HouseError as error:
            # Its frames hold the request, which shall hold it: only a collector would free the two.
            request.away = error.with_traceback(None)

    def crowded(self, request: HttpRequest) -> None:
        """Its person has too much under way."""
        request.away = LimitReached(CROWDED, retry_after=5.0)

    def turn_away(
        self, connection: ClientConnection, request: HttpRequest, fault: Unreadable
    ) -> None:
        """Answer what could not be read as a request, and close."""
        status, text, reason = UNREADABLE[fault]
        told = problems.problem(Invalid(text))
        reply = _reply_of_problem(msgspec.structs.replace(told, status=status))
        reply.reason = reason
        self._start_task(connection, request, self._send_reply(connection, request, reply))

    def gone(self, request: HttpRequest) -> None:
        """Record a request that its client left before it was looked at."""
        if not self._local:
            refusal = RequestRefused(reason="client_gone", http=0, bytes_in=request.size)
            self._recorder.refused(UNROUTED, None, refusal, None)

    def end_streams(self) -> None:
        """End every stream of events: none has an end of its own."""
        for each in tuple(self._sources):
            each.close()

    async def drain(self, seconds: float) -> None:
        """Wait for running answers, at most that long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    # inside

    def _start_task(
        self,
        connection: ClientConnection,
        request: HttpRequest,
        work: Coroutine[None, None, None],
    ) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            fault = None if task.cancelled() else task.exception()
            try:
                if fault is not None:
                    self._answer_incident(connection, request, fault)
            finally:
                # Also after a fault: the connection would else never begin its next request.
                connection.finish()

        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(ended)

    def _answer_incident(
        self, connection: ClientConnection, request: HttpRequest, fault: BaseException
    ) -> None:
        told = _reply_of_problem(problems.unexpected(fault, self._gate.ids.new("inc")))
        connection.write(rendered(connection, request, told.status, told.headers, told.body))
        if not self._local:
            # Nobody waits for this record: whatever failed may be what would write it.
            refusal = RequestRefused(reason="internal", http=told.status, bytes_in=request.size)
            self._recorder.refused(UNROUTED, None, refusal, None)

    def _admitted_person(self, connection: ClientConnection, request: HttpRequest) -> str:
        """Whose account a body is read on; empty when there is none. Raises HouseError."""
        headers = request.headers
        if request.repeated:
            raise Invalid(f"header {request.repeated.decode('latin-1')} stands twice")
        # The local socket is a file of mode 0600: whoever can open it is the operator.
        if self._local:
            return LOCAL
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        if not has_body and _is_probe(request):
            return ""  # whoever it is, they learn one word
        host = headers.get(b"host")
        if host is None:
            raise Invalid("Host is missing")
        if not self._origins.host_allowed(host):
            raise Forbidden(NOT_SERVED, remedy="Set listen.public_url or listen.allowed_hosts.")
        if not has_body:
            named = self._identified_caller(headers)
            return "" if isinstance(named, str) else named.by
        caller = identify(self._gate, headers)
        if isinstance(caller, str):
            raise Unauthenticated(UNPROVEN)
        # Known before the body is read: from here its bytes are this person's, no stranger's.
        connection.known(caller.by)
        return caller.by

    def _identified_caller(self, headers: dict[bytes, bytes]) -> AdminCaller | str:
        """Who asks, or why nobody is known: without a body some routes are open to anybody."""
        with contextlib.suppress(HouseError):
            return identify(self._gate, headers)
        return "unknown"

    async def _serve_request(self, connection: ClientConnection, request: HttpRequest) -> None:
        if not request.judged:
            self.judge(connection, request)
        if request.away is not None:
            reply = self._turned_away(request)
        elif request.person != LOCAL and self._under_way.of(request.person) >= MOST_AT_ONCE:
            text = "too many of your requests are being answered at once"
            reply = _reply_of_problem(problems.problem(LimitReached(text, retry_after=1.0)))
            named = self._identified_caller(request.headers)
            reply.who = None if isinstance(named, str) else named
        else:
            reply = await self._run_counted_request(connection, request)
        if reply.source is None:
            await self._send_reply(connection, request, reply)
        else:
            await self._send_stream(connection, request, reply, reply.source)

    async def _run_counted_request(
        self, connection: ClientConnection, request: HttpRequest
    ) -> _Reply:
        """Have it answered; each that is under way is counted against its person."""
        person = request.person
        if not person:
            return await self._run_request(connection, request)
        self._under_way.take(person)
        try:
            return await self._run_request(connection, request)
        finally:
            self._under_way.give(person)

    def _turned_away(self, request: HttpRequest) -> _Reply:
        why = request.away
        assert isinstance(why, HouseError)
        reply = _reply_of_problem(problems.problem(why))
        if isinstance(why, Unauthenticated):
            # `unknown` also where it would be answered otherwise by now.
            now = self._identified_caller(request.headers)
            reply.auth = now if isinstance(now, str) else "unknown"
        elif why.detail == NOT_SERVED:
            reply.reason = "origin_not_allowed"
        return reply

    async def _run_request(self, connection: ClientConnection, request: HttpRequest) -> _Reply:
        if request.size > LIGHT:
            await self._turns.wait()
        if request.method == b"OPTIONS" and self._origins.origin_allowed(
            request.headers.get(b"origin")
        ):
            return _reply_of_problem(_NO_OPTIONS)
        # The framework parses a body before any route sees it, so it is weighed here.
        too_much = burden(request.body, self._gate.settings.limits.json_depth, MOST_VALUES)
        if too_much:
            return _reply_of_problem(problems.problem(Invalid(too_much)))
        # Shielded: who is cancelled here must not end the loading that others wait for.
        app = self._app.result() if self._app.done() else await asyncio.shield(self._app)
        exchange = AsgiExchange(connection, request, local=self._local)
        await exchange.run(app)
        state = exchange.scope["state"]
        caller = state.get("caller")
        who = caller if isinstance(caller, AdminCaller) and not caller.local else None
        if who is not None:
            connection.known(who.by)
        status = exchange.status
        reply = _Reply(status, exchange.headers, exchange.body, _reason_for_status(status), who=who)
        reply.auth = str(state.get("auth_failed", "unknown"))
        reply.source = state.get("source")
        if state.get("foreign"):
            reply.reason = "origin_not_allowed"
        return reply

    async def _send_stream(
        self,
        connection: ClientConnection,
        request: HttpRequest,
        reply: _Reply,
        source: EventSource,
    ) -> None:
        """Send what a route goes on telling; it is under way no more, and has bounds of its own."""
        self._sources.add(source)
        try:
            connection.on_gone = source.close
            if reply.who is None or request.method not in _STREAMED or reply.status >= 400:
                await self._send_reply(connection, request, reply)
                return
            answer = HttpAnswer(connection, request)
            for name, value in reply.headers:
                if name not in _OWN_FIELDS:
                    answer.header(name + b": " + value)
            leave: ReaderLeave | None = None
            if request.method in _READING:
                leave = ReaderLeave(self._gate, self._recorder, request, reply.who)
            await send_events(connection, answer, source, leave)
        except Exception:
            # Part of the answer is out: what else is written would be read as more of it.
            connection.abort()
            raise
        finally:
            self._sources.discard(source)
            source.close()

    async def _send_reply(
        self, connection: ClientConnection, request: HttpRequest, reply: _Reply
    ) -> None:
        leave: ReaderLeave | None = None
        if reply.who is not None and request.method in _READING:
            # Of a change the one who made it is told, also where it ended their own access.
            leave = ReaderLeave(self._gate, self._recorder, request, reply.who)
            if not leave.holds():
                text = "your access ended, or could not be confirmed, while this was read"
                reply = _reply_of_problem(problems.problem(Stale(text, retry_after=1.0)))
                reply.reason, leave = "stale", None
        unready = reply.status == 503 and _is_probe(request)  # an answer to a probe, no refusal
        if reply.status >= 400 and not self._local and not unready:
            with contextlib.suppress(HouseError):
                await self._record_refusal(request, reply)
        answer = (reply.status, reply.headers, reply.body)
        connection.permit = leave
        connection.write(rendered(connection, request, *answer))

    async def _record_refusal(self, request: HttpRequest, reply: _Reply) -> None:
        """Count a refusal; it is told once its record is durable, or the disk is slow."""
        written: asyncio.Future[None] = self._loop.create_future()
        # A refusal is told also where it cannot be written down, and may be before that is known.
        written.add_done_callback(look_at)
        if reply.status == 401:
            header = request.headers.get(b"authorization")
            told, whose = self._gate.authenticator.recorded_failure(header, reply.auth, UNROUTED)
            self._recorder.auth_failed(UNROUTED, told, written, whose)
        else:
            refusal = RequestRefused(reason=reply.reason, http=reply.status, bytes_in=request.size)
            log, who = await self._log_and_caller(request, reply)
            self._recorder.refused(log, who, refusal, written)
        await asyncio.wait((written,), timeout=_RECORD_SECONDS)

    async def _log_and_caller(
        self, request: HttpRequest, reply: _Reply
    ) -> tuple[str, RecordedCaller | None]:
        """The log of a refusal, and the caller where they can be named there.

        Whoever sent a good token is named whatever it was refused for, an agent's too; only where
        a request came from is judged before anybody is asked who they are.
        """
        who = reply.who
        sender: tuple[str, RecordedCaller] | None = None
        if who is not None:
            sender = who.workspace, RecordedCaller(who.by, who.by, "", who.credential)
        elif reply.reason != "origin_not_allowed":
            with contextlib.suppress(HouseError):
                header = request.headers.get(b"authorization")
                found = self._gate.authenticator.authenticate(header)
                if not isinstance(found, str):
                    sender = found.who.workspace, found.recorded
        if sender is not None:
            with contextlib.suppress(Unavailable):
                # The recorder waits for nothing: the caller's data key has to be in memory before.
                await self._gate.deks.ensure(sender[1].member)
                return calls_log(sender[0]), sender[1]
        return UNROUTED, None


def _is_probe(request: HttpRequest) -> bool:
    return request.method in _READING and request.target.partition(b"?")[0] in PROBES


def _reply_of_problem(told: problems.ProblemDocument) -> _Reply:
    fields = [(k.encode(), v.encode()) for k, v in problems.headers(told)]
    return _Reply(told.status, fields, problems.body(told), _reason_for_status(told.status))


def _reason_for_status(status: int) -> RefusedReason:
    return _REASONS.get(status, "invalid_request")
