"""The gate's end of an instance: one TLS connection to the bridge that is PID 1 of its pod.

Frames and channels are told in `bridge/program.py`.
"""

import asyncio
import struct
from typing import Any, Final, cast

import msgspec

from gatelodge.adapters.runtime.kubernetes.credentials import InstanceCredentials
from gatelodge.core.errors import UpstreamUnreachable

FRAME: Final = struct.Struct(">cI")
NUMBER: Final = struct.Struct(">I")
WINDOW: Final = 256 * 1024
"""Bytes of a stream that may be under way, or wait here for whoever paused it."""
_PIECE: Final = 64 * 1024
_LONGEST: Final = 1 << 20


_Asked = list[asyncio.Future[dict[str, Any]]]


class OutputChannel(asyncio.ReadTransport):
    """What the server writes to one of its outputs; grants more as fast as it is taken."""

    def __init__(
        self, connection: "BridgeConnection", name: bytes, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._connection, self._name, self._protocol = connection, name, protocol
        self._held = bytearray()
        self._ended = self._paused = self._closed = False
        self._owed = 0
        protocol.connection_made(self)

    def pause_reading(self) -> None:
        """Hold what comes from now on, up to the window."""
        self._paused = True

    def resume_reading(self) -> None:
        """Hand on what was held, and what comes."""
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._hand_on)

    def is_reading(self) -> bool:
        """True while what comes is handed on."""
        return not (self._paused or self._closed)

    def is_closing(self) -> bool:
        """True when nothing comes any more."""
        return self._closed

    def close(self) -> None:
        """Hand on nothing more."""
        if not self._closed:
            self._closed = True
            self._held.clear()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def take(self, data: bytes) -> None:
        """Bytes from the bridge; none = it ended."""
        self._held += data
        self._ended = self._ended or not data
        self._hand_on()

    def _hand_on(self) -> None:
        if self._paused or self._closed:
            return
        data = bytes(self._held)
        self._held.clear()
        if data:
            self._owed += len(data)
            self._protocol.data_received(data)
        if self._owed >= _PIECE and not self._closed:
            owed, self._owed = self._owed, 0
            self._connection.send(self._name, NUMBER.pack(owed))
        if self._ended and not self._held:
            self.close()


class BridgeConnection(asyncio.Protocol):
    """The connection, what the bridge said so far, and what lies here for the server's input."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[str] = loop.create_future()
        """Empty, or why the server could not be started."""
        self.ended: asyncio.Future[tuple[int, int]] = loop.create_future()
        """Its status, and how many processes were ended for want of memory."""
        self.gone: asyncio.Future[bool] = loop.create_future()
        """True: nothing but the bridge runs. False: the connection was lost before it said so."""
        self.input_closed = False
        self._looks: _Asked = []
        """Who waits for what the bridge finds around itself, in turn."""
        self._stats: _Asked = []
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()
        self._outputs: dict[bytes, OutputChannel] = {}
        self._unsent = bytearray()
        self._under_way = 0
        self._closing_input = self._told_closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is up."""
        self._transport = cast("asyncio.Transport", transport)

    @property
    def own_address(self) -> str:
        """The gate's address on the way to the pod. Raises UpstreamUnreachable."""
        assert self._transport is not None
        own = self._transport.get_extra_info("sockname")
        if own is None:  # the connection is closed already
            raise UpstreamUnreachable("Its bridge ended before it had said anything.")
        return str(own[0])

    async def look_around(
        self, around: dict[str, Any], seconds: float, token: str = ""
    ) -> dict[str, Any] | None:
        """What the bridge finds around itself; None when it does not say so in time.

        The first time it is shown the token.
        """
        if self.lost:
            return None
        if token:
            assert self._transport is not None
            self._transport.write(token.encode() + b"\n")
        return await self._ask(self._looks, b"p", msgspec.json.encode(around), seconds)

    def start(
        self, order: dict[str, Any], output: asyncio.Protocol, errors: asyncio.Protocol
    ) -> None:
        """Have the server started, and its outputs handed on."""
        self.send(b"s", msgspec.json.encode(order))
        for name, protocol in ((b"o", output), (b"e", errors)):
            self._outputs[name] = OutputChannel(self, name, protocol)
            self.send(name, NUMBER.pack(WINDOW))

    @property
    def unread(self) -> int:
        """Bytes for its input that it has not taken yet."""
        return len(self._unsent) + self._under_way

    @property
    def lost(self) -> bool:
        """True when there is no connection any more."""
        return self._transport is None or self._transport.is_closing()

    def send(self, channel: bytes, data: bytes = b"") -> None:
        """Write a frame; nothing to a connection that is lost."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(FRAME.pack(channel, len(data)) + data)

    def write(self, data: bytes) -> None:
        """Bytes for the server's input, which wait here while it takes none."""
        if not (self.input_closed or self._closing_input or self.lost):
            self._unsent += data
            self._send_input()

    def close_input(self) -> None:
        """Close its input once it took what was written; what it does not take is dropped later."""
        if not self._closing_input:
            self._closing_input = True
            self._send_input()

    def _send_input(self) -> None:
        while self._unsent and self._under_way < WINDOW:
            piece = bytes(self._unsent[: min(_PIECE, WINDOW - self._under_way)])
            del self._unsent[: len(piece)]
            self._under_way += len(piece)
            self.send(b"i", piece)
        if self._closing_input and not self._unsent and not self._told_closing:
            self._told_closing = True
            self.send(b"i")

    async def stats(self, seconds: float) -> dict[str, Any]:
        """What the instance takes now; empty when the bridge does not say so in time."""
        return {} if self.lost else await self._ask(self._stats, b"q", b"", seconds) or {}

    async def _ask(
        self, waiting: _Asked, channel: bytes, what: bytes, seconds: float
    ) -> dict[str, Any] | None:
        asked: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        waiting.append(asked)
        self.send(channel, what)
        await asyncio.wait((asked,), timeout=seconds)
        return asked.result() or None if asked.done() else None

    def close(self) -> None:
        """Let go of the bridge: it ends all that is left, and itself."""
        for each in self._outputs.values():
            each.close()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take each whole frame; one that is none ends the connection."""
        self._rest += data
        while len(self._rest) >= FRAME.size:
            channel, length = FRAME.unpack_from(self._rest)
            if length > _LONGEST:
                self.close()
                return
            if len(self._rest) < FRAME.size + length:
                return
            payload = bytes(self._rest[FRAME.size : FRAME.size + length])
            del self._rest[: FRAME.size + length]
            self._take_frame(channel, payload)

    def _take_frame(self, channel: bytes, data: bytes) -> None:
        if channel in self._outputs:
            self._outputs[channel].take(data)
        elif channel == b"i":
            self._under_way = max(0, self._under_way - NUMBER.unpack(data)[0])
            self._send_input()
        elif channel == b"c":
            self.input_closed = True
        else:
            self._take_word(channel, data)

    def _take_word(self, channel: bytes, data: bytes) -> None:
        if channel == b"q" and self._stats:
            _settle(self._stats.pop(0), msgspec.json.decode(data, type=dict[str, Any]))
        elif channel == b"h" and self._looks:
            _settle(self._looks.pop(0), msgspec.json.decode(data, type=dict[str, Any]))
        elif channel == b"s":
            _settle(self.started, data.decode(errors="replace"))
        elif channel == b"x":
            told = msgspec.json.decode(data, type=dict[str, int])
            _settle(self.ended, (told["status"], told["oom_kills"]))
        elif channel == b"g":
            _settle(self.gone, True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the end is the end
        """Nobody knows of the server any more: the bridge ends it, unless the pod is gone."""
        self.input_closed = True
        for each in (*self._looks, *self._stats):
            _settle(each, {})  # a cancelled one would cancel whoever asks all instances
        if not self.started.done():
            self.started.cancel()
        _settle(self.ended, (-9, 0))
        _settle(self.gone, False)
        for output in self._outputs.values():
            output.take(b"")


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


async def connect_bridge(
    address: str, port: int, credentials: InstanceCredentials
) -> BridgeConnection:
    """A TLS connection to the one bridge that has this instance's key. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        BridgeConnection, address, port, ssl=credentials.client_context(), server_hostname=""
    )
    return connection
