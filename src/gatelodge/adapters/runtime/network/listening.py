"""Takes what an instance sends to the gate's sockets, no faster than its rates allow.

Beyond them nothing is read: what waits is held or dropped by the kernel, at no cost to the loop.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from gatelodge.adapters.runtime.network.bounds import RateBucket
from gatelodge.adapters.runtime.network.splice import LINGER_NOT

_AT_ONCE = 8
_LOOK_AGAIN_SECONDS = 0.05


class PacedSocket:
    """Calls `read` while the socket has something and the rate allows, a few times a round.

    `read` takes one thing from the socket and returns; it raises BlockingIOError for none. `room`
    says whether one more may be taken at all. Owns the socket.
    """

    def __init__(
        self,
        own: socket.socket,
        read: Callable[[socket.socket], None],
        rate: RateBucket,
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._own, self._read, self._rate, self._room = own, read, rate, room
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.TimerHandle | None = None
        self._loop.add_reader(own.fileno(), self._on_readable)

    def close(self) -> None:
        """Read no more, and close the socket."""
        if self._own.fileno() < 0:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        else:
            self._loop.remove_reader(self._own.fileno())
        self._own.close()

    def _on_readable(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._room() or not self._rate.take():
                self._loop.remove_reader(self._own.fileno())
                seconds = max(self._rate.wait, _LOOK_AGAIN_SECONDS)
                self._waiting = self._loop.call_later(seconds, self._look_again)
                return
            try:
                self._read(self._own)
            except OSError:  # there is none, or the one that was there went away
                return
            if self._own.fileno() < 0:  # closed by what was read
                return

    def _look_again(self) -> None:
        self._waiting = None
        self._loop.add_reader(self._own.fileno(), self._on_readable)


def accept_connection(listener: socket.socket) -> socket.socket:
    """The next connection, which does not block. Raises OSError."""
    made, _ = listener.accept()
    made.setblocking(False)
    return made


def reset_connection(connection: socket.socket) -> None:
    """Close it so that the other end is told at once that it was refused."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    connection.close()
