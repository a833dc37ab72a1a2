"""What a client has not read yet of its answers: charged to somebody, and given a time."""

import asyncio

from gatelodge.web.endpoint.http.bounds import Connections, OpenConnection

_SLOWEST = 64 * 1024
"""Bytes a second that a client has to take, after a first grace."""


class Delivery:
    """The unread part of one connection's answers. Owned by the connection."""

    __slots__ = ("_due", "_shared", "_size", "unread")

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._due = 0.0
        self._size = 0
        self.unread = False
        """True while the transport keeps more than it should."""

    def piles_up(self, connection: OpenConnection, transport: asyncio.Transport) -> None:
        """Count what the transport keeps now."""
        self.unread = True
        size = transport.get_write_buffer_size()
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
        if not self._due:
            self._due = now + self._shared.limits.write + size / _SLOWEST
            self._size = size
        return now > self._due
