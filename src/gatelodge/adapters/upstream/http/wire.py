"""MCP over streamable HTTP, in both eras, on the connections of one `HttpClient`.

Modern: each request tells all about itself, in `_meta` and in headers; closing its connection is
cancelling it. Legacy: one session for each link, kept by its id, begun anew when the server lost
it. What speaks neither may speak HTTP with SSE, which has a wire of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from msgspec import UNSET, Raw

from gatelodge.adapters.upstream.flight import Break, Flight, Means
from gatelodge.adapters.upstream.hearing import Hearing
from gatelodge.adapters.upstream.http.client import HttpClient
from gatelodge.adapters.upstream.http.connection.connection import HttpConnection
from gatelodge.adapters.upstream.http.dial import Target, connect, parse_target
from gatelodge.adapters.upstream.http.doubts.credentials import Credentials
from gatelodge.adapters.upstream.http.doubts.session import SessionDoubt
from gatelodge.adapters.upstream.http.errands import TELL_SECONDS, Errands
from gatelodge.adapters.upstream.http.exchange import Fields
from gatelodge.adapters.upstream.http.flight import HttpFlight
from gatelodge.adapters.upstream.http.head import Heads, request_wire
from gatelodge.adapters.upstream.http.meeting import Meeting, Met
from gatelodge.adapters.upstream.http.resume import Resumption
from gatelodge.adapters.upstream.http.sse import SseWire
from gatelodge.adapters.upstream.http.turn import Listening, Reading
from gatelodge.adapters.upstream.watch import LISTEN_FIRST, LISTEN_LAST, keep_subscribed, listen
from gatelodge.adapters.upstream.wire import Desk, Told
from gatelodge.core.catalog.server import EraWish, HttpTransport
from gatelodge.core.errors import (
    HouseError,
    UpstreamBrokeProtocol,
    UpstreamUnreachable,
)
from gatelodge.core.protocol import upstream, upstream_status
from gatelodge.core.protocol.upstream import Message, Unreadable, parse_fault, read_message
from gatelodge.core.protocol.upstream_era import Can, Hello, capable
from gatelodge.core.protocol.version import HEADER_MISMATCH
from gatelodge.ports.upstream import Reply, Request

STREAM_SECONDS = 1.0
"""How long a request waits for a session's own stream to be open."""

_ASKED_IN_VAIN = "The server lost its session while a question of it was open."


class HttpWire:
    """One server over HTTP. The link opens it, waits until it breaks, and opens it again."""

    kind = HttpFlight
    wakes = True

    def __init__(self, transport: HttpTransport, wish: EraWish, means: Means, desk: Desk) -> None:
        self._transport = transport
        self._wish = wish
        self._means = means
        self._desk = desk
        self._client = HttpClient(self._dial)
        self._errands = Errands(self._client)
        self._hearing = Hearing(desk, self.say)
        self._resumption = Resumption(self._client)
        self._credentials = Credentials(transport, means.secrets)
        self._doubt = SessionDoubt(self._errands, desk)
        self._target: Target | None = None
        self._heads: Heads | None = None
        self._session = b""
        self._met = False
        self._epoch = 0
        self._modern = False
        self._can = Can()
        self._stream: Listening | None = None

    async def open(self) -> Hello:
        """Meet the server and agree on an era. Raises UpstreamError or KeyUnreachable."""
        self._target = parse_target(self._transport)
        heads = self._heads = Heads(self._target, self._credentials.read(), self._means.version)
        self._session = b""
        self._modern = False
        self._epoch += 1
        meeting = Meeting(heads, self._errands, self._means, self._desk.flights.numbers)
        hello = None
        if self._wish != "legacy":
            hello = await meeting.discover(only=self._wish == "modern")
        if hello is None:
            met = await meeting.initialize(self._desk.asker)
            if not isinstance(met, Met):
                return await self._open_older(heads, met)
            hello, self._session = met.hello, met.session
            await self._open_stream()
        self._modern = hello.era == "modern"
        self._hearing.era = hello.era
        self._can = capable(hello.capabilities)
        self._met = True
        return hello

    async def _open_older(self, heads: Heads, fault: HouseError) -> Hello:
        """Meet the server over HTTP with SSE; `fault` is why that is tried, and told if in vain."""
        older = SseWire(self, self._transport, heads, self._errands, self._means, self._desk)
        self._desk.rewire(older)
        try:
            return await older.open()
        except BaseException as failed:
            await older.let_go()
            if isinstance(failed, UpstreamUnreachable):
                raise fault from None
            raise

    def transmit(self, flight: Flight) -> None:
        """Write the request (hot path)."""
        assert isinstance(flight, HttpFlight)
        assert self._heads is not None
        request = flight.request
        if self._modern:
            asker = request.asker
            opening = upstream.modern_meta(
                self._means.version, request.client, asker.capabilities, flight.level
            )
            head = self._heads.modern(request)
        else:
            opening = b"{"
            head = self._heads.legacy
        meta = upstream.meta_bytes(opening, request.meta, flight.progress)
        body = upstream.request_bytes(flight.number, request.method, request.params, meta)
        flight.wire = request_wire(head, body)
        flight.owner = self
        flight.in_session = bool(self._session)
        flight.epoch = self._epoch
        flight.renewals = self._heads.renewals
        flight.last = b""
        flight.events = None
        self._client.send(flight)

    def cancel(self, flight: Flight, reason: str, refusals: tuple[bytes, ...]) -> None:
        """Tell the server that nobody waits: by closing (modern), or in words (legacy)."""
        assert isinstance(flight, HttpFlight)
        seen = self._client.forget(flight) or flight.last
        if seen and not self._modern:
            self.say(upstream.cancelled_bytes(flight.number, reason), *refusals)

    def respond(self, flight: Flight, response: bytes, admitted: Callable[[], bool]) -> None:
        """POST a response of ours (2025-11-25 transports: answered by 202)."""
        assert self._heads is not None
        if flight.epoch == self._epoch:
            failed = partial(self._not_told, flight)
            self._errands.deliver(self._heads.legacy, response, failed, admitted)
        else:  # the session that it was asked in is gone, and nobody there waits any more
            assert isinstance(flight, HttpFlight)
            self._client.forget(flight)
            self._desk.flights.fail(flight, UpstreamBrokeProtocol(_ASKED_IN_VAIN))

    def say(self, message: bytes, *more: bytes) -> None:
        """Tell the server something, one after the other, without waiting for it."""
        if self._heads is not None:
            self._errands.say(self._heads.legacy, message, *more)

    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""
        self._client.sweep(now)

    def told(self) -> Told:
        """How many connections are open."""
        refused = self._credentials.told
        return Told(isolation="remote", connections=self._client.size, detail=refused)

    async def let_go(self) -> None:
        """Connections that carry nothing are not trusted after a loss; the others may finish."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._met = False
        self._client.close_idle()

    async def shut(self) -> None:
        """End the session and every connection."""
        await self._errands.close()
        if self._session and self._heads is not None and self._met:
            with contextlib.suppress(HouseError):  # the server ends it by itself, in time
                await self._errands.read(Reading(self._heads.ending()), 1.0)
        await self._client.close()

    def answered(self, flight: HttpFlight, status: int, fields: Fields, body: bytes) -> None:
        """A whole answer to a flight (hot path)."""
        flights = self._desk.flights
        if status == 200:
            message = read_message(body)
            if isinstance(message, Unreadable):
                done = self._hearing.garbled(body, message, flight)
            else:
                done = self._settled(flight, message)
            if not done:
                text = "The server ended its answer without a JSON-RPC response to the request."
                self._ended_early(flight, UpstreamBrokeProtocol(text))
            return
        if flight.last:  # it is the rest of a stream that was refused, not the request
            text = f"The server refused the rest of its stream (HTTP {status})."
            flights.fail(flight, UpstreamBrokeProtocol(text))
            return
        wait = upstream_status.retry_after(fields.get(b"retry-after", b""))
        judged = upstream_status.rejected(
            status, body, flight.number, session=flight.in_session, wait=wait
        )
        if isinstance(judged, Raw):
            self._erred(flight, judged)
        elif judged == "session_lost":
            self._doubted(flight, status, body)
        elif status != 401 or not self._renewed(flight):
            flights.fail(flight, judged)

    def heard(self, flight: HttpFlight, event: bytes) -> bool:
        """An event on a flight's stream; true when it was the response."""
        message = read_message(event)
        if isinstance(message, Unreadable):
            return self._hearing.garbled(event, message, flight)
        if message.method:
            self._hearing.take(message, flight)
            return False
        return self._settled(flight, message)

    def lost(self, flight: HttpFlight, fault: HouseError) -> None:
        """A flight's exchange broke."""
        self._ended_early(flight, fault)
        if not isinstance(fault, UpstreamUnreachable) or self._client.well:
            return
        if flight.epoch == self._epoch:
            self._desk.broke(Break(UpstreamUnreachable(fault.detail, remedy=fault.remedy)))

    def _ended_early(self, flight: HttpFlight, fault: HouseError) -> None:
        """A stream that numbers its events may go on; anything else ended for good."""
        heads = None if self._modern or flight.epoch != self._epoch else self._heads
        if heads is None or not self._resumption.takes(flight, fault, heads):
            self._desk.flights.fail(flight, fault)

    def _settled(self, flight: HttpFlight, message: Message) -> bool:
        if message.id != flight.number or message.method:
            return False
        self._credentials.accepted()
        if message.error is not UNSET:
            self._erred(flight, message.error)
        elif message.result is not UNSET:
            self._desk.flights.settle(flight, Reply(result=message.result))
        else:
            return False
        return True

    def _erred(self, flight: HttpFlight, error: Raw) -> None:
        """The server's own error; headers that do not fit its tool tell that the tool changed."""
        self._desk.flights.settle(flight, Reply(error=error))
        if self._modern and parse_fault(error).code == HEADER_MISMATCH:
            self._desk.changed()

    def _renewed(self, flight: HttpFlight) -> bool:
        """True when a flight that was refused is sent once more, with a secret that is new.

        The answer says that it was not run.
        """
        assert self._heads is not None
        own = self._credentials.refused(flight.request.asker.principal)
        if own is not None:
            self._heads.renew(own)
        if flight.replayed or flight.renewals == self._heads.renewals:
            return False
        flight.replayed = True
        self._desk.hold(flight)
        return True

    def _doubted(self, flight: HttpFlight, status: int, body: bytes) -> None:
        """Its session may be lost, or the server refused this one request in words like these."""
        assert self._heads is not None
        if flight.epoch != self._epoch:
            self._session_lost(flight)
            return

        def told(lost: bool) -> None:  # noqa: FBT001 - as it is heard
            if self._desk.flights.open.get(flight.number) is not flight:
                return
            if lost or flight.epoch != self._epoch:
                self._session_lost(flight)
                return
            number = flight.number
            judged = upstream_status.rejected(status, body, number, session=False, wait=0.0)
            if isinstance(judged, Raw):
                self._erred(flight, judged)
            elif isinstance(judged, HouseError):
                self._desk.flights.fail(flight, judged)

        self._doubt.ask(self._heads.legacy, told)

    def _session_lost(self, flight: HttpFlight) -> None:
        """Send the flight once more in a new session: this answer says that it was not run."""
        if flight.epoch == self._epoch:
            self._begin_anew()
        if flight.replayed:
            text = "The server lost its session twice in a row."
            self._desk.flights.fail(flight, UpstreamUnreachable(text))
            return
        flight.replayed = True
        self._desk.hold(flight)

    def _begin_anew(self) -> None:
        self._desk.broke(Break(UpstreamUnreachable("The server lost its session."), at_once=True))

    def _not_told(self, flight: Flight, status: int, fault: HouseError | None) -> None:
        """The answer to a server's question did not reach it, or it does not know the question.

        A question that it does not know any more may have been given up: its call goes on.
        """
        assert isinstance(flight, HttpFlight)
        if fault is not None:
            self._client.forget(flight)
            self.lost(flight, fault)
        elif status == 404 and self._session:
            self._client.forget(flight)
            self._desk.flights.fail(flight, UpstreamBrokeProtocol(_ASKED_IN_VAIN))
            if flight.epoch == self._epoch:
                self._begin_anew()

    async def _dial(self) -> HttpConnection:
        assert self._target is not None
        tls = self._means.tls() if self._target.tls else None
        return await connect(self._target, lambda: HttpConnection(self._client), tls)

    async def listen(self) -> None:
        """Hear of changes, and keep the watched resources watched, while this task lives."""
        if self._modern:
            await listen(self._desk, self._can, self._listening)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_subscribed(self._desk, self._can, self._subscribe))
            if self._stream is not None:
                group.create_task(self._keep_stream(self._stream))

    async def _open_stream(self) -> None:
        """Open the session's own stream: a server may ask there, and waits until it is answered.

        In a session of somebody's own that is waited for: what is asked before reaches nobody.
        """
        if self._stream is not None:
            self._stream.close()  # of a session that was lost before it was heard
        stream = self._stream = self._new_stream()
        if not self._desk.shared:
            await asyncio.wait(
                (stream.opened, stream.ended),
                timeout=STREAM_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )

    def _listening(self, params: dict[str, Raw]) -> Listening:
        assert self._heads is not None
        number = next(self._desk.flights.numbers)
        asked = Request(method="subscriptions/listen", params=params)
        meta = upstream.modern_meta(self._means.version, "") + b"}"
        body = upstream.request_bytes(number, asked.method, asked.params, meta)
        wire = request_wire(self._heads.modern(asked), body)
        return Listening(wire, self._heard_aside, self._client)

    def _new_stream(self) -> Listening:
        assert self._heads is not None
        return Listening(self._heads.listening(), self._heard_aside, self._client)

    async def _keep_stream(self, stream: Listening) -> None:
        """Keep the stream of a legacy session open; a server that has none is left in peace."""
        loop = asyncio.get_running_loop()
        pause, again = LISTEN_FIRST, False
        while True:
            began = loop.time()
            try:
                refused = await stream.ended
            finally:
                stream.close()
            if refused == 404 and self._session and again:
                self._begin_anew()
            if refused:
                return
            if loop.time() - began > LISTEN_LAST:
                pause = LISTEN_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, LISTEN_LAST)
            stream, again = self._new_stream(), True
            self._desk.missed()  # whatever was said in between was not heard

    def _heard_aside(self, message: Message) -> None:
        self._hearing.take(message, None)

    async def _subscribe(self, method: str, uri: str) -> None:
        assert self._heads is not None
        number = next(self._desk.flights.numbers)
        body = upstream.request_bytes(number, method, upstream.uri_params(uri), b"")
        reading = Reading(request_wire(self._heads.legacy, body), number)
        answer = await self._errands.read(reading, TELL_SECONDS)
        if answer.status >= 500 or answer.status == 429:
            raise UpstreamUnreachable(f"The server is busy (HTTP {answer.status}).")
