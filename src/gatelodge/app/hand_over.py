"""The ordinary web application behind the endpoint's port, and on the local socket.

A connection whose first request is not for an MCP endpoint arrives here with the bytes that were
read. Each of its answers closes the connection, so that the next request is sorted anew. The
application is loaded in a thread after the endpoint is ready; connections that come earlier wait.
Source: decision 0002.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = "gatelodge.local"
"""The scope extension that says: this came over the local socket."""


def closing(app: AsgiApp) -> AsgiApp:
    """The application, with every answer closing its connection."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def closes(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        scope.get("extensions", {}).pop(LOCAL, None)
        await app(scope, receive, closes)

    return wrapped


def from_here(app: AsgiApp) -> AsgiApp:
    """The application for the local socket: who may open it may do everything."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), LOCAL: {}}
        await app(scope, receive, send)

    return wrapped


class HandOver:
    """Gives connections to the application, once it is loaded.

    `_protocol` belongs to the event loop; it is set once, by `load`.
    """

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        self._build = build
        self._loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._public: Callable[[], asyncio.Protocol] | None = None
        self._local: Callable[[], asyncio.Protocol] | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Load and build the application in a thread, then let connections through."""
        public, local = await asyncio.to_thread(self._protocols)
        self._public, self._local = public, local
        self._loaded.set_result(None)

    def take(self, transport: asyncio.Transport, read: bytes) -> None:
        """Take over a connection of the public port, with the bytes read so far."""
        self._take(transport, read, lambda: self._public)

    def local(self) -> asyncio.Protocol:
        """The protocol of a new connection on the local socket."""
        return _Waiting(lambda transport, read: self._take(transport, read, lambda: self._local))

    def public(self) -> asyncio.Protocol:
        """The protocol of a new connection on an admin port of its own."""
        return _Waiting(self.take)

    def _take(
        self,
        transport: asyncio.Transport,
        read: bytes,
        made: Callable[[], Callable[[], asyncio.Protocol] | None],
    ) -> None:
        factory = made()
        if factory is not None:
            self._connect(transport, read, factory)
            return
        transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._later(transport, read, made))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _later(
        self,
        transport: asyncio.Transport,
        read: bytes,
        made: Callable[[], Callable[[], asyncio.Protocol] | None],
    ) -> None:
        await asyncio.shield(self._loaded)
        factory = made()
        assert factory is not None
        if transport.is_closing():
            return
        self._connect(transport, read, factory)
        transport.resume_reading()

    @staticmethod
    def _connect(
        transport: asyncio.Transport, read: bytes, factory: Callable[[], asyncio.Protocol]
    ) -> None:
        protocol = factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if read:
            protocol.data_received(read)

    def _protocols(self) -> tuple[Callable[[], asyncio.Protocol], Callable[[], asyncio.Protocol]]:
        app = self._build()
        return _uvicorn(closing(app)), _uvicorn(from_here(app))


class _Waiting(asyncio.Protocol):
    """Passes a fresh connection on at its first byte."""

    def __init__(self, take: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._take = take
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's, but have its methods.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._take(self._transport, data)


def _uvicorn(app: AsgiApp) -> Callable[[], asyncio.Protocol]:
    from uvicorn import Config
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    from uvicorn.server import ServerState

    config = Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=32 * 1024,
    )
    config.load()
    state = ServerState()
    return lambda: HttpToolsProtocol(config=config, server_state=state, app_state={})
