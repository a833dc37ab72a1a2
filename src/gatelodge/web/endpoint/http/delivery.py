"""What is written to a client, under what lets it leave; what it has not read yet is charged."""

import asyncio
from typing import Protocol

from gatelodge.web.endpoint.http.bounds import ClientConnections, OpenConnection

_SLOWEST = 64 * 1024
"""Bytes a second that a client has to take, after a first grace."""


class WritePermit(Protocol):
    """Under what bytes leave: asked right before they are written, and then they are."""

    def holds(self) -> bool:
        """Say whether what is said may leave now."""
        ...

    def withheld(self) -> None:
        """It did not leave."""
        ...


class AnswerDelivery:
    """The writing of one connection's answers, and their unread part. Owned by the connection.

    What is written goes out at once, as far as the client takes it, and not at the end of the
    loop's round: what its permit said would not be true then, if the machine slept in between.
    """

    __slots__ = ("_due", "_lags", "_shared", "_size", "unread")

    def __init__(self, shared: ClientConnections) -> None:
        self._shared = shared
        self._due = 0.0
        self._size = 0
        self._lags = False
        self.unread = False
        """True while the transport keeps more than it should."""

    def open(self, transport: asyncio.Transport) -> None:
        """Keep nothing back: what the client does not take counts as unread."""
        transport.set_write_buffer_limits(high=0)

    def let_lag(self, transport: asyncio.Transport) -> None:
        """It becomes a stream, whose client may be a little behind."""
        self._lags = True
        transport.set_write_buffer_limits()

    def write(self, permit: WritePermit | None, transport: asyncio.Transport, data: bytes) -> None:
        """Write what its permit lets out (None = it needs none); the rest ends the connection."""
        if permit is None or permit.holds():
            # What stays below its high mark uvloop would write at the end of the round only.
            if self._lags:
                transport.set_write_buffer_limits(high=0)
            transport.write(data)
            if self._lags:
                transport.set_write_buffer_limits()
        else:
            # A part of it may be out already, and HTTP has no word that takes it back.
            transport.abort()
            permit.withheld()

    def piles_up(self, connection: OpenConnection, transport: asyncio.Transport) -> None:
        """Count what the transport keeps now."""
        self.unread = True
        size = transport.get_write_buffer_size()
        # A stream that goes on would else be overdue by the time that its first bytes had.
        if self._due and size > self._size:
            self._due += (size - self._size) / _SLOWEST
        self._size = size
        if connection.person:
            self._shared.persons.unread(connection.person, connection, size)
        else:
            self._shared.strangers.hold(connection, size)

    def is_read(self, connection: OpenConnection) -> None:
        """The client has caught up, or is gone."""
        if self.unread:
            self.unread, self._due = False, 0.0
            self._shared.strangers.release(connection)
            if connection.person:
                self._shared.persons.unread(connection.person, connection, 0)

    def overdue(self, now: float, size: int) -> bool:
        """Say whether these bytes should have been taken by now; asked at each sweep."""
        # Time runs from the first sweep that finds it unread, so no write has to ask the clock.
        if not self._due:
            self._due = now + self._shared.limits.write + size / _SLOWEST
            self._size = size
        return now > self._due
