"""MCP over streamable HTTP, in both eras, on the connections of one `HttpClient`.

Modern: each request tells all about itself, in `_meta` and in headers; closing its connection is
cancelling it. Legacy: one session for all of the server's callers, kept by its id, begun anew when
the server lost it.
"""

import asyncio
import contextlib
from collections.abc import Coroutine

from msgspec import UNSET, Raw

from gatelodge.adapters.upstream.flight import Break, Desk, Flight, Means
from gatelodge.adapters.upstream.http.client import Fields, HttpClient, HttpConnection
from gatelodge.adapters.upstream.http.dial import Target, connect, head_lines, parse_target
from gatelodge.adapters.upstream.http.head import Heads, request_wire
from gatelodge.adapters.upstream.http.turn import Answer, Listening, Reading
from gatelodge.adapters.upstream.link import Told
from gatelodge.core.catalog.server import EraWish, HttpTransport
from gatelodge.core.errors import (
    HouseError,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.protocol import upstream, upstream_status
from gatelodge.core.protocol.upstream import Message, parse_message
from gatelodge.core.protocol.upstream_era import Hello, discovered, initialized
from gatelodge.core.protocol.version import MODERN
from gatelodge.ports.upstream import Reply, Request

MOST_ASIDE = 256
"""Notifications and answers of ours under way at once; more are dropped."""
LISTEN_FIRST, LISTEN_LAST = 1.0, 60.0
"""Pauses before a lost stream is opened again."""


class HttpFlight(Flight):
    """A flight that is a turn of the HTTP client."""

    __slots__ = ("in_session", "owner")
    owner: "HttpWire"
    in_session: bool
    endless = False

    @property
    def repeatable(self) -> bool:
        """A tool never runs twice."""
        return self.request.method != "tools/call"

    def whole(self, status: int, fields: Fields, body: bytes) -> None:
        """The whole answer came."""
        self.owner.answered(self, status, fields, body)

    def event(self, message: bytes, fields: Fields) -> bool:  # noqa: ARG002 - a turn's form
        """One event of the answer's stream came."""
        return self.owner.heard(self, message)

    def failed(self, fault: HouseError) -> None:
        """The exchange broke."""
        self.owner.lost(self, fault)


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
        self._aside: set[asyncio.Task[None]] = set()
        self._target: Target | None = None
        self._heads: Heads | None = None
        self._session = b""
        self._epoch = 0
        self._modern = False
        self._tells = False

    async def open(self) -> Hello:
        """Meet the server and agree on an era. Raises UpstreamError or KeyUnreachable."""
        self._target = parse_target(self._transport)
        own = head_lines(self._transport.headers, self._means.secrets.resolve)
        heads = self._heads = Heads(self._target, own, self._means.version)
        self._session = b""
        self._modern = False
        self._epoch += 1
        hello = None if self._wish == "legacy" else await self._discover(heads)
        if hello is None:
            hello = await self._initialize(heads)
        self._modern = hello.era == "modern"
        self._tells = hello.tells
        return hello

    def transmit(self, flight: Flight) -> None:
        """Write the request (hot path)."""
        assert isinstance(flight, HttpFlight)
        assert self._heads is not None
        request = flight.request
        if self._modern:
            opening = upstream.modern_meta(self._means.version, request.client)
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
        self._client.send(flight)

    def cancel(self, flight: Flight, reason: str) -> None:
        """Tell the server that nobody waits: by closing (modern), or in words (legacy)."""
        assert isinstance(flight, HttpFlight)
        seen = self._client.forget(flight)
        if seen and not self._modern:
            self._say(upstream.cancelled_bytes(flight.number, reason))

    def sweep(self, now: float) -> None:
        """Look at what is only looked at now and then."""
        self._client.sweep(now)

    def told(self) -> Told:
        """How many connections are open."""
        return Told(isolation="remote", connections=self._client.size)

    async def let_go(self) -> None:
        """Connections that carry nothing are not trusted after a loss; the others may finish."""
        self._client.close_idle()

    async def shut(self) -> None:
        """End the session and every connection."""
        for task in list(self._aside):
            task.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)
        if self._session and self._heads is not None and self._client.size:
            with contextlib.suppress(UpstreamError):  # the server ends it by itself, in time
                await self._read(Reading(self._heads.ending()), 1.0)
        await self._client.close()

    def answered(self, flight: HttpFlight, status: int, fields: Fields, body: bytes) -> None:
        """A whole answer to a flight (hot path)."""
        flights = self._desk.flights
        if status == 200:
            message = parse_message(body)
            if message is None or not self._settled(flight, message):
                text = "The server ended its answer without a JSON-RPC response to the request."
                flights.fail(flight, UpstreamBrokeProtocol(text))
            return
        wait = upstream_status.retry_after(fields.get(b"retry-after", b""))
        judged = upstream_status.rejected(
            status, body, flight.number, session=flight.in_session, wait=wait
        )
        if isinstance(judged, Raw):
            flights.settle(flight, Reply(error=judged))
        elif judged == "session_lost":
            self._session_lost(flight)
        else:
            flights.fail(flight, judged)
            if status == 401:  # a secret may have been rotated: it is read again when we meet anew
                self._desk.broke(Break(UpstreamUnreachable(judged.detail, remedy=judged.remedy)))

    def heard(self, flight: HttpFlight, event: bytes) -> bool:
        """An event on a flight's stream; true when it was the response."""
        message = parse_message(event)
        if message is None:
            return False
        if message.method:
            self._hear(message, flight)
            return False
        return self._settled(flight, message)

    def lost(self, flight: HttpFlight, fault: HouseError) -> None:
        """A flight's exchange broke."""
        self._desk.flights.fail(flight, fault)
        if isinstance(fault, UpstreamUnreachable) and flight.epoch == self._epoch:
            self._desk.broke(Break(UpstreamUnreachable(fault.detail, remedy=fault.remedy)))

    def _settled(self, flight: HttpFlight, message: Message) -> bool:
        if message.id != flight.number or message.method:
            return False
        if message.error is not UNSET:
            self._desk.flights.settle(flight, Reply(error=message.error))
        elif message.result is not UNSET:
            self._desk.flights.settle(flight, Reply(result=message.result))
        else:
            return False
        return True

    def _session_lost(self, flight: HttpFlight) -> None:
        """Send the flight once more in a new session: this answer says that it was not run."""
        if flight.replayed:
            text = "The server lost its session twice in a row."
            self._desk.flights.fail(flight, UpstreamUnreachable(text))
            return
        flight.replayed = True
        if flight.epoch == self._epoch:
            fault = UpstreamUnreachable("The server lost its session.")
            self._desk.broke(Break(fault, at_once=True))
        self._desk.hold(flight)

    def _hear(self, message: Message, flight: Flight | None) -> None:
        """A server asked or told something; `flight` is None on a stream of its own."""
        params = b"{}" if message.params is UNSET else bytes(message.params)
        if message.id is not UNSET:
            if not self._modern:
                self._say(upstream.answer_bytes(message))
        elif message.method == upstream.CHANGED:
            self._desk.changed()
        elif flight is not None:
            flight.hear(message.method, params)
        elif message.method == "notifications/progress":
            found = self._desk.flights.open.get(upstream.progress_number(params))
            if found is not None:
                found.hear(message.method, params)

    async def _dial(self) -> HttpConnection:
        assert self._target is not None
        tls = self._means.tls() if self._target.tls else None
        return await connect(self._target, lambda: HttpConnection(self._client), tls)

    async def _discover(self, heads: Heads) -> Hello | None:
        """The hello of a modern server, None for a legacy one."""
        asked = Request(method="server/discover", params={})
        meta = upstream.modern_meta(self._means.version, "") + b"}"
        answer = await self._ask(heads.modern(asked), asked, meta)
        wait = upstream_status.retry_after(answer.fields.get(b"retry-after", b""))
        refused = upstream_status.refusal(answer.status, wait)
        if refused is not None:
            raise refused
        if answer.status in (502, 504):
            raise UpstreamUnreachable(f"The server is behind a failing proxy ({answer.status}).")
        meeting = discovered(parse_message(answer.body))
        if isinstance(meeting, Hello):
            return meeting
        if self._wish == "modern":
            raise UpstreamBrokeProtocol(f"The server does not speak {MODERN}.")
        return None

    async def _initialize(self, heads: Heads) -> Hello:
        params = upstream.initialize_params(self._means.version)
        asked = Request(method="initialize", params=params)
        answer = await self._ask(heads.legacy, asked, b"")
        if answer.status != 200:
            judged = upstream_status.rejected(answer.status, b"", 0, session=False, wait=0.0)
            assert isinstance(judged, HouseError)
            raise judged
        message = parse_message(answer.body)
        if message is None or message.result is UNSET:
            raise UpstreamBrokeProtocol("The server refused the handshake.")
        hello = initialized(message.result)
        session = answer.fields.get(b"mcp-session-id", b"")
        if hello is None or not all(0x21 <= byte <= 0x7E for byte in session):
            raise UpstreamBrokeProtocol("The server speaks no revision that this gate speaks.")
        self._session = session
        heads.agreed(hello.version, session)
        await self._tell(upstream.notification_bytes("notifications/initialized"))
        return hello

    async def _ask(self, head: bytes, asked: Request, meta: bytes) -> Answer:
        number = next(self._desk.flights.numbers)
        body = upstream.request_bytes(number, asked.method, asked.params, meta)
        reading = Reading(request_wire(head, body), number)
        return await self._read(reading, self._means.hosting.start_seconds)

    async def _tell(self, body: bytes) -> None:
        """A notification or answer of ours, in the legacy era; what comes back is ignored."""
        assert self._heads is not None
        await self._read(Reading(request_wire(self._heads.legacy, body)), 5.0)

    async def _read(self, reading: Reading, seconds: float) -> Answer:
        self._client.send(reading)
        try:
            async with asyncio.timeout(seconds):
                return await reading.done
        except TimeoutError:
            raise UpstreamTimeout("The server did not answer the handshake in time.") from None
        finally:
            self._client.forget(reading)

    def _say(self, body: bytes) -> None:
        """Tell the server something without waiting for it."""
        if len(self._aside) >= MOST_ASIDE:
            return
        task = asyncio.ensure_future(_unheard(self._tell(body)))
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def listen(self) -> None:
        """Hear of changed tools for as long as this task lives; a lost stream is opened again."""
        loop = asyncio.get_running_loop()
        pause, opened = LISTEN_FIRST, 0
        while self._tells:
            began = loop.time()
            listening = Listening(self._listening_wire(), lambda m: self._hear(m, None))
            self._client.send(listening)
            try:
                refused = await listening.ended
            finally:
                self._client.forget(listening)
            if refused == 404 and self._session and opened:
                fault = UpstreamUnreachable("The server lost its session.")
                self._desk.broke(Break(fault, at_once=True))
            if refused:
                return
            opened += 1
            if loop.time() - began > LISTEN_LAST:
                pause = LISTEN_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, LISTEN_LAST)
            self._desk.changed()  # whatever was said in between was not heard

    def _listening_wire(self) -> bytes:
        assert self._heads is not None
        if not self._modern:
            return self._heads.listening()
        number = next(self._desk.flights.numbers)
        asked = Request(method="subscriptions/listen", params=upstream.LISTEN)
        meta = upstream.modern_meta(self._means.version, "") + b"}"
        body = upstream.request_bytes(number, asked.method, asked.params, meta)
        return request_wire(self._heads.modern(asked), body)


async def _unheard(telling: Coroutine[None, None, None]) -> None:
    """Say something; the next request of a caller finds out when the server cannot hear."""
    with contextlib.suppress(HouseError):
        await telling
