"""Two connections as one: what arrives at either goes out at the other, as fast as that takes it.

No more than a buffer each way stands in the gate. The end of one direction is handed on, and the
other goes on until its own end.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import cast

CHUNK_BYTES = 32_768
LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: the connection is reset (socket(7))."""
_HELD_BYTES = 65_536
"""Of what one end sent and the other has not taken, beside the last chunk; then nothing is read."""


class SpliceEnd(asyncio.BufferedProtocol):
    """One of the two. `peer` is the other; before there is one nothing is read beyond one chunk."""

    def __init__(self, moved: Callable[[int], None], lost: Callable[[], None]) -> None:
        """`moved` is told how many bytes went on to the peer, `lost` once when this is gone."""
        self.peer: SpliceEnd | None = None
        self.transport: asyncio.Transport | None = None
        self.ended = False
        """True when its sender will send no more."""
        self.gone = False
        self._moved, self._lost = moved, lost
        self._buffer = bytearray(CHUNK_BYTES)
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is read before there is a peer."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_HELD_BYTES)
        if self.peer is None:
            self.transport.pause_reading()

    def join_peer(self, peer: "SpliceEnd") -> None:
        """Hand on to this one from now on, and first what came before."""
        self.peer, transport = peer, self.transport
        if self._early:
            self._send_to_peer(bytes(self._early))
            self._early.clear()
        if transport is None or transport.is_closing():
            if peer.transport is not None:
                peer.transport.close()
            return
        # Whoever dialled set it so that nothing waits; here what waits is bounded instead.
        transport.set_write_buffer_limits(high=_HELD_BYTES)
        if self.ended:
            self._hand_on_end()
        else:
            transport.resume_reading()

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - its own size is the bound
        """The same space each time."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came."""
        data = bytes(memoryview(self._buffer)[:nbytes])
        if self.peer is not None:
            self._send_to_peer(data)
        elif self.transport is not None:
            self._early += data
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The other direction goes on."""
        self.ended = True
        if self.peer is not None:
            self._hand_on_end()
        return True

    def pause_writing(self) -> None:
        """Read no more at the peer: this end does not take it."""
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on at the peer."""
        peer = self.peer
        if peer is not None and peer.transport is not None and not peer.ended:
            peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Without one end the other is of no use."""
        self.gone = True
        if self.peer is not None and not self.peer.gone:
            if exc is not None:
                self.peer.abort()
            elif self.peer.transport is not None:
                self.peer.transport.close()  # what it was written goes out first
        self._lost()

    def write(self, data: bytes) -> None:
        """Send it, unless it is closing."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def abort(self) -> None:
        """Cut it at once, by a reset; what waits to be sent is dropped."""
        if self.transport is None or self.gone:
            return
        # An end without a fault could be taken for the end of what was sent.
        with suppress(OSError):
            own = self.transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.transport.abort()

    def _send_to_peer(self, data: bytes) -> None:
        assert self.peer is not None
        self._moved(len(data))
        self.peer.write(data)

    def _hand_on_end(self) -> None:
        peer, own = self.peer, self.transport
        assert peer is not None
        if peer.transport is None or peer.transport.is_closing():
            return
        if not peer.ended:
            peer.transport.write_eof()
            return
        peer.transport.close()
        if own is not None:
            own.close()
