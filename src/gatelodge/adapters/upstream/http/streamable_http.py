"""Streamable HTTP, in both eras, on the connections of one `HttpClient`.

Modern: each request tells all about itself, in headers too; closing its connection is cancelling
it. Legacy: one session, kept by its id, begun anew when the server lost it. What takes no POST may
speak HTTP with SSE, which has a transport of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable

from msgspec import UNSET, Raw

from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.adapters.net.dial import connect
from gatelodge.adapters.net.exchange import Fields
from gatelodge.adapters.upstream.http.doubts import ServerCredentials, SessionDoubt
from gatelodge.adapters.upstream.http.head import RequestHeads, read_endpoint, request_wire
from gatelodge.adapters.upstream.http.http_sse import HttpSseTransport
from gatelodge.adapters.upstream.http.pending import PendingHttpRequest
from gatelodge.adapters.upstream.http.responses import BufferedResponse, EventStream
from gatelodge.adapters.upstream.http.side_requests import SideRequests
from gatelodge.adapters.upstream.pending import ConnectionLoss, PendingRequest
from gatelodge.adapters.upstream.session import DISCOVER, McpSession
from gatelodge.adapters.upstream.transport import (
    TransportContext,
    TransportStatus,
    UpstreamTransport,
    as_defined,
)
from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import (
    HouseError,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamUnreachable,
)
from gatelodge.core.http.endpoint import HttpEndpoint
from gatelodge.core.protocol import upstream, upstream_status
from gatelodge.core.protocol.upstream import UpstreamMessage, parse_message
from gatelodge.core.protocol.version import Era
from gatelodge.ports.upstream import UpstreamRequest

FIELDS = frozenset((b"location", b"mcp-session-id", b"retry-after"))
"""What is read of an answer's head here."""
MOST_TRIES = 5
"""Attempts in a row to get the rest of a stream that may bring nothing new."""
RESUME_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""The pause where the server named none, and the longest that is waited; the deadline runs on."""
STREAM_SECONDS = 1.0
"""How long a request waits for a session's own stream to be open."""
_TAKES_NO_POST = frozenset((400, 404, 405))
_ASKED_IN_VAIN = "The server lost its session while a question of it was open."


class StreamableHttpTransport(UpstreamTransport):
    """One server over streamable HTTP."""

    kind = PendingHttpRequest

    def __init__(
        self, definition: HttpTransport, context: TransportContext, session: McpSession
    ) -> None:
        self._definition = definition
        self._context = context
        self._session = session
        self._client = HttpClient(self._connect_to_endpoint)
        self._side = SideRequests(self._client)
        self._credentials = ServerCredentials(definition, context)
        self._doubt = SessionDoubt(self._side)
        self._endpoint: HttpEndpoint
        self._heads: RequestHeads
        self._session_id = b""
        self._met = False
        self._epoch = 0
        self._no_post = self._refused = False
        self._stream: EventStream | None = None

    async def open(self) -> None:
        """Read the definition and its secrets anew. Raises UpstreamError or KeyUnreachable."""
        self._endpoint = read_endpoint(self._definition)
        own = await self._credentials.read()
        self._heads = RequestHeads(self._endpoint, own, self._context.version)
        self._session_id = b""
        self._no_post, self._refused = True, False
        # Answers to requests of an earlier epoch say nothing about the session that begins here.
        self._epoch += 1

    async def ask(self, asked: UpstreamRequest) -> UpstreamMessage | None:
        """The answer to a request of the handshake; None when it is no message."""
        heads, modern = self._heads, asked.method == DISCOVER
        number = next(self._session.flights.numbers)
        head = heads.modern(asked) if modern else heads.legacy
        wire = request_wire(head, self._own_request(number, asked, modern=modern))
        answer = await self._side.read(BufferedResponse(wire, number), asked.seconds)
        message = parse_message(answer.body)
        said = message is not None and (message.error is not UNSET or message.result is not UNSET)
        self._no_post = self._no_post and answer.status in _TAKES_NO_POST and not said
        wait = upstream_status.retry_after(answer.fields.get(b"retry-after", b""))
        to = heads.redirect_target(answer.fields.get(b"location", b""))
        refused = upstream_status.refusal(answer.status, wait, to)
        if refused is not None:
            raise refused
        if modern:
            # A proxy's answer tells no era; taken for the server's it would mean a legacy one.
            if answer.status in (502, 504):
                text = f"The server is behind a failing proxy ({answer.status})."
                raise UpstreamUnreachable(text)
        elif answer.status != 200:
            self._refused = True
            judged = upstream_status.rejected(answer.status, b"", 0, session=False, wait=0.0)
            assert isinstance(judged, HouseError)
            raise judged
        else:
            self._session_id = answer.fields.get(b"mcp-session-id", b"")
            # It becomes a header of ours, and a line break in it would add others.
            if not all(0x21 <= byte <= 0x7E for byte in self._session_id):
                raise UpstreamBrokeProtocol("The server gave a session that no header can name.")
        return message

    def older(self) -> HttpSseTransport | None:
        """HTTP with SSE, when no POST so far was taken at this URL (2024-11-05 transports)."""
        if not (self._refused and self._no_post):
            return None
        return HttpSseTransport(
            self._definition, self._heads, self._side, self._credentials, self._session
        )

    def agree(self, version: str) -> bool:
        """Name this revision, and the session if the server gave one, in each legacy request."""
        self._heads.agreed(version, self._session_id)
        return bool(self._session_id)

    async def tell(self, message: bytes) -> None:
        """POST a message that has no answer, and wait until it was taken."""
        await self._side.tell(self._heads.legacy, message)

    async def met(self, era: Era) -> None:
        """Open the stream that a legacy session has of its own: a server may ask there, and waits.

        In a session of somebody's own that is waited for: what is asked before reaches nobody.
        """
        self._met = True
        if era == "legacy":
            stream = self._stream = self._new_stream()
            if not self._session.asker.shared:
                opened = (stream.opened, stream.ended)
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait(opened, timeout=STREAM_SECONDS, return_when=first)

    async def listen(self) -> None:
        """Keep that stream open."""
        stream = self._stream
        gone = stream and await self._session.watching.keep_open(stream, self._new_stream)
        if gone and self._session_id:
            self._begin_anew()

    def subscribe(self, params: dict[str, Raw]) -> EventStream:
        """A modern subscription, on the stream of its own request."""
        asked = UpstreamRequest(method="subscriptions/listen", params=params)
        body = self._own_request(next(self._session.flights.numbers), asked, modern=True)
        wire = request_wire(self._heads.modern(asked), body)
        return EventStream(wire, self._hear_beside, self._client)

    def transmit(self, flight: PendingRequest, body: bytes) -> None:
        """Write a request (hot path)."""
        assert isinstance(flight, PendingHttpRequest)
        heads = self._heads
        head = heads.modern(flight.request) if self._session.modern else heads.legacy
        flight.wire = request_wire(head, body)
        flight.owner = self
        flight.in_session = bool(self._session_id)
        flight.epoch = self._epoch
        flight.renewals = heads.renewals
        flight.last = b""
        flight.events = None
        self._client.send(flight)

    def cancel(self, flight: PendingRequest, messages: tuple[bytes, ...]) -> None:
        """Close the connection, which tells a modern server; a legacy one is told in words."""
        assert isinstance(flight, PendingHttpRequest)
        # A request whose stream broke is on no connection, but its server has seen it.
        seen = self._client.forget(flight) or flight.last
        if seen and not self._session.modern:
            self.say(*messages)

    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """POST a response of ours (2025-11-25 transports: answered by 202)."""
        assert isinstance(flight, PendingHttpRequest)
        self._side.start(self._deliver_response(flight, response, admitted))

    def say(self, *messages: bytes) -> None:
        """POST these, one after the other, without waiting for it."""
        self._side.say(self._heads.legacy, *messages)

    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""
        self._client.sweep(now)

    def told(self) -> TransportStatus:
        """How many connections are open."""
        refused = self._credentials.told
        return TransportStatus(
            isolation=self._definition.isolation, connections=self._client.size, detail=refused
        )

    async def let_go(self) -> None:
        """Connections that carry nothing are not trusted after a loss; the others may finish."""
        if self._stream is not None:
            self._stream.close()
        self._met = False
        self._client.close_idle()

    async def shut(self) -> None:
        """End the session and every connection."""
        # A cancel, or an answer, that is still on its way must arrive before the session ends.
        await self._side.close()
        if self._session_id and self._met:
            with contextlib.suppress(HouseError):  # the server ends it by itself, in time
                await self._side.read(BufferedResponse(self._heads.ending()), 1.0)
        await self._client.close()

    def abandon(self) -> bool:
        """Nobody waits for the rest of a stream any more; the server has seen the request."""
        return True

    def answered(
        self, flight: PendingHttpRequest, status: int, fields: Fields, body: bytes
    ) -> None:
        """A whole answer to a flight (hot path)."""
        session = self._session
        if status == 200:
            if session.inbound.receive(body, flight):
                self._credentials.accepted()
            else:
                text = "The server ended its answer without a JSON-RPC response to the request."
                self._ended_early(flight, UpstreamBrokeProtocol(text))
            return
        if flight.last:  # it is the rest of a stream that was refused, not the request
            text = f"The server refused the rest of its stream (HTTP {status})."
            session.flights.fail(flight, UpstreamBrokeProtocol(text))
            return
        wait = upstream_status.retry_after(fields.get(b"retry-after", b""))
        judged = upstream_status.rejected(
            status, body, flight.number, session=flight.in_session, wait=wait
        )
        if isinstance(judged, Raw):
            session.inbound.refuse(flight, judged)
        elif judged == "session_lost":
            self._side.start(self._verify_doubted_session(flight, status, body))
        elif status != 401 or not self._retry_with_new_secret(flight):
            session.flights.fail(flight, judged)

    def heard(self, flight: PendingHttpRequest, event: bytes) -> bool:
        """An event on a flight's stream; true when it was the response."""
        if not self._session.inbound.receive(event, flight):
            return False
        self._credentials.accepted()
        return True

    def lost(self, flight: PendingHttpRequest, fault: HouseError) -> None:
        """A flight's exchange broke."""
        self._ended_early(flight, fault)
        if not isinstance(fault, UpstreamUnreachable) or self._client.well:
            return
        # A connection of an earlier session may end late: the server was met again since.
        if flight.epoch == self._epoch:
            why = UpstreamUnreachable(fault.detail, remedy=fault.remedy)
            self._session.owner.broke(ConnectionLoss(why))

    def _ended_early(self, flight: PendingHttpRequest, fault: HouseError) -> None:
        """A stream that numbers its events may go on; anything else ended for good."""
        if not self._can_resume(flight, fault):
            self._session.flights.fail(flight, fault)

    def _can_resume(self, flight: PendingHttpRequest, fault: HouseError) -> bool:
        """True when the rest of the flight's stream is asked for; false when there is none.

        A server that numbers its events may close the stream of a POST and be polled for the rest
        (2025-11-25 transports, Resumability; SEP-1699), as long as something new comes.
        """
        events = flight.events
        if self._session.modern or flight.epoch != self._epoch or events is None:
            return False
        waits = self._session.flights.open.get(flight.number) is flight
        # What the gate itself ended, at a limit say, would only be ended once more.
        if not waits or not isinstance(fault, UpstreamError):
            return False
        if events.last and events.last != flight.last:
            flight.last, flight.tries = events.last, 0
        if not flight.last or flight.tries >= MOST_TRIES:
            return False
        flight.tries += 1
        flight.wire = self._heads.listening(flight.last)
        flight.place = self
        pause = RESUME_PAUSE if events.retry is None else min(events.retry / 1000, LONGEST_PAUSE)
        asyncio.get_running_loop().call_later(pause, self._resume_stream, flight)
        return True

    def _resume_stream(self, flight: PendingHttpRequest) -> None:
        # In the pause its caller may have given up, or its deadline have passed.
        if flight.place is self and self._session.flights.open.get(flight.number) is flight:
            flight.place = None
            # It is another request: the connection that it gets may be a stale one as well.
            flight.again = False
            self._client.send(flight)

    def _retry_with_new_secret(self, flight: PendingHttpRequest) -> bool:
        """True when a flight that was refused is sent once more, with a secret that is new.

        The answer says that it was not run.
        """
        heads = self._heads
        own = self._credentials.refused(flight.request.asker.principal)
        if own is not None:
            heads.renew(own)
        # What was sent with the newest secret would only be refused again.
        if flight.replayed or flight.renewals == heads.renewals:
            return False
        flight.replayed = True
        self._session.owner.hold(flight)
        return True

    async def _verify_doubted_session(
        self, flight: PendingHttpRequest, status: int, body: bytes
    ) -> None:
        """Its session may be lost, or the server refused this one request in words like these."""
        flights, number = self._session.flights, flight.number
        lost = flight.epoch != self._epoch or await self._doubt.is_lost(
            self._heads.legacy, next(flights.numbers)
        )
        # The caller may have given up while the session was being tried.
        if flights.open.get(number) is not flight:
            return
        if lost or flight.epoch != self._epoch:
            self._session_lost(flight)
            return
        judged = upstream_status.rejected(status, body, number, session=False, wait=0.0)
        if isinstance(judged, Raw):
            self._session.inbound.refuse(flight, judged)
        elif isinstance(judged, HouseError):
            flights.fail(flight, judged)

    def _session_lost(self, flight: PendingHttpRequest) -> None:
        """Send the flight once more in a new session: this answer says that it was not run."""
        # Many requests learn of one loss; those of an earlier session must not end the new one.
        if flight.epoch == self._epoch:
            self._begin_anew()
        if flight.replayed:
            text = "The server lost its session twice in a row."
            self._session.flights.fail(flight, UpstreamUnreachable(text))
            return
        # The connection holds the request until the new session is there.
        flight.replayed = True
        self._session.owner.hold(flight)

    def _begin_anew(self) -> None:
        why = UpstreamUnreachable("The server lost its session.")
        self._session.owner.broke(ConnectionLoss(why, at_once=True))

    async def _deliver_response(
        self, flight: PendingHttpRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """Tell the answer to a server's question, or fail its call when the session is gone.

        A question that the server does not know any more may have been given up: the call goes on.
        """
        answer = None
        try:
            if flight.epoch == self._epoch:  # else the session that it was asked in is gone
                answer = await self._side.tell(self._heads.legacy, response, admitted)
        except HouseError as fault:
            self._client.forget(flight)
            self.lost(flight, fault)
            return
        if answer is None or (answer.status == 404 and self._session_id):
            self._client.forget(flight)
            self._session.flights.fail(flight, UpstreamBrokeProtocol(_ASKED_IN_VAIN))
            # The server may have lost the session with the question, so it is met anew.
            if flight.epoch == self._epoch:
                self._begin_anew()

    def _own_request(self, number: int, asked: UpstreamRequest, *, modern: bool) -> bytes:
        """A request of the gate's own, as it is written."""
        meta = upstream.modern_meta(self._context.version, "") + b"}" if modern else b""
        return upstream.request_bytes(number, asked.method, asked.params, meta)

    async def _connect_to_endpoint(self) -> HttpConnection:
        tls = self._context.tls() if self._endpoint.tls else None
        with as_defined():
            return await connect(self._endpoint, lambda: HttpConnection(self._client, FIELDS), tls)

    def _new_stream(self) -> EventStream:
        return EventStream(self._heads.listening(), self._hear_beside, self._client)

    def _hear_beside(self, message: UpstreamMessage) -> None:
        self._session.inbound.take(message, None)
