"""The streams of a container: one connection for each way out, so that each can wait by itself.

An attached stream is an HTTP exchange that is upgraded: afterwards our bytes are the container's
input, and what comes are frames of 8 bytes of head (stream, three zeros, length) and a payload
(Docker Engine API, "Attach to a container"). The engine reads no further while we do not, and the
container waits then; nothing is kept here but what one read brought.
"""

import asyncio
import json
import re
from typing import Literal, cast

from gatelodge.adapters.runtime.docker.place import EnginePlace
from gatelodge.core.errors import UpstreamUnreachable

StreamWay = Literal["output", "errors"]
"""Which of its streams: the input goes with the output."""
_HEAD_BYTES = 16_384
_SECONDS = 30.0
_FRAME = 8
_LOOK = "See that the engine runs: gatelodge doctor."


class AttachedStream(asyncio.Protocol):
    """One connection of a container's stream; hands on to `reader` what the frames hold.

    `reader` gets the transport of the connection, which it may pause.
    """

    def __init__(self, reader: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        self._reader = reader
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._upgraded: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done once nothing more can come of it."""
        self._frame = bytearray()
        self._left = 0
        """Bytes of the current frame's payload that are still to come."""
        self._told = False
        self.finished = False
        """True once we closed the container's input."""

    async def open(self, place: EnginePlace, container: str, api: str, way: StreamWay) -> None:
        """Attach to a container that does not run yet. Raises UpstreamUnreachable."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_SECONDS):
                if place.path:
                    await loop.create_unix_connection(lambda: self, place.path)
                else:
                    await loop.create_connection(lambda: self, place.host, place.port)
                self._send(_request(container, api, way))
                await asyncio.shield(self._upgraded)
        except (OSError, TimeoutError) as failed:
            why = str(failed) or f"no answer within {_SECONDS:g} s"
            text = f"The container engine did not attach to the container: {why}"
            raise UpstreamUnreachable(text[:400], remedy=_LOOK) from failed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The engine listens; its answer comes before the reader hears of anything."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        # At once, not at the end of the round: whether it may be written was asked just before.
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Take the answer's head, then frames."""
        if not self._upgraded.done():
            self._head += data
            head, found, data = bytes(self._head).partition(b"\r\n\r\n")
            if not found:
                if len(head) > _HEAD_BYTES:
                    self._refuse("its answer is too long")
                return
            if head.split(b" ")[1:2] not in ([b"101"], [b"200"]):
                self._hear_refusal(head, data)
                return
            self._begin()
        payload = self._payload(data)
        if payload:
            self._reader.data_received(payload)

    def connection_lost(self, exc: Exception | None) -> None:
        """The container closed this way, or the engine is gone."""
        if not self._upgraded.done():
            self._upgraded.set_exception(exc or ConnectionResetError("it closed the connection"))
            self._upgraded.exception()  # whoever waited may be gone
        if not self.ended.done():
            self.ended.set_result(None)
        if self._told:
            self._told = False
            self._reader.connection_lost(exc)

    @property
    def unread(self) -> int:
        """Bytes that were written and that the engine has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def paused(self) -> bool:
        """Whether its reader stands still."""
        at = self._transport
        return at is not None and not at.is_closing() and not at.is_reading()

    def write(self, data: bytes) -> None:
        """Write without waiting; to one that is closed nothing is written."""
        # Loops refuse what is written behind the end of a stream by an error.
        if self._upgraded.done() and not self.finished:
            self._send(data)

    def finish(self) -> None:
        """Close the container's input once all of it was taken, and go on reading."""
        if not self.finished and self._transport is not None and not self._transport.is_closing():
            self.finished = True
            self._transport.write_eof()

    def close(self) -> None:
        """End it; what was not taken is dropped."""
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        self._upgraded.set_result(None)
        self._told = True
        assert self._transport is not None
        self._reader.connection_made(self._transport)

    def _hear_refusal(self, head: bytes, body: bytes) -> None:
        """Refuse once the engine's reason is whole, which is JSON of some length."""
        length = re.search(rb"(?im)^content-length: *(\d{1,6})\r?$", head)
        if length and len(body) < min(int(length[1]), _HEAD_BYTES):
            return
        try:
            self._refuse(str(json.loads(body)["message"]))
        except (ValueError, LookupError, TypeError):
            self._refuse(head.split(b"\r\n")[0].decode("latin-1"))

    def _refuse(self, why: str) -> None:
        self._upgraded.set_exception(ConnectionError(why))
        self._upgraded.exception()
        self.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _payload(self, data: bytes) -> bytes:
        """What the frames hold of a read, without their heads."""
        parts, at = [], 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                self._left -= len(part)
                at += len(part)
                continue
            head = data[at : at + _FRAME - len(self._frame)]
            self._frame += head
            at += len(head)
            if len(self._frame) == _FRAME:
                self._left = int.from_bytes(self._frame[4:])
                self._frame.clear()
        return b"".join(parts)


def _request(container: str, api: str, way: StreamWay) -> bytes:
    """For the input and the output, or for the errors alone; no key leaves the stream."""
    out = way == "output"
    query = f"stream=1&detachKeys=&stdin={int(out)}&stdout={int(out)}&stderr={int(not out)}"
    return (
        f"POST /{api}/containers/{container}/attach?{query} HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    ).encode()
