"""MCP over HTTP with SSE (2024-11-05 transports): one stream down, a POST for each message up.

The stream's first event names the URL to post to, which must be of the same origin. It carries
every answer, so it is read as the output of a child is: answers find their flight by our own ids.
When it ends the link goes back to streamable HTTP, and finds out anew.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from urllib.parse import urljoin

from msgspec import Raw, structs

from gatelodge.adapters.net.exchange import Fields
from gatelodge.adapters.upstream.http.doubts.credentials import ServerCredentials
from gatelodge.adapters.upstream.http.doubts.session import SessionDoubt
from gatelodge.adapters.upstream.http.handshake import spoken
from gatelodge.adapters.upstream.http.head import RequestHeads, request_wire
from gatelodge.adapters.upstream.http.pending import PendingHttpRequest
from gatelodge.adapters.upstream.http.responses import SseInbox
from gatelodge.adapters.upstream.http.side_requests import TELL_SECONDS, SideRequests
from gatelodge.adapters.upstream.inbound import ENVELOPE, InboundMessages
from gatelodge.adapters.upstream.pending import ConnectionLoss, PendingRequest, WireContext
from gatelodge.adapters.upstream.watch import keep_subscribed
from gatelodge.adapters.upstream.wire import UpstreamWire, WireEvents, WireStatus
from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.catalog.transport import http_endpoint
from gatelodge.core.errors import (
    HouseError,
    Invalid,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamUnreachable,
)
from gatelodge.core.jsontext.jsonrpc import notification_body
from gatelodge.core.protocol import upstream, upstream_status
from gatelodge.core.protocol.upstream import UnreadableBytes, read_message
from gatelodge.core.protocol.upstream_era import ServerFeatures, ServerHello, capable
from gatelodge.ports.upstream import UpstreamReply, UpstreamRequest

ENDPOINT_SECONDS = 5.0
"""How long a stream may take to name the URL to post to."""
STEADY_SECONDS = 5.0
"""A stream that lasted this long is opened again at once when it ends."""


class SseWire:
    """One server over HTTP with SSE, for as long as one stream lasts; then `newer` takes over."""

    kind = PendingHttpRequest
    wakes = True

    def __init__(
        self,
        newer: UpstreamWire,
        transport: HttpTransport,
        heads: RequestHeads,
        errands: SideRequests,
        means: WireContext,
        desk: WireEvents,
        *,
        credentials: ServerCredentials,
    ) -> None:
        self._newer = newer
        # Those that the heads bear: read anew here, they could be others already.
        self._credentials = credentials
        self._doubt = SessionDoubt(errands, desk)
        self._transport = transport
        self._heads = heads
        self._errands = errands
        self._client = errands.client
        self._means = means
        self._desk = desk
        self._hearing = InboundMessages(desk, self.say)
        self._incoming = SseInbox(
            heads.listening(), self._dispatch_server_message, self._conclude_ended_stream
        )
        self._incoming.limit = means.result_bytes + ENVELOPE
        self._since = asyncio.get_running_loop().time()
        self._can = ServerFeatures()
        self._over = False

    async def open(self) -> ServerHello:
        """Meet the server. Raises UpstreamError, also when no such stream is there."""
        self._client.send(self._incoming)
        named = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDPOINT_SECONDS):
                named = await self._incoming.named
        if not named:
            raise UpstreamUnreachable("The server has no stream there.")
        self._heads = self._heads.to(self._same_origin_post_path(named))
        params = upstream.initialize_params(self._means.version, self._desk.asker.capabilities)
        seconds = self._means.upstream.start_seconds
        reply = await self._send_and_await_reply(
            UpstreamRequest(method="initialize", params=params, seconds=seconds)
        )
        if reply.result is None:
            raise UpstreamBrokeProtocol("The server refused the handshake.")
        hello = spoken(reply.result)
        self._heads.agreed(hello.version, b"")
        told = notification_body("notifications/initialized")
        await self._errands.tell(self._heads.legacy, told)
        self._can = capable(hello.capabilities)
        if self._desk.asker.level and self._can.logs:
            params = upstream.level_params(self._desk.asker.level)
            with contextlib.suppress(UpstreamError):
                await self._send_and_await_reply(
                    UpstreamRequest(method="logging/setLevel", params=params, seconds=seconds)
                )
        # `broke` is heard by a link that is ready, so the end of a stream before is found here.
        if self._over:
            raise UpstreamBrokeProtocol("The server ended its stream during the handshake.")
        return hello

    def transmit(self, flight: PendingRequest) -> None:
        """POST the request; its answer comes on the stream."""
        assert isinstance(flight, PendingHttpRequest)
        request = flight.request
        meta = upstream.meta_bytes(b"{", request.meta, flight.progress)
        body = upstream.request_bytes(flight.number, request.method, request.params, meta)
        flight.wire = request_wire(self._heads.legacy, body)
        flight.owner = self
        # `repeatable` asks for it; a stream of this transport cannot be resumed.
        flight.last = b""
        # The one stream carries every answer, so the largest that is awaited bounds it.
        self._incoming.limit = max(self._incoming.limit, flight.limit + ENVELOPE)
        self._client.send(flight)

    def cancel(self, flight: PendingRequest, reason: str, refusals: tuple[bytes, ...]) -> None:
        """Tell the server that nobody waits."""
        assert isinstance(flight, PendingHttpRequest)
        if self._client.forget(flight) and flight.request.method != "initialize":
            self.say(upstream.cancelled_bytes(flight.number, reason), *refusals)

    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """POST a response of ours."""
        failed = partial(self._not_told, flight)
        self._errands.deliver(self._heads.legacy, response, failed, admitted)

    def say(self, message: bytes, *more: bytes) -> None:
        """POST what has no answer, one after the other."""
        self._errands.say(self._heads.legacy, message, *more)

    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""
        self._client.sweep(now)

    def told(self) -> WireStatus:
        """How many connections are open."""
        detail = "It speaks HTTP with SSE, which is out of use since 2025-03-26."
        detail = f"{detail} {self._credentials.told}".strip()
        return WireStatus(
            isolation=self._transport.isolation, connections=self._client.size, detail=detail
        )

    async def listen(self) -> None:
        """Keep the watched resources watched; all else comes on the stream."""
        await keep_subscribed(self._desk, self._can, self._request_subscription_change)

    async def let_go(self) -> None:
        """The stream is over: the next attempt begins with what is newer."""
        self._client.forget(self._incoming)
        self._client.close_idle()
        self._desk.rewire(self._newer)

    async def shut(self) -> None:
        """Close the stream, which ends the session, and every connection."""
        self._client.forget(self._incoming)
        await self._newer.shut()

    def abandon(self) -> bool:
        """Nobody waits for a request that was taken: its answer may come, and is passed over."""
        return True

    def answered(
        self, flight: PendingHttpRequest, status: int, fields: Fields, body: bytes
    ) -> None:
        """A POST was taken, or refused."""
        flights = self._desk.flights
        if status < 300:
            flight.place = self
            if body:
                self._dispatch_server_message(body)  # some servers answer where they were asked
            return
        wait = upstream_status.retry_after(fields.get(b"retry-after", b""))
        judged = upstream_status.rejected(status, body, flight.number, session=False, wait=wait)
        if isinstance(judged, Raw):
            flights.settle(flight, UpstreamReply(error=judged))
        elif isinstance(judged, HouseError):
            flights.fail(flight, judged)
            fault = UpstreamUnreachable(judged.detail, remedy=judged.remedy)
            if status in (404, 410):
                self._doubt.ask(
                    self._heads.legacy,
                    lambda lost: self._fail_flights_and_reconnect(fault) if lost else None,
                )
            elif status == 401 and self._credentials.refused(flight.request.asker.principal):
                self._fail_flights_and_reconnect(fault)  # its secret is another one now

    def heard(self, flight: PendingHttpRequest, event: bytes) -> bool:  # noqa: ARG002 - an owner's form
        """An event on the answer to a POST is as good as one on the stream."""
        self._dispatch_server_message(event)
        return False

    def lost(self, flight: PendingHttpRequest, fault: HouseError) -> None:
        """A POST broke."""
        self._desk.flights.fail(flight, fault)
        if isinstance(fault, UpstreamUnreachable):
            self._fail_flights_and_reconnect(UpstreamUnreachable(fault.detail, remedy=fault.remedy))

    def _dispatch_server_message(self, event: bytes) -> None:
        message = read_message(event)
        if isinstance(message, UnreadableBytes):
            self._hearing.garbled(event, message)
            return
        if message.method:
            self._hearing.take(message, None)
        else:
            self._credentials.accepted()
            self._hearing.answer(message, len(event))

    def _conclude_ended_stream(self, fault: HouseError | None) -> None:
        """The stream ended or broke, and with it the session."""
        self._over = True
        carried = self._open_flights_of_wire()
        # Of several nothing tells whose answer was too large.
        if isinstance(fault, LimitReached) and len(carried) == 1:
            self._desk.flights.fail(carried[0], carried[0].outgrown(carried[0].limit + 1))
        self._fail_flights_and_reconnect(UpstreamUnreachable("The server's stream ended."))

    def _fail_flights_and_reconnect(self, fault: UpstreamUnreachable) -> None:
        """No answer comes any more: whoever waits is told, and the server is met anew."""
        for flight in self._open_flights_of_wire():
            sent = self._client.forget(flight)
            text = "The server's stream ended before it had answered."
            lost = UpstreamBrokeProtocol(text) if sent else UpstreamUnreachable(fault.detail)
            self._desk.flights.fail(flight, lost)
        steady = asyncio.get_running_loop().time() - self._since > STEADY_SECONDS
        self._desk.broke(ConnectionLoss(fault, at_once=steady))

    def _open_flights_of_wire(self) -> list[PendingHttpRequest]:
        """The flights that this wire sent."""
        flights = self._desk.flights.open.values()
        return [
            f
            for f in flights
            if isinstance(f, PendingHttpRequest) and getattr(f, "owner", None) is self
        ]

    def _not_told(self, flight: PendingRequest, status: int, fault: HouseError | None) -> None:
        """The answer to a server's question did not reach it.

        A question that the server does not know any more may have been given up: its call goes on.
        """
        assert isinstance(flight, PendingHttpRequest)
        if fault is not None:
            self.lost(flight, fault)
        elif status == 404:
            self._fail_flights_and_reconnect(UpstreamUnreachable("The server lost its session."))

    def _same_origin_post_path(self, named: bytes) -> str:
        """The path to post to. Raises UpstreamError when it is of another origin."""
        own = http_endpoint(self._transport)
        try:
            url = urljoin(self._transport.url, named.decode())
            to = http_endpoint(structs.replace(self._transport, url=url))
        except (ValueError, Invalid):  # what it said is a payload
            raise UpstreamBrokeProtocol("The server named no URL to post to.") from None
        # Each POST bears the server's secrets, which it must not send on to another host.
        if (to.tls, to.host, to.port) != (own.tls, own.host, own.port):
            raise UpstreamBrokeProtocol("The server named a URL of another origin to post to.")
        return to.path

    async def _send_and_await_reply(self, asked: UpstreamRequest) -> UpstreamReply:
        flights = self._desk.flights
        flight = flights.add(asked, None)
        self.transmit(flight)
        try:
            return await flight.reply
        finally:
            flights.give_up(flight, "cancelled")

    async def _request_subscription_change(self, method: str, uri: str) -> None:
        params = upstream.uri_params(uri)
        await self._send_and_await_reply(
            UpstreamRequest(method=method, params=params, seconds=TELL_SECONDS)
        )
