"""The only name server that an instance has: it knows the names of its list and nothing else."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from gatelodge.adapters.runtime.network.bounds import RateBucket
from gatelodge.adapters.runtime.network.listening import PacedSocket, accept_connection
from gatelodge.adapters.runtime.network.questions import (
    MOST_BYTES,
    answer_malformed,
    answer_question,
    read_question,
)

RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"
"""/etc/resolv.conf of an instance with egress: mount it read-only over the image's."""
NSSWITCH_CONF = "hosts: files dns\n"
"""/etc/nsswitch.conf, for images whose own asks something else first or has none."""
_STREAMS = 8
_STREAM_SECONDS = 5.0


class NameResolver:
    """Answers on a UDP socket and a listener of the instance's; owns both."""

    def __init__(
        self,
        datagrams: socket.socket,
        listener: socket.socket,
        rate: RateBucket,
        look_up: Callable[[str], tuple[str | None, bool]],
    ) -> None:
        """`look_up` gives the address of a name and whether it is known; it tells who must know."""
        self._look_up = look_up
        self._open: set[QuestionStream] = set()
        self._sockets = (
            PacedSocket(datagrams, self._answer_datagram, rate),
            PacedSocket(
                listener, self._take_stream, rate, lambda: len(self._open) < _STREAMS
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Answer no more."""
        for each in self._sockets:
            each.close()
        for stream in tuple(self._open):
            stream.end()

    def answer(self, data: bytes) -> bytes | None:
        """The answer to one message; None for none."""
        asked = read_question(data)
        if asked is None:
            return answer_malformed(data)
        address, known = self._look_up(asked.name)
        return answer_question(asked, address, known=known)

    def _answer_datagram(self, own: socket.socket) -> None:
        data, sender = own.recvfrom(MOST_BYTES + 1)
        reply = self.answer(data)
        if reply is not None:
            own.sendto(reply, sender)

    def _take_stream(self, listener: socket.socket) -> None:
        connection = accept_connection(listener)
        stream = QuestionStream(self.answer, self._open)
        self._open.add(stream)
        stream.serve(connection)


class QuestionStream(asyncio.Protocol):
    """Questions over TCP, each behind its length (RFC 1035 4.2.2); a few, and not for long."""

    def __init__(
        self, answer: Callable[[bytes], bytes | None], taken: set["QuestionStream"]
    ) -> None:
        self._answer, self._open = answer, taken
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._left = 16
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_STREAM_SECONDS, self.end)
        self._taking: asyncio.Task[None] | None = None

    def serve(self, connection: socket.socket) -> None:
        """Serve this connection."""
        self._taking = asyncio.get_running_loop().create_task(self._take(connection))

    def end(self) -> None:
        """Cut it."""
        self._timer.cancel()
        self._open.discard(self)
        if self._transport is not None:
            self._transport.abort()
        elif self._taking is not None:
            self._taking.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Its first question may come."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each whole question."""
        self._rest += data
        while len(self._rest) >= 2 and self._transport is not None:
            size = int.from_bytes(self._rest[:2])
            if size > MOST_BYTES or self._left == 0:
                self.end()
                return
            if len(self._rest) < 2 + size:
                return
            reply = self._answer(self._rest[2 : 2 + size])
            self._rest, self._left = self._rest[2 + size :], self._left - 1
            if reply is None:
                self.end()
                return
            self._transport.write(len(reply).to_bytes(2) + reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """It is over."""
        self.end()

    async def _take(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self, connection)
        except OSError:
            self.end()
        except asyncio.CancelledError:
            connection.close()
            raise
