"""A small HTTP/1.1 client for one origin: kept connections, one request on each at a time.

Written on httptools because the client decides what a call costs. A turn is written with one call
and answered from the parser's callback; there is no task and no timer for it. Rules that keep tools
from running twice: a turn that was written is sent again only when it is `repeatable`, nothing of
an answer was seen, and then once; a connection that was idle for long is not used for it at all.
"""

import asyncio
from collections.abc import Awaitable, Callable

from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.adapters.net.exchange import IDLE_SECONDS, HttpExchange, idle_seconds
from gatelodge.core.access.shares import FairQueue, PersonShares
from gatelodge.core.errors import HouseError, LimitReached, UpstreamUnreachable

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
        self._waiting: FairQueue[HttpExchange] = FairQueue()
        self._held = PersonShares()
        self._opening: set[asyncio.Task[None]] = set()
        self._unwritten: list[HttpConnection] = []
        self._serving = False
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

    def send(self, turn: HttpExchange) -> None:
        """Write the turn on a free connection, or as soon as there is one."""
        if self._idle and self._held.has_room(turn.person, MOST_CONNECTIONS):
            connection = self._trusted()
            if connection is not None:
                self._assign_turn(connection, turn)
                return
        if not self._waiting.add(turn.person, turn, MOST_WAITING):
            turn.failed(LimitReached("Too many requests wait for this server.", retry_after=1.0))
            return
        self._open_more()

    def _trusted(self) -> HttpConnection | None:
        """An idle connection that may carry a turn; those that idled for too long are closed."""
        now = self._loop.time()
        while self._idle:
            connection = self._idle.pop()
            # The server is least likely to be closing the connection that was used last.
            if connection.until > now and connection.alive:
                return connection
            connection.close()
        return None

    def _assign_turn(self, connection: HttpConnection, turn: HttpExchange) -> None:
        """Have this connection carry a turn, its place until it ends; written at the round's end.

        A server that sleeps is then woken once for many requests instead of once for each.
        """
        connection.turn, turn.place = turn, connection
        connection.holder = turn.person
        self._held.take(turn.person)
        if not self._unwritten:
            self._loop.call_soon(self._write_assigned_turns)
        self._unwritten.append(connection)

    def _write_assigned_turns(self) -> None:
        # A turn that may not be written fails at once, and its caller may send another one.
        unwritten, self._unwritten = self._unwritten, []
        for connection in unwritten:
            connection.write()

    def repeat(self, turn: HttpExchange) -> None:
        """Send once more what a stale connection swallowed; no other idle connection is trusted."""
        self.close_idle()
        # Each gave up a connection, so there are no more of them than connections.
        self._waiting.put_back(turn.person, turn)
        self._open_more()

    def forget(self, turn: HttpExchange) -> bool:
        """Drop a turn that nobody waits for; true when the server may have seen it."""
        place, turn.place = turn.place, None
        if place is not None:
            return place.abandon()
        self._waiting.drop(turn.person, turn)
        return False

    def release(self, connection: HttpConnection, keep_alive: bytes) -> None:
        """A connection is free: the next turn gets it, or it idles."""
        self._draining.discard(connection)
        self._release_holder_share(connection)
        turn = self._take_next_turn() if self._waiting.size else None
        if turn is not None:
            self._assign_turn(connection, turn)
            self._serve_soon()
            return
        idles = idle_seconds(keep_alive) if keep_alive else IDLE_SECONDS
        connection.until = self._loop.time() + idles
        self._idle.append(connection)

    def drain(self, connection: HttpConnection) -> None:
        """A stream gave all that was wanted; let it end by itself for a moment."""
        self._release_holder_share(connection)
        connection.until = self._loop.time() + DRAIN_SECONDS
        self._draining.add(connection)
        self._serve_soon()

    def lost(self, connection: HttpConnection) -> None:
        """A connection is closed."""
        self._release_holder_share(connection)
        if connection in self._all:
            self._all.discard(connection)
            self._draining.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            # Turns may have waited for nothing but the place of this connection.
            self._serve_soon()

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
        # Before the attempts are cancelled: each that ends opens another one for whoever waits.
        self._waiting.clear()
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in list(self._all):
            connection.close()

    def _release_holder_share(self, connection: HttpConnection) -> None:
        """It carries nobody's turn any more. Idempotent."""
        holder, connection.holder = connection.holder, None
        if holder is not None:
            self._held.give(holder)

    def _take_next_turn(self) -> HttpExchange | None:
        """The turn that is next, whose person leaves enough for others."""
        return self._waiting.take(self._held, MOST_CONNECTIONS) if self._waiting.size else None

    def _serve_soon(self) -> None:
        """Give turns to those who waited because of their share: somebody holds less now.

        Idle connections are given out a moment later, because they may be closed one by one now.
        """
        if self._waiting.size and self._idle and not self._serving:
            self._serving = True
            self._loop.call_soon(self._serve_waiting)
        elif self._waiting.size:
            self._open_more()

    def _serve_waiting(self) -> None:
        self._serving = False
        while self._waiting.any_may(self._held, MOST_CONNECTIONS):
            connection = self._trusted()
            turn = None if connection is None else self._take_next_turn()
            if connection is None or turn is None:
                break
            self._assign_turn(connection, turn)
        self._open_more()

    def _open_more(self) -> None:
        """Open connections for those who may have one; `_serve_waiting` gives out idle ones."""
        if self._idle or not self._waiting.any_may(self._held, MOST_CONNECTIONS):
            return
        while self.size < MOST_CONNECTIONS and len(self._opening) < self._waiting.size:
            task = self._loop.create_task(self._open_connection())
            self._opening.add(task)
            task.add_done_callback(self._finish_opening_attempt)

    def _finish_opening_attempt(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if self._waiting.size:
            self._open_more()

    def _fail_next_turn(self, fault: HouseError) -> None:
        """One failed attempt fails one turn: a server that is full may take the next connection."""
        turn = self._take_next_turn()
        if turn is not None:
            turn.failed(fault)

    async def _open_connection(self) -> None:
        try:
            connection = await self._dial()
        except HouseError as fault:
            self._fail_next_turn(fault)
            return
        except BaseException:
            # Else attempts would be made for it without an end.
            self._fail_next_turn(UpstreamUnreachable("No connection could be made."))
            raise
        self._all.add(connection)
        self.release(connection, b"")
