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

from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.adapters.net.dial import connect
from gatelodge.adapters.net.exchange import Fields
from gatelodge.adapters.upstream.http.doubts.credentials import ServerCredentials
from gatelodge.adapters.upstream.http.doubts.session import SessionDoubt
from gatelodge.adapters.upstream.http.handshake import HandshakeResult, HttpHandshake
from gatelodge.adapters.upstream.http.head import RequestHeads, read_endpoint, request_wire
from gatelodge.adapters.upstream.http.pending import PendingHttpRequest
from gatelodge.adapters.upstream.http.responses import BufferedResponse, EventStream
from gatelodge.adapters.upstream.http.resume import StreamResumption
from gatelodge.adapters.upstream.http.session_stream import SessionStream
from gatelodge.adapters.upstream.http.side_requests import TELL_SECONDS, SideRequests
from gatelodge.adapters.upstream.http.sse import SseWire
from gatelodge.adapters.upstream.inbound import InboundMessages
from gatelodge.adapters.upstream.pending import ConnectionLoss, PendingRequest, WireContext
from gatelodge.adapters.upstream.watch import keep_subscribed, listen
from gatelodge.adapters.upstream.wire import WireEvents, WireStatus, as_defined
from gatelodge.core.catalog.server import EraWish, HttpTransport
from gatelodge.core.errors import (
    HouseError,
    UpstreamBrokeProtocol,
    UpstreamUnreachable,
)
from gatelodge.core.http.endpoint import HttpEndpoint
from gatelodge.core.protocol import upstream, upstream_status
from gatelodge.core.protocol.upstream import (
    UnreadableBytes,
    UpstreamMessage,
    parse_fault,
    read_message,
)
from gatelodge.core.protocol.upstream_era import ServerFeatures, ServerHello, capable
from gatelodge.core.protocol.version import HEADER_MISMATCH
from gatelodge.ports.upstream import UpstreamReply, UpstreamRequest

FIELDS = frozenset((b"location", b"mcp-session-id", b"retry-after"))
"""What is read of an answer's head here."""
_ASKED_IN_VAIN = "The server lost its session while a question of it was open."


class HttpWire:
    """One server over HTTP. The link opens it, waits until it breaks, and opens it again."""

    kind = PendingHttpRequest
    wakes = True

    def __init__(
        self, transport: HttpTransport, wish: EraWish, means: WireContext, desk: WireEvents
    ) -> None:
        self._transport = transport
        self._wish = wish
        self._means = means
        self._desk = desk
        self._client = HttpClient(self._connect_to_endpoint)
        self._errands = SideRequests(self._client)
        self._hearing = InboundMessages(desk, self.say)
        self._resumption = StreamResumption(self._client)
        self._credentials = ServerCredentials(transport, means.secrets)
        self._doubt = SessionDoubt(self._errands, desk)
        self._endpoint: HttpEndpoint | None = None
        self._heads: RequestHeads | None = None
        self._session = b""
        self._met = False
        self._epoch = 0
        self._modern = False
        self._can = ServerFeatures()
        self._stream = SessionStream(self._new_stream, self._session_gone, desk)

    async def open(self) -> ServerHello:
        """Meet the server and agree on an era. Raises UpstreamError or KeyUnreachable."""
        self._endpoint = read_endpoint(self._transport)
        heads = self._heads = RequestHeads(
            self._endpoint, self._credentials.read(), self._means.version
        )
        self._session = b""
        self._modern = False
        # Answers to requests of an earlier epoch say nothing about the session that begins here.
        self._epoch += 1
        meeting = HttpHandshake(heads, self._errands, self._means, self._desk.flights.numbers)
        hello = None
        if self._wish != "legacy":
            hello = await meeting.discover(only=self._wish == "modern")
        if hello is None:
            met = await meeting.initialize(self._desk.asker)
            if not isinstance(met, HandshakeResult):
                return await self._open_older(heads, met)
            hello, self._session = met.hello, met.session
            await self._stream.open()
        self._modern = hello.era == "modern"
        self._hearing.era = hello.era
        self._can = capable(hello.capabilities)
        self._met = True
        return hello

    async def _open_older(self, heads: RequestHeads, fault: HouseError) -> ServerHello:
        """Meet the server over HTTP with SSE; `fault` is why that is tried, and told if in vain."""
        means, desk, own = self._means, self._desk, self._credentials
        older = SseWire(self, self._transport, heads, self._errands, means, desk, credentials=own)
        # A stop in the meantime has to reach the wire that holds the open stream.
        self._desk.rewire(older)
        try:
            return await older.open()
        # A cancellation must not leave the stream open either.
        except BaseException as failed:
            await older.let_go()
            if isinstance(failed, UpstreamUnreachable):
                raise fault from None
            raise

    def transmit(self, flight: PendingRequest) -> None:
        """Write the request (hot path)."""
        assert isinstance(flight, PendingHttpRequest)
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

    def cancel(self, flight: PendingRequest, reason: str, refusals: tuple[bytes, ...]) -> None:
        """Tell the server that nobody waits: by closing (modern), or in words (legacy)."""
        assert isinstance(flight, PendingHttpRequest)
        # A request whose stream broke is on no connection, but its server has seen it.
        seen = self._client.forget(flight) or flight.last
        if seen and not self._modern:
            self.say(upstream.cancelled_bytes(flight.number, reason), *refusals)

    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """POST a response of ours (2025-11-25 transports: answered by 202)."""
        assert self._heads is not None
        if flight.epoch == self._epoch:
            failed = partial(self._not_told, flight)
            self._errands.deliver(self._heads.legacy, response, failed, admitted)
        else:  # the session that it was asked in is gone, and nobody there waits any more
            assert isinstance(flight, PendingHttpRequest)
            self._client.forget(flight)
            self._desk.flights.fail(flight, UpstreamBrokeProtocol(_ASKED_IN_VAIN))

    def say(self, message: bytes, *more: bytes) -> None:
        """Tell the server something, one after the other, without waiting for it."""
        if self._heads is not None:
            self._errands.say(self._heads.legacy, message, *more)

    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""
        self._client.sweep(now)

    def told(self) -> WireStatus:
        """How many connections are open."""
        refused = self._credentials.told
        return WireStatus(
            isolation=self._transport.isolation, connections=self._client.size, detail=refused
        )

    async def let_go(self) -> None:
        """Connections that carry nothing are not trusted after a loss; the others may finish."""
        self._stream.close()
        self._met = False
        self._client.close_idle()

    async def shut(self) -> None:
        """End the session and every connection."""
        # A cancel, or an answer, that is still on its way must arrive before the session ends.
        await self._errands.close()
        if self._session and self._heads is not None and self._met:
            with contextlib.suppress(HouseError):  # the server ends it by itself, in time
                await self._errands.read(BufferedResponse(self._heads.ending()), 1.0)
        await self._client.close()

    def answered(
        self, flight: PendingHttpRequest, status: int, fields: Fields, body: bytes
    ) -> None:
        """A whole answer to a flight (hot path)."""
        flights = self._desk.flights
        if status == 200:
            message = read_message(body)
            if isinstance(message, UnreadableBytes):
                done = self._hearing.garbled(body, message, flight)
            else:
                done = self._settle_if_response(flight, message)
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
            self._settle_with_error(flight, judged)
        elif judged == "session_lost":
            self._verify_doubted_session(flight, status, body)
        elif status != 401 or not self._retry_with_new_secret(flight):
            flights.fail(flight, judged)

    def heard(self, flight: PendingHttpRequest, event: bytes) -> bool:
        """An event on a flight's stream; true when it was the response."""
        message = read_message(event)
        if isinstance(message, UnreadableBytes):
            return self._hearing.garbled(event, message, flight)
        if message.method:
            self._hearing.take(message, flight)
            return False
        return self._settle_if_response(flight, message)

    def lost(self, flight: PendingHttpRequest, fault: HouseError) -> None:
        """A flight's exchange broke."""
        self._ended_early(flight, fault)
        if not isinstance(fault, UpstreamUnreachable) or self._client.well:
            return
        # A connection of an earlier session may end late: the server was met again since.
        if flight.epoch == self._epoch:
            self._desk.broke(ConnectionLoss(UpstreamUnreachable(fault.detail, remedy=fault.remedy)))

    def _ended_early(self, flight: PendingHttpRequest, fault: HouseError) -> None:
        """A stream that numbers its events may go on; anything else ended for good."""
        heads = None if self._modern or flight.epoch != self._epoch else self._heads
        if heads is None or not self._resumption.takes(flight, fault, heads):
            self._desk.flights.fail(flight, fault)

    def _settle_if_response(self, flight: PendingHttpRequest, message: UpstreamMessage) -> bool:
        if message.id != flight.number or message.method:
            return False
        self._credentials.accepted()
        if message.error is not UNSET:
            self._settle_with_error(flight, message.error)
        elif message.result is not UNSET:
            self._desk.flights.settle(flight, UpstreamReply(result=message.result))
        else:
            return False
        return True

    def _settle_with_error(self, flight: PendingHttpRequest, error: Raw) -> None:
        """The server's own error; headers that do not fit its tool tell that the tool changed."""
        self._desk.flights.settle(flight, UpstreamReply(error=error))
        if self._modern and parse_fault(error).code == HEADER_MISMATCH:
            self._desk.changed()

    def _retry_with_new_secret(self, flight: PendingHttpRequest) -> bool:
        """True when a flight that was refused is sent once more, with a secret that is new.

        The answer says that it was not run.
        """
        assert self._heads is not None
        own = self._credentials.refused(flight.request.asker.principal)
        if own is not None:
            self._heads.renew(own)
        # What was sent with the newest secret would only be refused again.
        if flight.replayed or flight.renewals == self._heads.renewals:
            return False
        flight.replayed = True
        self._desk.hold(flight)
        return True

    def _verify_doubted_session(self, flight: PendingHttpRequest, status: int, body: bytes) -> None:
        """Its session may be lost, or the server refused this one request in words like these."""
        assert self._heads is not None
        if flight.epoch != self._epoch:
            self._session_lost(flight)
            return

        def told(lost: bool) -> None:  # noqa: FBT001 - as it is heard
            # The caller may have given up while the session was being tried.
            if self._desk.flights.open.get(flight.number) is not flight:
                return
            if lost or flight.epoch != self._epoch:
                self._session_lost(flight)
                return
            number = flight.number
            judged = upstream_status.rejected(status, body, number, session=False, wait=0.0)
            if isinstance(judged, Raw):
                self._settle_with_error(flight, judged)
            elif isinstance(judged, HouseError):
                self._desk.flights.fail(flight, judged)

        self._doubt.ask(self._heads.legacy, told)

    def _session_lost(self, flight: PendingHttpRequest) -> None:
        """Send the flight once more in a new session: this answer says that it was not run."""
        # Many requests learn of one loss; those of an earlier session must not end the new one.
        if flight.epoch == self._epoch:
            self._begin_anew()
        if flight.replayed:
            text = "The server lost its session twice in a row."
            self._desk.flights.fail(flight, UpstreamUnreachable(text))
            return
        # The link holds the request until the new session is there.
        flight.replayed = True
        self._desk.hold(flight)

    def _session_gone(self) -> None:
        if self._session:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._desk.broke(
            ConnectionLoss(UpstreamUnreachable("The server lost its session."), at_once=True)
        )

    def _not_told(self, flight: PendingRequest, status: int, fault: HouseError | None) -> None:
        """The answer to a server's question did not reach it, or it does not know the question.

        A question that it does not know any more may have been given up: its call goes on.
        """
        assert isinstance(flight, PendingHttpRequest)
        if fault is not None:
            self._client.forget(flight)
            self.lost(flight, fault)
        elif status == 404 and self._session:
            self._client.forget(flight)
            self._desk.flights.fail(flight, UpstreamBrokeProtocol(_ASKED_IN_VAIN))
            # The server may have lost the session with the question, so the link meets it anew.
            if flight.epoch == self._epoch:
                self._begin_anew()

    async def _connect_to_endpoint(self) -> HttpConnection:
        assert self._endpoint is not None
        tls = self._means.tls() if self._endpoint.tls else None
        with as_defined():
            return await connect(self._endpoint, lambda: HttpConnection(self._client, FIELDS), tls)

    async def listen(self) -> None:
        """Hear of changes, and keep the watched resources watched, while this task lives."""
        if self._modern:
            await listen(self._desk, self._can, self._open_subscription_stream)
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(
                keep_subscribed(self._desk, self._can, self._request_subscription_change)
            )
            if self._stream.wanted:
                group.create_task(self._stream.keep_open())

    def _open_subscription_stream(self, params: dict[str, Raw]) -> EventStream:
        assert self._heads is not None
        number = next(self._desk.flights.numbers)
        asked = UpstreamRequest(method="subscriptions/listen", params=params)
        meta = upstream.modern_meta(self._means.version, "") + b"}"
        body = upstream.request_bytes(number, asked.method, asked.params, meta)
        wire = request_wire(self._heads.modern(asked), body)
        return EventStream(wire, self._heard_aside, self._client)

    def _new_stream(self) -> EventStream:
        assert self._heads is not None
        return EventStream(self._heads.listening(), self._heard_aside, self._client)

    def _heard_aside(self, message: UpstreamMessage) -> None:
        self._hearing.take(message, None)

    async def _request_subscription_change(self, method: str, uri: str) -> None:
        assert self._heads is not None
        number = next(self._desk.flights.numbers)
        body = upstream.request_bytes(number, method, upstream.uri_params(uri), b"")
        reading = BufferedResponse(request_wire(self._heads.legacy, body), number)
        answer = await self._errands.read(reading, TELL_SECONDS)
        # `keep_subscribed` asks again for what raised; any other refusal is final.
        if answer.status >= 500 or answer.status == 429:
            raise UpstreamUnreachable(f"The server is busy (HTTP {answer.status}).")
