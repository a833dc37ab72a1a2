"""The face of the admin API: what comes over a connection is judged, answered and counted.

Host and Origin are looked at before anything else, and a body is read only from whom a token names.
What is refused leaves its record: a bad token is counted, anything else is a `request.refused`, in
the caller's workspace where there is one. What the local operator does is not counted here; changes
stand in the gov log whoever makes them.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

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
from gatelodge.core.records.leaves import RefusedReason
from gatelodge.core.records.origin import DOOR, calls_log
from gatelodge.flows.audit.recorder import Caller as RecordedCaller
from gatelodge.flows.audit.recorder import Recorder
from gatelodge.flows.audit.tallies import Refusal
from gatelodge.flows.identity.authenticate import failure
from gatelodge.web import problems
from gatelodge.web.api.asgi import AsgiApp, Exchange, rendered
from gatelodge.web.api.door import OPENAPI_PATH, UNPROVEN, bearer, identify
from gatelodge.web.api.gate import LOCAL, AdminGate, Caller
from gatelodge.web.endpoint.http.connection import HttpConnection, HttpRequest, Unreadable
from gatelodge.web.endpoint.http.turns import LIGHT, Turns
from gatelodge.web.endpoint.origins import NOT_SERVED, Origins

_UNREADABLE: dict[Unreadable, tuple[int, str]] = {
    "malformed": (400, "the request is malformed"),
    "head": (431, "the head is too large"),
    "body": (413, "the body is too large"),
    "version": (505, "speak HTTP/1.1"),
    "strangers": (503, "too much is being sent by others; try again"),
}
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
    who: Caller | None = None


class _Leave:
    """Under which what was read leaves (`Permit`): its reader is still who the token said."""

    def __init__(
        self, gate: AdminGate, recorder: Recorder, request: HttpRequest, who: Caller
    ) -> None:
        self._gate = gate
        self._recorder = recorder
        self._headers = request.headers
        self._who = who

    def holds(self) -> bool:
        """Say whether this node may answer them now."""
        with contextlib.suppress(HouseError):
            return identify(self._gate, self._headers) == self._who
        return False

    def withheld(self) -> None:
        """Record that what was read did not leave."""
        refusal = Refusal(reason="stale", http=0, bytes_in=0)
        self._recorder.refused(DOOR, None, refusal, None)


class ApiFace:
    """Serves the admin API; `app` is awaited by requests that come before it is loaded."""

    def __init__(
        self,
        gate: AdminGate,
        recorder: Recorder,
        origins: Origins,
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
        self._under_way: Counter[str] = Counter()
        self._turns = Turns()

    def receive(self, connection: HttpConnection, request: HttpRequest) -> None:
        """Begin to answer a request."""
        self._begin(connection, request, self._serve(connection, request))

    def judge(self, connection: HttpConnection, request: HttpRequest) -> None:
        """Look at a request's head: where it comes from, and whose body would be read."""
        request.judged = True
        try:
            request.person = self._judged(connection, request)
        except HouseError as error:
            request.away = error.with_traceback(None)

    def crowded(self, request: HttpRequest) -> None:
        """Its person has too much under way."""
        text = "too much of what you sent, or did not read, is under way (limits.person_bytes)"
        request.away = LimitReached(text, retry_after=5.0)

    def turn_away(
        self, connection: HttpConnection, request: HttpRequest, fault: Unreadable
    ) -> None:
        """Answer what could not be read as a request, and close."""
        status, text = _UNREADABLE[fault]
        told = problems.problem(Invalid(text))
        reply = _told(msgspec.structs.replace(told, status=status))
        reply.reason = _REASONS.get(status, "malformed_http")
        if fault == "strangers":
            reply.reason = "limit"
        self._begin(connection, request, self._answer(connection, request, reply))

    def gone(self, request: HttpRequest) -> None:
        """Record a request that its client left before it was looked at."""
        if not self._local:
            refusal = Refusal(reason="client_gone", http=0, bytes_in=request.size)
            self._recorder.refused(DOOR, None, refusal, None)

    async def drain(self, seconds: float) -> None:
        """Wait for running answers, at most that long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    # inside

    def _begin(
        self,
        connection: HttpConnection,
        request: HttpRequest,
        work: Coroutine[None, None, None],
    ) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            fault = None if task.cancelled() else task.exception()
            if fault is not None:
                told = _told(problems.unexpected(fault, self._gate.ids.new("inc")))
                connection.write(
                    rendered(connection, request, told.status, told.headers, told.body)
                )
            connection.finish()

        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(ended)

    def _judged(self, connection: HttpConnection, request: HttpRequest) -> str:
        """Whose account a body is read on; empty when there is none. Raises HouseError."""
        headers = request.headers
        if request.repeated:
            raise Invalid(f"header {request.repeated.decode('latin-1')} stands twice")
        if self._local:
            return LOCAL
        host = headers.get(b"host")
        if host is None:
            raise Invalid("Host is missing")
        if not self._origins.host_allowed(host):
            raise Forbidden(NOT_SERVED, remedy="Set listen.public_url or listen.allowed_hosts.")
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        if not has_body:
            named = self._named(headers)
            return "" if named is None else named.by
        caller = identify(self._gate, headers)
        if isinstance(caller, str):
            raise Unauthenticated(UNPROVEN)
        connection.known(caller.by)
        return caller.by

    def _named(self, headers: dict[bytes, bytes]) -> Caller | None:
        """Who asks, if anybody: without a body some routes are open, the door knows which."""
        with contextlib.suppress(HouseError):
            caller = identify(self._gate, headers)
            return None if isinstance(caller, str) else caller
        return None

    async def _serve(self, connection: HttpConnection, request: HttpRequest) -> None:
        if not request.judged:
            self.judge(connection, request)
        if request.away is not None:
            reply = self._turned_away(request)
        elif request.person != LOCAL and self._under_way[request.person] >= MOST_AT_ONCE:
            text = "too many of your requests are being answered at once"
            reply = _told(problems.problem(LimitReached(text, retry_after=1.0)))
            reply.who = self._named(request.headers)
        else:
            reply = await self._counted(connection, request)
        await self._answer(connection, request, reply)

    async def _counted(self, connection: HttpConnection, request: HttpRequest) -> _Reply:
        """Have it answered; each that is under way is counted against its person."""
        person = request.person
        if not person:
            return await self._asked(connection, request)
        self._under_way[person] += 1
        try:
            return await self._asked(connection, request)
        finally:
            self._under_way[person] -= 1
            if not self._under_way[person]:
                del self._under_way[person]

    def _turned_away(self, request: HttpRequest) -> _Reply:
        why = request.away
        assert isinstance(why, HouseError)
        reply = _told(problems.problem(why))
        if isinstance(why, Unauthenticated):
            found = identify(self._gate, request.headers)
            reply.auth = found if isinstance(found, str) else "unknown"
        elif why.detail == NOT_SERVED:
            reply.reason = "origin_not_allowed"
        return reply

    async def _asked(self, connection: HttpConnection, request: HttpRequest) -> _Reply:
        if request.size > LIGHT:
            await self._turns.wait()
        if request.method == b"OPTIONS" and self._origins.origin_allowed(
            request.headers.get(b"origin")
        ):
            return _told(_NO_OPTIONS)
        too_much = burden(request.body, self._gate.settings.limits.json_depth, MOST_VALUES)
        if too_much:
            return _told(problems.problem(Invalid(too_much)))
        app = self._app.result() if self._app.done() else await asyncio.shield(self._app)
        exchange = Exchange(connection, request, local=self._local)
        await exchange.run(app)
        state = exchange.scope["state"]
        caller = state.get("caller")
        who = caller if isinstance(caller, Caller) and not caller.local else None
        if who is not None:
            connection.known(who.by)
        status = exchange.status
        reply = _Reply(status, exchange.headers, exchange.body, _reason(status), who=who)
        reply.auth = str(state.get("auth_failed", "unknown"))
        if state.get("foreign"):
            reply.reason = "origin_not_allowed"
        return reply

    async def _answer(
        self, connection: HttpConnection, request: HttpRequest, reply: _Reply
    ) -> None:
        leave: _Leave | None = None
        if reply.who is not None and request.method in _READING:
            # Of a change the one who made it is told, also where it ended their own access.
            leave = _Leave(self._gate, self._recorder, request, reply.who)
            if not leave.holds():
                text = "your access ended, or could not be confirmed, while this was read"
                reply = _told(problems.problem(Stale(text, retry_after=1.0)))
                reply.reason, leave = "stale", None
        if reply.status >= 400 and not self._local:
            with contextlib.suppress(HouseError):
                await self._record(request, reply)
        answer = (reply.status, reply.headers, reply.body)
        connection.permit = leave
        connection.write(rendered(connection, request, *answer))

    async def _record(self, request: HttpRequest, reply: _Reply) -> None:
        """Count a refusal; it is told once its record is durable, or the disk is slow."""
        written: asyncio.Future[None] = self._loop.create_future()
        if reply.status == 401:
            header = request.headers.get(b"authorization")
            view, peppers = self._gate.view(), self._gate.peppers
            told, whose = failure(view, peppers, header, reply.auth, DOOR)
            self._recorder.auth_failed(DOOR, told, written, whose)
        else:
            refusal = Refusal(reason=reply.reason, http=reply.status, bytes_in=request.size)
            log, who = await self._recorded(request, reply)
            self._recorder.refused(log, who, refusal, written)
        done, _ = await asyncio.wait((written,), timeout=_RECORD_SECONDS)
        for each in done:
            each.exception()  # a refusal is told also where it cannot be written down

    async def _recorded(
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
            sender = self._sender(request.headers)
        if sender is not None:
            with contextlib.suppress(Unavailable):
                await self._gate.deks.ensure(sender[1].member)
                return calls_log(sender[0]), sender[1]
        return DOOR, None

    def _sender(self, headers: dict[bytes, bytes]) -> tuple[str, RecordedCaller] | None:
        """The workspace of whoever's token was sent, and how they are recorded."""
        with contextlib.suppress(HouseError):
            found = bearer(self._gate, headers)
            if isinstance(found, str):
                return None
            who = self._gate.view().principals[found.principal]
            if who.owner is None:
                return found.workspace, RecordedCaller(who.id, who.id, "", found.id)
            return found.workspace, RecordedCaller(who.id, who.owner.id, who.id, found.id)
        return None


def _told(told: problems.Problem) -> _Reply:
    fields = [(k.encode(), v.encode()) for k, v in problems.headers(told)]
    return _Reply(told.status, fields, problems.body(told), _reason(told.status))


def _reason(status: int) -> RefusedReason:
    return _REASONS.get(status, "invalid_request")
