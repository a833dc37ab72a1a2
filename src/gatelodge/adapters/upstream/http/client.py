"""A small HTTP/1.1 client for one origin: kept connections, one request on each at a time.

Written on httptools because the client decides what a call costs. A turn is written with one call
and answered from the parser's callback; there is no task and no timer for it. Rules that keep tools
from running twice: a turn that was written is sent again only when it is `repeatable`, nothing of
an answer was seen, and then once; a connection that was idle for long is not used for it at all.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import cast

import httptools

from gatelodge.adapters.upstream.flight import Flight
from gatelodge.adapters.upstream.http.exchange import Body, Fields, Turn, idle_seconds
from gatelodge.adapters.upstream.pace.share import Line
from gatelodge.adapters.upstream.portions import Portions
from gatelodge.core.errors import (
    HouseError,
    LimitReached,
    Stale,
    UpstreamBrokeProtocol,
)
from gatelodge.core.protocol.upstream_sse import EventParser

MOST_CONNECTIONS = 512
MOST_WAITING = 1024
MOST_HEAD = 64 * 1024
"""What may come of an answer before, between and behind the pieces of its body: heads of every
status, trailers, extensions of chunks. The parser copies a field anew with each piece of it."""
WELL_SECONDS = 10.0
"""A server that was heard of within this is there, whatever a new connection says."""
DRAIN_SECONDS = 2.0
"""How long a stream may go on after its response before its connection is closed."""

_KEPT = frozenset((
    b"content-type", b"content-length", b"transfer-encoding", b"keep-alive", b"mcp-session-id",
    b"location", b"retry-after", b"content-encoding",
))  # fmt: skip


class HttpConnection(asyncio.Protocol):
    """One connection. Owned by its client; `turn` is what it carries now."""

    def __init__(self, client: "HttpClient") -> None:
        self._client = client
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self.turn: Turn | None = None
        self.until = 0.0
        self.draining = False
        self._spare: bytes | None = None
        self._portions = Portions(self._take)
        self._clear()

    def _clear(self) -> None:
        self._heard = False
        self._headed = False
        self._bodiless = 0
        self._status = 0
        self._fields: Fields = {}
        self._size = 0
        self._body = Body()
        self._events: EventParser | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to carry turns."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def take(self, turn: Turn) -> None:
        """Carry a turn, written with all others of this round; it is its place until it ends."""
        self.turn = turn
        turn.place = self
        self._client.write_soon(self)

    def write(self) -> None:
        """Write the turn that was taken, unless it was given up, or may not go, in the meantime."""
        turn = self.turn
        if turn is None or self._transport is None:
            return
        if turn.admitted():
            self._transport.write(turn.wire)
        else:
            self._fail(Stale("The call was not forwarded: access could not be confirmed."))

    def close(self) -> None:
        """Close at once, whatever it carries; the turn is not told."""
        self.turn = None
        self._portions.drop()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._client.lost(self)

    @property
    def alive(self) -> bool:
        """True while it can be written to."""
        return self._transport is not None and not self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; of a stream, and of a head, a portion in each round of the loop."""
        if self._headed and self._events is None:
            self._take(data)  # a body, which is not looked at before it is whole
        else:
            self._portions.feed(data, self._transport)

    def _take(self, data: bytes) -> None:
        self._heard = True
        self._bodiless += len(data)
        self._client.hear()
        if self.turn is None and not self.draining:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self._fail(UpstreamBrokeProtocol("The answer could not be read."))
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(UpstreamBrokeProtocol("The server answered something that is not HTTP/1.1."))
            return
        if self._bodiless > MOST_HEAD:
            self._fail(UpstreamBrokeProtocol("The server's answer has an endless head."))
        if self._spare is not None:
            keep_alive, self._spare = self._spare, None
            self._client.release(self, keep_alive)

    def on_message_begin(self) -> None:
        """An answer that came with another, unasked, would be taken for that to the next turn."""
        if self._spare is not None:
            self._spare = None
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few fields that matter; the first of several counts."""
        name = name.lower()
        if name in _KEPT:
            self._fields.setdefault(name, value)

    def on_headers_complete(self) -> None:
        """Choose how the body is read."""
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        self._headed = True
        turn = self.turn
        if turn is None:
            return
        if self._fields.get(b"content-encoding", b"identity") != b"identity":
            self._fail(UpstreamBrokeProtocol("The server compressed its answer, unasked."))
        elif self._fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
            self._events = turn.events = EventParser(endpoint=turn.endless)
        elif int(self._fields.get(b"content-length", b"0")) > turn.limit:
            self._too_large(turn)

    def on_body(self, chunk: bytes) -> None:
        """Keep a part of the body, or hand on the events that it ends."""
        turn = self.turn
        self._bodiless = 0
        if turn is None:
            return
        self._size += len(chunk)
        events = self._events
        if events is None:
            if self._size > turn.limit:
                self._too_large(turn)
            else:
                self._body.add(chunk)
            return
        if (events.held + len(chunk) if turn.endless else self._size) > turn.limit:
            self._too_large(turn)
            return
        for message in events.feed(chunk):
            if turn.event(message, self._fields):
                self.turn = turn.place = None
                self.draining = True
                self._client.drain(self)
                return

    def on_message_complete(self) -> None:
        """Hand over the answer and be free for the next turn."""
        if self._status < 200:
            self._fields = {}
            return
        turn, status, fields, body = self.turn, self._status, self._fields, self._body
        stays = self._parser.should_keep_alive()
        self.turn = None
        self.draining = False
        self._clear()
        if turn is not None:
            turn.place = None
            turn.whole(status, fields, body.whole())
        if stays and self.alive:
            self._spare = fields.get(b"keep-alive", b"")  # free once all that came was read
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer, or we, closed; what was under way ends here."""
        self._portions.finish()
        self._transport = None
        turn = self.turn
        unframed = self._headed and not (
            b"content-length" in self._fields or b"transfer-encoding" in self._fields
        )
        if turn is not None and unframed and exc is None:
            self.turn = turn.place = None
            turn.whole(self._status, self._fields, self._body.whole())
        self._client.lost(self)
        turn = self.turn
        if turn is None:
            return
        if not self._heard and turn.repeatable and not turn.again:
            self.turn = turn.place = None
            turn.again = True
            self._client.repeat(turn)
            return
        self._fail(
            UpstreamBrokeProtocol("The server closed the connection before it had answered.")
        )

    def _too_large(self, turn: Turn) -> None:
        text = f"The server's answer is larger than {turn.limit} bytes."
        remedy = "Ask for less; an admin can raise limits.result_bytes."
        self._fail(LimitReached(text, remedy=remedy))

    def _fail(self, fault: HouseError) -> None:
        turn = self.turn
        self.close()
        if turn is not None:
            turn.place = None
            turn.failed(fault)


class HttpClient:
    """The connections to one origin, and the turns that wait for one."""

    def __init__(self, dial: Callable[[], Awaitable[HttpConnection]]) -> None:
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._all: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        self._draining: set[HttpConnection] = set()
        self._waiting: Line[Turn] = Line()
        self._opening: set[asyncio.Task[None]] = set()
        self._unwritten: list[HttpConnection] = []
        self._heard = -WELL_SECONDS

    @property
    def size(self) -> int:
        """Open connections, those being opened included."""
        return len(self._all) + len(self._opening)

    @property
    def well(self) -> bool:
        """True while a connection is open and something was heard not long ago.

        Then a connection that cannot be opened speaks for its turn and not for the server.
        """
        return bool(self._all) and self._loop.time() - self._heard < WELL_SECONDS

    def hear(self) -> None:
        """Something came."""
        self._heard = self._loop.time()

    def send(self, turn: Turn) -> None:
        """Write the turn on a free connection, or as soon as there is one."""
        idle = self._idle
        if idle and not self._must_wait(turn):
            now = self._loop.time()
            while idle:
                connection = idle.pop()
                if connection.until > now and connection.alive:
                    connection.take(turn)
                    return
                connection.close()
        if not self._waiting.add(_person(turn), turn, MOST_WAITING):
            turn.failed(LimitReached("Too many requests wait for this server.", retry_after=1.0))
            return
        self._open_more()

    def write_soon(self, connection: HttpConnection) -> None:
        """Write what this connection carries at the end of the loop's round.

        A server that sleeps is then woken once for many requests instead of once for each.
        """
        if not self._unwritten:
            self._loop.call_soon(self._write)
        self._unwritten.append(connection)

    def _write(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for connection in unwritten:
            connection.write()

    def repeat(self, turn: Turn) -> None:
        """Send once more what a stale connection swallowed; no other idle connection is trusted."""
        self.close_idle()
        self._waiting.add(_person(turn), turn, MOST_WAITING * 2, first=True)
        self._open_more()

    def forget(self, turn: Turn) -> bool:
        """Drop a turn that nobody waits for; true when the server may have seen it."""
        place, turn.place = turn.place, None
        if isinstance(place, HttpConnection):
            place.close()
            return True
        self._waiting.drop(_person(turn), turn)
        return False

    def release(self, connection: HttpConnection, keep_alive: bytes) -> None:
        """A connection is free: the next turn gets it, or it idles."""
        self._draining.discard(connection)
        turn = self._next()
        if turn is not None:
            connection.take(turn)
            return
        connection.until = self._loop.time() + idle_seconds(keep_alive)
        self._idle.append(connection)

    def drain(self, connection: HttpConnection) -> None:
        """A stream gave all that was wanted; let it end by itself for a moment."""
        connection.until = self._loop.time() + DRAIN_SECONDS
        self._draining.add(connection)

    def lost(self, connection: HttpConnection) -> None:
        """A connection is closed."""
        if connection in self._all:
            self._all.discard(connection)
            self._draining.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            if self._waiting:
                self._open_more()

    def sweep(self, now: float) -> None:
        """Close connections that idled or drained for too long."""
        for connection in [c for c in (*self._idle, *self._draining) if c.until <= now]:
            connection.close()

    def close_idle(self) -> None:
        """Close every connection that carries nothing."""
        for connection in list(self._idle):
            connection.close()

    async def close(self) -> None:
        """Close everything; turns under way are not told."""
        self._waiting.clear()
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in list(self._all):
            connection.close()

    def _next(self) -> Turn | None:
        """The turn that is next, whose person leaves enough for others."""
        return self._waiting.take(self._held(), MOST_CONNECTIONS) if self._waiting else None

    def _must_wait(self, turn: Turn) -> bool:
        """True when its person holds as much as may be; not looked at while half is free."""
        if self.size * 2 <= MOST_CONNECTIONS:
            return False
        held = self._held()
        return held[_person(turn)] >= MOST_CONNECTIONS - held.total()

    def _held(self) -> Counter[str]:
        """How many connections each person holds."""
        return Counter(_person(each.turn) for each in self._all if each.turn is not None)

    def _open_more(self) -> None:
        if self._idle or not self._waiting.any_may(self._held(), MOST_CONNECTIONS):
            return
        while self.size < MOST_CONNECTIONS and len(self._opening) < len(self._waiting):
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if self._waiting:
            self._open_more()

    async def _open(self) -> None:
        try:
            connection = await self._dial()
        except HouseError as fault:
            turn = self._next()
            if turn is not None:
                turn.failed(fault)
            return
        self._all.add(connection)
        self.release(connection, b"")


def _person(turn: Turn) -> str:
    """For whom it is under way; empty for the gate itself."""
    return turn.request.asker.person if isinstance(turn, Flight) else ""
