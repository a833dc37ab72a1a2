"""HTTP/1.1 for the MCP endpoint: one small asyncio protocol over llhttp.

Requests for the endpoint (`/k/...`) are read whole, within limits, and answered one at a time per
connection. A connection whose next request is for anything else is handed to the ordinary web
application with every byte that was read. Source: RFC 9112; decision 0002.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from gatelodge.web.endpoint.http.outbox import Outbox
from gatelodge.web.endpoint.http.permit import Permit, write_under
from gatelodge.web.endpoint.http.reader import HttpLimits, HttpRequest, Reader, Unreadable

__all__ = ["HttpConnection", "HttpLimits", "HttpRequest", "Serving", "Unreadable"]

_OURS = b"/k/"
_USUAL = b"POST /k/"
_PEEK = 16
_QUEUED = 8
LINGER_SECONDS = 2.0
"""How long a connection goes on reading, and dropping, what follows a refusal: closing at once
would reset it, and the client might never see the answer (RFC 9112 clause 9.6)."""


class Serving(Protocol):
    """What answers requests; `receive` must not raise and ends with `connection.finish`."""

    def receive(self, connection: "HttpConnection", request: HttpRequest) -> None:
        """Begin to answer a request."""
        ...

    def turn_away(
        self, connection: "HttpConnection", request: HttpRequest, fault: Unreadable
    ) -> None:
        """Answer a request that could not be read, ending the connection."""
        ...

    def gone(self, request: HttpRequest) -> None:
        """The client left this request, whole or in part, before it was looked at."""
        ...


class HttpConnection(asyncio.Protocol):
    """One client connection. Owned by the event loop; nothing else touches it."""

    __slots__ = (
        "_answering",
        "_closing",
        "_hand_over",
        "_limits",
        "_outbox",
        "_peeked",
        "_queue",
        "_reader",
        "_serving",
        "_told",
        "_transport",
        "_unsent",
        "idle_since",
        "memo",
        "on_gone",
        "open_connections",
        "permit",
        "writable",
    )

    def __init__(
        self,
        serving: Serving,
        limits: HttpLimits,
        connections: "set[HttpConnection]",
        outbox: Outbox,
        hand_over: Callable[[asyncio.Transport, bytes], None],
    ) -> None:
        self._serving = serving
        self._limits = limits
        self.open_connections = connections
        self._outbox = outbox
        self._hand_over = hand_over
        self._unsent: list[bytes] = []
        self._reader = Reader(limits)
        self._transport: asyncio.Transport | None = None
        self._peeked = b""
        self._answering = False
        self._closing = False
        self._told = False
        self._queue: list[HttpRequest] = []
        self.on_gone: Callable[[], None] | None = None
        """Set while a request is being answered: called when the client closes."""
        self.memo: object = None
        """What the endpoint keeps of the connection's last request."""
        self.writable = True
        self.permit: Permit | None = None
        """Under which what was written since the last flush leaves."""
        self.idle_since = 0.0
        """When the sweep first saw it idle, or its request incomplete; 0 while it saw neither."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        # uvloop's transports are no subclass of asyncio's, but have its methods.
        self._transport = cast("asyncio.Transport", transport)
        self.open_connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever is answering, and whoever counts, that nobody listens any more."""
        self.open_connections.discard(self)
        self._transport = None
        self._unsent = []
        self._closing = True
        if self.on_gone is not None:
            gone, self.on_gone = self.on_gone, None
            gone()
        self._leave_queue()
        if self._reader.partial:
            self._serving.gone(self._reader.request)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.writable = False

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable = True

    def data_received(self, data: bytes) -> None:
        """Read requests, or hand the connection over when its next one is not ours."""
        reader = self._reader
        if not (self._peeked or reader.partial):
            self.idle_since = 0.0  # a request begins; how long it takes to arrive counts anew
        if self._peeked or not (self._answering or reader.partial or data.startswith(_USUAL)):
            data = self._peeked + data
            if not self._stays(data):
                return
        for request in reader.feed(data):
            if self._answering:
                self._queue.append(request)
            else:
                self._begin(request)
        if self._answering:
            if len(self._queue) > _QUEUED and self._transport is not None:
                self._transport.pause_reading()
        elif reader.fault is not None:
            self._tell()
        elif reader.asks:
            reader.asks = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def eof_received(self) -> bool:
        """A half-closed connection is closed; a stream to nobody helps nobody."""
        return False

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
        """Send bytes of the present answer soon; nothing happens when the client has gone."""
        if self._transport is not None:
            if not self._unsent:
                self._outbox.add(self)
            self._unsent.append(chunk)

    def flush(self) -> None:
        """Send now what was to be sent soon."""
        unsent = self._unsent
        if unsent and self._transport is not None:
            self._unsent = []
            permit, self.permit = self.permit, None
            data = unsent[0] if len(unsent) == 1 else b"".join(unsent)
            write_under(permit, self._transport, data)

    def finish(self) -> None:
        """The present answer is complete; begin the next request, or close."""
        self.on_gone = None
        self._answering = False
        if self._transport is None:
            return
        self.idle_since = 0.0
        if self._closing:
            self._end()
        elif self._queue:
            self._transport.resume_reading()
            self._begin(self._queue.pop(0))
        elif self._reader.fault is not None:
            self._tell()

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
        """Say whether it said nothing, or no whole request, for longer than it may."""
        if self._answering:
            return False
        self.idle_since = self.idle_since or now
        return now - self.idle_since > self._limits.keepalive

    def shut(self) -> None:
        """Close now when nothing is being answered, else after the answer."""
        self._closing = True
        if not self._answering and self._transport is not None:
            self.flush()
            self._transport.close()

    # inside

    @staticmethod
    def _is_elsewhere(data: bytes) -> bool | None:
        """Say whether a request that begins so is not for the endpoint; None = not to be told."""
        target = data.find(b" ") + 1
        if not target or len(data) < target + len(_OURS):
            return None if len(data) <= _PEEK else False
        return data[target : target + len(_OURS)] != _OURS and data[: target - 1].isalpha()

    def _stays(self, data: bytes) -> bool:
        """Say whether a request that begins so is read here; what is not is kept or handed over."""
        elsewhere = self._is_elsewhere(data)
        self._peeked = data if elsewhere is None else b""
        if elsewhere and not self._closing:
            self._leave(data)
            return False
        return elsewhere is not None

    def _leave(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        self.flush()
        self.open_connections.discard(self)
        self._transport = None
        self._hand_over(transport, data)

    def _begin(self, request: HttpRequest) -> None:
        self._answering = True
        self._closing = self._closing or request.last
        self._serving.receive(self, request)

    def _tell(self) -> None:
        """Have what could not be read answered and recorded, once."""
        fault = self._reader.fault
        if self._told or fault is None:
            return
        self._told = self._answering = self._closing = True
        self._serving.turn_away(self, self._reader.request, fault)

    def _leave_queue(self) -> None:
        """Count what will not be looked at any more."""
        left, self._queue = self._queue, []
        for request in left:
            self._serving.gone(request)
        self._tell()

    def _end(self) -> None:
        """Close; what came after the last answer was never looked at (RFC 9112 clause 9.6)."""
        self.flush()
        transport, self._transport = self._transport, None
        assert transport is not None
        told = self._told
        self._leave_queue()
        if told:
            transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.close)
        else:
            transport.close()
