"""A small HTTP/1.1 client for one origin: kept connections, one request on each at a time.

Written on httptools because the client decides what a call costs. A turn is written with one call
and answered from the parser's callback; there is no task and no timer for it. Rules that keep tools
from running twice: a turn that was written is sent again only when it is `repeatable`, nothing of
an answer was seen, and then once; a connection that was idle for long is not used for it at all.
"""

import asyncio
from collections.abc import Awaitable, Callable

from gatelodge.adapters.upstream.http.connection.connection import HttpConnection
from gatelodge.adapters.upstream.http.exchange import IDLE_SECONDS, Turn, idle_seconds
from gatelodge.adapters.upstream.pace.share import Line, Shares
from gatelodge.core.errors import HouseError, LimitReached

MOST_CONNECTIONS = 512
MOST_WAITING = 1024
WELL_SECONDS = 10.0
"""A server that was heard of within this is there, whatever a new connection says."""
DRAIN_SECONDS = 2.0
"""How long a stream may go on after its response before its connection is closed."""


class HttpClient:
    """The connections to one origin, and the turns that wait for one."""

    def __init__(self, dial: Callable[[], Awaitable[HttpConnection]]) -> None:
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._all: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        self._draining: set[HttpConnection] = set()
        self._waiting: Line[Turn] = Line()
        self._held = Shares()
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
        if idle and (self._held.total * 2 <= MOST_CONNECTIONS or not self._must_wait(turn)):
            now = self._loop.time()
            while idle:
                connection = idle.pop()
                if connection.until > now and connection.alive:
                    self._carry(connection, turn)
                    return
                connection.close()
        if not self._waiting.add(turn.person, turn, MOST_WAITING):
            turn.failed(LimitReached("Too many requests wait for this server.", retry_after=1.0))
            return
        self._open_more()

    def _carry(self, connection: HttpConnection, turn: Turn) -> None:
        """Have this connection carry a turn, its place until it ends; written at the round's end.

        A server that sleeps is then woken once for many requests instead of once for each.
        """
        connection.turn, turn.place = turn, connection
        connection.holder = turn.person
        self._held.take(turn.person)
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
        self._waiting.add(turn.person, turn, MOST_WAITING * 2, first=True)
        self._open_more()

    def forget(self, turn: Turn) -> bool:
        """Drop a turn that nobody waits for; true when the server may have seen it."""
        place, turn.place = turn.place, None
        if isinstance(place, HttpConnection):
            place.close()
            return True
        self._waiting.drop(turn.person, turn)
        return False

    def release(self, connection: HttpConnection, keep_alive: bytes) -> None:
        """A connection is free: the next turn gets it, or it idles."""
        self._draining.discard(connection)
        self._free(connection)
        turn = self._next() if self._waiting.size else None
        if turn is not None:
            self._carry(connection, turn)
            return
        idles = idle_seconds(keep_alive) if keep_alive else IDLE_SECONDS
        connection.until = self._loop.time() + idles
        self._idle.append(connection)

    def drain(self, connection: HttpConnection) -> None:
        """A stream gave all that was wanted; let it end by itself for a moment."""
        self._free(connection)
        connection.until = self._loop.time() + DRAIN_SECONDS
        self._draining.add(connection)

    def lost(self, connection: HttpConnection) -> None:
        """A connection is closed."""
        self._free(connection)
        if connection in self._all:
            self._all.discard(connection)
            self._draining.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            if self._waiting.size:
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

    def _free(self, connection: HttpConnection) -> None:
        """It carries nobody's turn any more. Idempotent."""
        holder, connection.holder = connection.holder, None
        if holder is not None:
            self._held.give(holder)

    def _next(self) -> Turn | None:
        """The turn that is next, whose person leaves enough for others."""
        return self._waiting.take(self._held, MOST_CONNECTIONS) if self._waiting.size else None

    def _must_wait(self, turn: Turn) -> bool:
        """True when its person holds as much as may be; not asked while half is free."""
        held = self._held
        return held.of(turn.person) >= MOST_CONNECTIONS - held.total

    def _open_more(self) -> None:
        if self._idle or not self._waiting.any_may(self._held, MOST_CONNECTIONS):
            return
        while self.size < MOST_CONNECTIONS and len(self._opening) < self._waiting.size:
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if self._waiting.size:
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
