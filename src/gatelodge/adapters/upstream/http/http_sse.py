"""HTTP with SSE (2024-11-05 transports): one stream down, a POST for each message up.

The stream's first event names the URL to post to, which must be of the same origin. It carries
every answer, so it is read as the output of a child is: answers find their flight by our own ids.
When it ends the session goes back to streamable HTTP, and finds out anew.
"""

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import urljoin

from msgspec import UNSET, Raw, structs

from gatelodge.adapters.net.exchange import Fields
from gatelodge.adapters.upstream.http.doubts import ServerCredentials, SessionDoubt
from gatelodge.adapters.upstream.http.head import RequestHeads, request_wire
from gatelodge.adapters.upstream.http.pending import PendingHttpRequest
from gatelodge.adapters.upstream.http.responses import SseInbox
from gatelodge.adapters.upstream.http.side_requests import SideRequests
from gatelodge.adapters.upstream.inbound import ENVELOPE
from gatelodge.adapters.upstream.pending import ConnectionLoss, PendingRequest
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.transport import TransportStatus, UpstreamTransport
from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.catalog.transport import http_endpoint
from gatelodge.core.errors import (
    HouseError,
    Invalid,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamUnreachable,
)
from gatelodge.core.protocol import upstream_status
from gatelodge.core.protocol.upstream import UpstreamMessage
from gatelodge.core.protocol.version import Era
from gatelodge.ports.upstream import UpstreamRequest

ENDPOINT_SECONDS = 5.0
"""How long a stream may take to name the URL to post to."""
STEADY_SECONDS = 5.0
"""A stream that lasted this long is opened again at once when it ends."""


class HttpSseTransport(UpstreamTransport):
    """One server over HTTP with SSE for as long as one stream lasts.

    What it posts goes over the connections of the transport that made it, which closes them.
    """

    kind = PendingHttpRequest

    def __init__(
        self,
        definition: HttpTransport,
        heads: RequestHeads,
        side: SideRequests,
        credentials: ServerCredentials,
        session: McpSession,
    ) -> None:
        self._definition = definition
        self._heads = heads
        self._side = side
        # Those that the heads bear: read anew here, they could be others already.
        self._credentials = credentials
        self._session = session
        self._client = side.client
        self._doubt = SessionDoubt(side)
        self._incoming = SseInbox(
            heads.listening(), self._receive_event, self._conclude_ended_stream
        )
        self._incoming.limit = session.context.result_bytes + ENVELOPE
        self._since = asyncio.get_running_loop().time()
        self._over = False

    async def open(self) -> None:
        """Open the stream, and hear where to post. Raises UpstreamError when none is there."""
        self._client.send(self._incoming)
        named = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDPOINT_SECONDS):
                named = await self._incoming.named
        if not named:
            raise UpstreamUnreachable("The server has no stream there.")
        self._heads = self._heads.to(self._same_origin_post_path(named))

    async def ask(self, asked: UpstreamRequest) -> UpstreamMessage:
        """The answer to a request of the handshake, which comes on the stream."""
        reply = await self._session.request(asked)
        return UpstreamMessage(result=UNSET if reply.result is None else reply.result)

    def agree(self, version: str) -> bool:
        """Name this revision in each POST; the session is the stream."""
        self._heads.agreed(version, b"")
        return True

    async def tell(self, message: bytes) -> None:
        """POST a message that has no answer, and wait until it was taken."""
        await self._side.tell(self._heads.legacy, message)

    async def met(self, era: Era) -> None:  # noqa: ARG002 - a transport's form
        """Raises UpstreamBrokeProtocol when the stream ended: only a ready server can be lost."""
        if self._over:
            raise UpstreamBrokeProtocol("The server ended its stream during the handshake.")

    def transmit(self, flight: PendingRequest, body: bytes) -> None:
        """POST the request; its answer comes on the stream."""
        assert isinstance(flight, PendingHttpRequest)
        flight.wire = request_wire(self._heads.legacy, body)
        flight.owner = self
        # `repeatable` asks for it; a stream of this transport cannot be resumed.
        flight.last = b""
        # The one stream carries every answer, so the largest that is awaited bounds it.
        self._incoming.limit = max(self._incoming.limit, flight.limit + ENVELOPE)
        self._client.send(flight)

    def cancel(self, flight: PendingRequest, messages: tuple[bytes, ...]) -> None:
        """Tell a server that has the request that nobody waits."""
        assert isinstance(flight, PendingHttpRequest)
        if self._client.forget(flight):
            self.say(*messages)

    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """POST a response of ours."""
        assert isinstance(flight, PendingHttpRequest)
        self._side.start(self._deliver_response(flight, response, admitted))

    def say(self, *messages: bytes) -> None:
        """POST what has no answer, one after the other."""
        self._side.say(self._heads.legacy, *messages)

    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""
        self._client.sweep(now)

    def told(self) -> TransportStatus:
        """How many connections are open."""
        detail = "It speaks HTTP with SSE, which is out of use since 2025-03-26."
        detail = f"{detail} {self._credentials.told}".strip()
        return TransportStatus(
            isolation=self._definition.isolation, connections=self._client.size, detail=detail
        )

    async def let_go(self) -> None:
        """The stream is over."""
        self._client.forget(self._incoming)
        self._client.close_idle()

    async def shut(self) -> None:
        """Close the stream, which ends the session."""
        self._client.forget(self._incoming)

    def abandon(self) -> bool:
        """Nobody waits for a request that was taken: its answer may come, and is passed over."""
        return True

    def answered(
        self, flight: PendingHttpRequest, status: int, fields: Fields, body: bytes
    ) -> None:
        """A POST was taken, or refused."""
        flights = self._session.flights
        if status < 300:
            self._credentials.accepted()
            flight.place = self
            if body:
                self._receive_event(body)  # some servers answer where they were asked
            return
        wait = upstream_status.retry_after(fields.get(b"retry-after", b""))
        judged = upstream_status.rejected(status, body, flight.number, session=False, wait=wait)
        if isinstance(judged, Raw):
            self._session.inbound.refuse(flight, judged)
        elif isinstance(judged, HouseError):
            flights.fail(flight, judged)
            fault = UpstreamUnreachable(judged.detail, remedy=judged.remedy)
            if status in (404, 410):
                self._side.start(self._verify_doubted_session(fault))
            elif status == 401 and self._credentials.refused(flight.request.asker.principal):
                self._fail_flights_and_reconnect(fault)  # its secret is another one now

    def heard(self, flight: PendingHttpRequest, event: bytes) -> bool:  # noqa: ARG002 - an owner's form
        """An event on the answer to a POST is as good as one on the stream."""
        self._receive_event(event)
        return False

    def lost(self, flight: PendingHttpRequest, fault: HouseError) -> None:
        """A POST broke."""
        self._session.flights.fail(flight, fault)
        if isinstance(fault, UpstreamUnreachable):
            self._fail_flights_and_reconnect(UpstreamUnreachable(fault.detail, remedy=fault.remedy))

    def _receive_event(self, event: bytes) -> None:
        self._session.inbound.receive(event)

    def _conclude_ended_stream(self, fault: HouseError | None) -> None:
        """The stream ended or broke, and with it the session."""
        self._over = True
        carried = self._open_flights()
        # Of several nothing tells whose answer was too large.
        if isinstance(fault, LimitReached) and len(carried) == 1:
            self._session.flights.fail(carried[0], carried[0].outgrown(carried[0].limit + 1))
        self._fail_flights_and_reconnect(UpstreamUnreachable("The server's stream ended."))

    def _fail_flights_and_reconnect(self, fault: UpstreamUnreachable) -> None:
        """No answer comes any more: whoever waits is told, and the server is met anew."""
        for flight in self._open_flights():
            text = "The server's stream ended before it had answered."
            sent = self._client.forget(flight)
            lost = UpstreamBrokeProtocol(text) if sent else UpstreamUnreachable(fault.detail)
            self._session.flights.fail(flight, lost)
        steady = asyncio.get_running_loop().time() - self._since > STEADY_SECONDS
        # What an old stream still learns must not break the session that was met since.
        if self._session.transport is self:
            self._session.owner.broke(ConnectionLoss(fault, at_once=steady))

    def _open_flights(self) -> list[PendingHttpRequest]:
        """The flights that went out here."""
        flights = self._session.flights.open.values()
        return [
            f
            for f in flights
            if isinstance(f, PendingHttpRequest) and getattr(f, "owner", None) is self
        ]

    async def _verify_doubted_session(self, fault: UpstreamUnreachable) -> None:
        number = next(self._session.flights.numbers)
        if await self._doubt.is_lost(self._heads.legacy, number):
            self._fail_flights_and_reconnect(fault)

    async def _deliver_response(
        self, flight: PendingHttpRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """Tell the answer to a server's question.

        A question that the server does not know any more may have been given up: its call goes on.
        """
        try:
            answer = await self._side.tell(self._heads.legacy, response, admitted)
        except HouseError as fault:
            self.lost(flight, fault)
            return
        if answer.status == 404:
            self._fail_flights_and_reconnect(UpstreamUnreachable("The server lost its session."))

    def _same_origin_post_path(self, named: bytes) -> str:
        """The path to post to. Raises UpstreamError when it is of another origin."""
        own = http_endpoint(self._definition)
        try:
            url = urljoin(self._definition.url, named.decode())
            to = http_endpoint(structs.replace(self._definition, url=url))
        except (ValueError, Invalid):  # what it said is a payload
            raise UpstreamBrokeProtocol("The server named no URL to post to.") from None
        # Each POST bears the server's secrets, which it must not send on to another host.
        if to.origin != own.origin:
            raise UpstreamBrokeProtocol("The server named a URL of another origin to post to.")
        return to.path
