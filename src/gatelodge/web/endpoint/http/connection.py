"""HTTP/1.1 for every face: one small asyncio protocol over llhttp.

Requests are read whole, within limits, and answered one at a time per connection. One that has to
wait, for its body or for its turn, is judged before anything is kept of it. Source: RFC 9112;
decision 0002.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from gatelodge.web.endpoint.http import peer
from gatelodge.web.endpoint.http.bounds import AnswerRoom, ClientConnections
from gatelodge.web.endpoint.http.delivery import AnswerDelivery, WritePermit
from gatelodge.web.endpoint.http.reader import RequestReader
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.http.serving import RequestServing

_QUEUED = 8
_LARGE = 64 * 1024
"""What the parser is fed at a time; a larger body is charged although it came whole."""
_REQUEST = 1024
"""What a request that waits costs besides its body."""


class ClientConnection(asyncio.Protocol):
    """One client connection. Owned by the event loop; nothing else touches it."""

    __slots__ = (
        "_answering",
        "_current",
        "_delivery",
        "_ending",
        "_half",
        "_held",
        "_queue",
        "_reader",
        "_rest",
        "_serving",
        "_shared",
        "_told",
        "_transport",
        "_unsent",
        "breath",
        "closing",
        "endless",
        "idle_since",
        "memo",
        "on_gone",
        "permit",
        "person",
        "writable",
    )

    def __init__(
        self,
        serving: "RequestServing[ClientConnection]",
        shared: ClientConnections,
        person: str = "",
    ) -> None:
        self._serving = serving
        self._shared = shared
        self._unsent: list[bytes] = []
        self._reader = RequestReader(shared.limits)
        self._transport: asyncio.Transport | None = None
        self._ending: asyncio.Transport | None = None
        self._rest = b""
        self._current: HttpRequest | None = None
        self._delivery = AnswerDelivery(shared)
        self._answering = self._told = self._half = self._held = False
        self._queue: list[HttpRequest] = []
        self.on_gone: Callable[[], None] | None = None
        """Set while a request is being answered: called when the client closes."""
        self.breath = b""
        """What may be said in the middle of the present answer without a meaning."""
        self.closing = False
        """This connection ends with the present answer."""
        self.endless = False
        """The present answer has no end for which a client would wait that finished sending."""
        self.memo: object = None
        """What the endpoint keeps of the connection's last request."""
        self.person = person
        """Who answers for what came over it; empty until a credential was good."""
        self.writable = True
        self.permit: WritePermit | None = None
        """Under which what was written since the last flush leaves."""
        self.idle_since = 0.0
        """When the sweep first saw it idle, or its request incomplete; 0 while it saw neither."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        # uvloop's transports are no subclass of asyncio's, but have its methods.
        self._transport = cast("asyncio.Transport", transport)
        self._delivery.open(self._transport)
        self._shared.open.add(self)
        if not self.person:  # the operator is never a stranger
            self._shared.unknown[self] = None

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever is answering, and whoever counts, that nobody listens any more."""
        self._unregister_connection()
        self._transport = self._ending = None
        self._unsent, self._rest = [], b""
        self.closing = self.writable = True
        self._shared.strangers.release(self)
        self._delivery.is_read(self)
        if self.on_gone is not None:
            gone, self.on_gone = self.on_gone, None
            gone()
        self._leave_queue()
        self._reader.close()

    def pause_writing(self) -> None:
        """The client reads too slowly: what waits for it is counted, and for how long."""
        self.writable = False
        transport = self._transport or self._ending
        if transport is not None:
            self._delivery.piles_up(self, transport)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable = True
        self._delivery.is_read(self)
        if not self._answering and self._transport is not None:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        """Read requests."""
        if not self._reader.partial:
            self.idle_since = 0.0  # a request begins; how long it takes to arrive counts anew
        if self._rest:
            self._rest += data
        elif len(data) <= _LARGE:
            self._feed_parser(data)
        else:
            self._feed_in_pieces(data)

    def eof_received(self) -> bool:
        """Answer what was asked; a half-closed connection over which nothing was is closed."""
        if self._reader.partial:
            self._record_lost_request(self._reader.request)
            self._reader.end()
        transport, current = self._transport, self._current
        if transport is None or current is None or self.endless or not peer.can_tell():
            return False
        self._half = True
        self.write(self.breath or (peer.CONTINUE if current.chunks else b""))  # HTTP/1.0 has no 100
        self.flush()
        peer.watch(transport, self.abort)
        return True

    # answering

    @property
    def gone(self) -> bool:
        """True when the client has closed."""
        return self._transport is None

    def about(self, what: str) -> object:
        """What the transport tells of the client: its `peername`, its `socket`."""
        return None if self._transport is None else self._transport.get_extra_info(what)

    def known(self, person: str) -> None:
        """A credential was good: from now on this person is charged."""
        self.person = person
        self._reader.keeps_heads = True
        self._shared.unknown.pop(self, None)

    def write(self, chunk: bytes) -> None:
        """Send bytes of the present answer soon; nothing happens when the client has gone."""
        if self._transport is not None:
            if not self._unsent:
                self._shared.outbox.add(self)
            self._unsent.append(chunk)

    def flush(self) -> None:
        """Send now what was to be sent soon."""
        unsent = self._unsent
        if unsent and self._transport is not None:
            self._unsent = []
            permit, self.permit = self.permit, None
            data = unsent[0] if len(unsent) == 1 else b"".join(unsent)
            self._delivery.write(permit, self._transport, data)
            if not self.writable and self._transport is not None:
                self._delivery.piles_up(self, self._transport)

    def finish(self) -> None:
        """The present answer is complete; begin the next request, or close."""
        self.on_gone = None
        self._answering = False
        if self._current is not None:
            self.let_go(self._current)
            self._current = None
        if self._transport is None:
            return
        self.idle_since = 0.0
        if self.closing or (self.writable and (self._queue or self._half or self._reader.fault)):
            self._go_on()

    def stream(self) -> None:
        """The present answer is a stream: its client may be some events behind."""
        if self._transport is not None:
            self._delivery.let_lag(self._transport)

    def abort(self) -> None:
        """Drop the connection at once, and what is on its way to the client."""
        self._unregister_connection()
        transport = self._transport or self._ending
        if transport is not None:
            transport.abort()

    def give_way(self) -> None:
        """End, because others need what is kept for this one."""
        if self.writable and self._reader.partial and not self._reader.headed:
            self._reader.refuse("strangers")
            if not self._answering:
                self._turn_away_unreadable()
        else:
            self.abort()

    def idle(self, now: float) -> bool:
        """Say whether it said nothing, or no whole request, for longer than it may."""
        if self._answering or self._transport is None:
            return False
        self.idle_since = self.idle_since or now
        return now - self.idle_since > self._shared.limits.keepalive

    def stuck(self, now: float) -> bool:
        """Say whether nobody takes what was said, or nobody is there any more."""
        transport = self._transport or self._ending
        if transport is None:
            return False
        if self._half and self._ending is None and peer.was_reset(transport):
            return True
        if self.writable and self._ending is None:
            return False
        return self._delivery.overdue(now, transport.get_write_buffer_size())

    def shut(self) -> None:
        """Close now when nothing is being answered, else after the answer."""
        self.closing = True
        if not self._answering and self._transport is not None:
            self._close_connection()

    def _feed_in_pieces(self, data: bytes) -> None:
        """Feed the parser a piece, and the next in another turn of the loop: each is long work."""
        self._feed_parser(data[:_LARGE])
        if self._transport is not None:
            self._rest = data[_LARGE:]
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._feed_rest)

    def _feed_rest(self) -> None:
        """Feed the next piece, or read on; while too many requests wait, neither."""
        transport, rest = self._transport, self._rest
        if transport is None or len(self._queue) > _QUEUED:
            return
        self._rest = b""
        if rest:
            self._feed_in_pieces(rest)
        elif not self._half:
            transport.resume_reading()

    def _feed_parser(self, data: bytes | memoryview) -> None:
        reader = self._reader
        for request in reader.feed(data):
            self._start_or_queue_request(request)
            if request.last:
                break  # what follows the last request is not looked at
        if reader.partial:
            self._wait_for(reader.request)
        elif self._held:
            self._release_held_bytes()
        if self._answering:
            if len(self._queue) > _QUEUED and self._transport is not None:
                self._transport.pause_reading()
        elif reader.fault is not None:
            self._turn_away_unreadable()

    def _start_or_queue_request(self, request: HttpRequest) -> None:
        """Begin to answer a request, or have it wait its turn."""
        waits = self._answering or not self.writable
        if waits or request.size > _LARGE:
            self._judge_and_charge(request)
        if waits:
            if not request.person:
                request.last = True  # a stranger has one request wait at a time
                self._reader.end()
            self._queue.append(request)
        else:
            self._start_answer(request)

    def _wait_for(self, request: HttpRequest) -> None:
        """Keep what came of a request that is not whole, for somebody's account."""
        if not self._reader.headed:
            self._held = True
            self._shared.strangers.hold(self, self._reader.held)
            return
        if self._held:
            self._release_held_bytes()
        self._judge_and_charge(request)
        if request.away is not None:
            # What belongs to it may follow, and is not read: the connection ends with the refusal.
            request.last = self._told = True
            self._reader.end()
            self._start_or_queue_request(request)
        elif self._reader.asks and not self._answering:
            self._reader.asks = False
            self.write(peer.CONTINUE)

    def _judge_and_charge(self, request: HttpRequest) -> None:
        """Judge a request by its head, and charge what came of it; else it is turned away."""
        if not request.judged:
            request.judged = True
            self._serving.judge(self, request)
        grown = request.size + _REQUEST - request.charged
        charged = request.away is None and request.person and grown > 0
        if charged and not self._shared.persons.charge(request, grown):
            self._serving.crowded(request)
        if request.away is not None:
            request.body = b""

    def _release_held_bytes(self) -> None:
        self._held = False
        if self.writable:
            self._shared.strangers.release(self)

    def _start_answer(self, request: HttpRequest) -> None:
        self._answering, self._current, self.breath = True, request, b""
        self.closing = self.closing or request.last
        self._serving.receive(self, request)

    def _go_on(self) -> None:
        """Nothing is being answered: begin what waits, tell what is wrong, or close."""
        assert self._transport is not None
        if self.closing:
            self._close_connection()
        elif self._queue:
            self._start_answer(self._queue.pop(0))
            self._feed_rest()
        elif self._reader.fault is not None:
            self._turn_away_unreadable()
        elif self._half:
            self._close_connection()

    def _turn_away_unreadable(self) -> None:
        """Have what could not be read answered and recorded, once."""
        fault = self._reader.fault
        if self._told or fault is None:
            return
        self._told = self._answering = self.closing = True
        request, self.breath = self._reader.request, b""
        if self._current is None:
            self._current = request
        else:
            self.let_go(request)  # another is still being answered, to nobody
        self._serving.turn_away(self, request, fault)

    def _unregister_connection(self) -> None:
        self._shared.open.discard(self)
        self._shared.unknown.pop(self, None)

    def _leave_queue(self) -> None:
        """Count what will not be looked at any more."""
        left, self._queue = self._queue, []
        for request in left:
            self._record_lost_request(request)
        self._turn_away_unreadable()
        if self._reader.partial:
            self._record_lost_request(self._reader.request)

    def _record_lost_request(self, request: HttpRequest) -> None:
        self._serving.gone(request)
        self.let_go(request)

    def let_go(self, request: HttpRequest) -> None:
        """Let go of a request: its memory, and what was charged for it."""
        request.forget()
        if request.charged:
            self._shared.persons.release(request)

    def room(self, request: HttpRequest, person: str) -> AnswerRoom:
        """Where an answer to this request is kept while it comes: at this person's cost."""
        return AnswerRoom(self._shared.persons, request, person)

    def _close_connection(self) -> None:
        """Close; what came after the last answer was never looked at (RFC 9112 clause 9.6)."""
        self.flush()
        transport = self._ending = self._transport
        assert transport is not None
        self._transport, told = None, self._told
        self._leave_queue()
        self._reader.end()
        if told:
            peer.linger(transport)
        else:
            transport.close()
