"""HTTP/1.1 for the MCP endpoint: one small asyncio protocol over llhttp.

Requests for the endpoint (`/k/...`) are read whole, within limits, and answered one at a time per
connection. A connection whose first request is for anything else is handed to the ordinary web
application with every byte that was read. Field names that decide something must stand once
(request smuggling). Source: RFC 9112; decision 0002.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import httptools
from msgspec import Struct

SINGLE = frozenset(
    (
        b"authorization",
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"accept",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"mcp-session-id",
        b"last-event-id",
    )
)
"""Field names that may stand only once in a request (besides every `mcp-param-*`)."""

_OURS = b"/k/"
_PEEK = 16


class HttpLimits(Struct, frozen=True):
    """Sizes in bytes, times in seconds."""

    header_bytes: int
    body_bytes: int
    keepalive: float


class HttpRequest:
    """One request, read whole. Header names are lower case; a repeated single one is named."""

    __slots__ = ("body", "headers", "method", "repeated", "target")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.repeated = b""
        self.body = b""


class Serving(Protocol):
    """What answers requests; `receive` must not raise and ends with `connection.finish`."""

    def receive(self, connection: "HttpConnection", request: HttpRequest) -> None:
        """Begin to answer a request."""
        ...

    def turn_away(self, connection: "HttpConnection", reason: str, size: int) -> None:
        """Answer a request that could not be read: malformed_http or too_large, ending it."""
        ...

    def gone(self, _connection: "HttpConnection") -> None:
        """The client closed the connection."""
        ...


class HttpConnection(asyncio.Protocol):
    """One client connection. Owned by the event loop; nothing else touches it."""

    __slots__ = (
        "_body",
        "_busy",
        "_closing",
        "_fields",
        "_first",
        "_hand_over",
        "_head_size",
        "_headed",
        "_limits",
        "_parser",
        "_queue",
        "_reading",
        "_refusal",
        "_refused",
        "_request",
        "_serving",
        "_transport",
        "idle_since",
        "memo",
        "on_gone",
        "open_connections",
        "writable",
    )

    def __init__(
        self,
        serving: Serving,
        limits: HttpLimits,
        connections: "set[HttpConnection]",
        hand_over: Callable[[asyncio.Transport, bytes], None],
    ) -> None:
        self._serving = serving
        self._limits = limits
        self.open_connections = connections
        self._hand_over = hand_over
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._first: bytes | None = b""
        self._reading = False
        self._busy = False
        self._closing = False
        self._refused = False
        self._refusal: tuple[str, int] | None = None
        self._head_size = 0
        self._headed = False
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._queue: list[HttpRequest] = []
        self._request = HttpRequest()
        self.on_gone: Callable[[], None] | None = None
        """Set while a request is being answered: called when the client closes."""
        self.memo: object = None
        """What the endpoint keeps of the connection's last request."""
        self.writable = True
        self.idle_since = asyncio.get_running_loop().time()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        # uvloop's transports are no subclass of asyncio's, but have its methods.
        self._transport = cast("asyncio.Transport", transport)
        self.open_connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever is answering that nobody listens any more."""
        self.open_connections.discard(self)
        self._transport = None
        self._closing = True
        if self.on_gone is not None:
            gone, self.on_gone = self.on_gone, None
            gone()
        elif self._reading:
            self._serving.gone(self)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.writable = False

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable = True

    def data_received(self, data: bytes) -> None:
        """Feed the parser, or hand the connection over when its first request is not ours."""
        if self._first is not None:
            data = self._first + data
            target = data.find(b" ") + 1
            if not target or len(data) < target + len(_OURS):
                if len(data) <= _PEEK:
                    self._first = data
                    return
            elif data[target : target + len(_OURS)] != _OURS and self._looks_like_http(data):
                self._leave(data)
                return
            self._first = None
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._turn_away("malformed_http")
            return
        if self._reading and not self._headed:
            self._head_size += len(data)
            if self._head_size > self._limits.header_bytes:
                self._turn_away("too_large")

    def eof_received(self) -> bool:
        """A half-closed connection is closed; a stream to nobody helps nobody."""
        return False

    # httptools callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._request = HttpRequest()
        self._head_size = 0
        self._headed = False
        self._fields = []
        self._body = []
        self._reading = True

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a field."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Sort the head; refuse early what is too large, let a client that asks first go on."""
        request = self._request
        request.method = self._parser.get_method()
        self._headed = True
        headers = request.headers
        size = len(request.target)
        for given, value in self._fields:
            name = given.lower()
            size += len(name) + len(value) + 4
            if name in headers and (name in SINGLE or name.startswith(b"mcp-")):
                request.repeated = name
            headers[name] = value
        if size > self._limits.header_bytes:
            self._turn_away("too_large")
            return
        length = request.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            self._turn_away("too_large")
        elif b"expect" in request.headers and self._transport is not None and not self._refused:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Collect the body within its limit."""
        if self._refused:
            return
        self._body.append(body)
        if len(self._body) > 1 and sum(map(len, self._body)) > self._limits.body_bytes:
            self._turn_away("too_large")

    def on_message_complete(self) -> None:
        """Pass a whole request on, or queue it behind the one that is being answered."""
        self._reading = False
        if self._refused:
            return
        request = self._request
        body = self._body
        request.body = body[0] if len(body) == 1 else b"".join(body)
        if self._busy:
            self._queue.append(request)
            if self._transport is not None and len(self._queue) > 8:
                self._transport.pause_reading()
            return
        self._busy = True
        self._closing = self._closing or not self._parser.should_keep_alive()
        self._serving.receive(self, request)

    # answering

    @property
    def gone(self) -> bool:
        """True when the client has closed."""
        return self._transport is None

    @property
    def peer(self) -> object:
        """The client's address as the transport tells it."""
        return None if self._transport is None else self._transport.get_extra_info("peername")

    def write(self, chunk: bytes) -> None:
        """Send bytes of the present answer; nothing happens when the client has gone."""
        if self._transport is not None:
            self._transport.write(chunk)

    def finish(self) -> None:
        """The present answer is complete; begin the next request, or close."""
        self.on_gone = None
        self._busy = False
        if self._transport is None:
            return
        self.idle_since = asyncio.get_running_loop().time()
        if self._queue:
            self._busy = True
            request = self._queue.pop(0)
            self._transport.resume_reading()
            self._serving.receive(self, request)
        elif self._refusal is not None:
            self._tell()
        elif self._closing:
            self._transport.close()

    def close_after(self) -> None:
        """Close once the present answer is complete."""
        self._closing = True

    @property
    def closing(self) -> bool:
        """True when this connection ends with the present answer."""
        return self._closing

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def idle(self, now: float) -> bool:
        """Say whether nothing happened for longer than an idle connection may be kept."""
        return not self._busy and now - self.idle_since > self._limits.keepalive

    def shut(self) -> None:
        """Close now when nothing is being answered, else after the answer."""
        self._closing = True
        if not self._busy and self._transport is not None:
            self._transport.close()

    # inside

    @staticmethod
    def _looks_like_http(data: bytes) -> bool:
        return data[: data.find(b" ")].isalpha()

    def _leave(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        self.open_connections.discard(self)
        self._transport = None
        self._hand_over(transport, data)

    def _turn_away(self, reason: str) -> None:
        if self._refused:
            return
        self._refused = True
        self._reading = False
        self._closing = True
        self._refusal = (reason, self._head_size + sum(map(len, self._body)))
        if not self._busy:
            self._tell()

    def _tell(self) -> None:
        """Have the refusal answered and recorded, once."""
        assert self._refusal is not None
        (reason, size), self._refusal = self._refusal, None
        self._busy = True
        self._serving.turn_away(self, reason, size)
