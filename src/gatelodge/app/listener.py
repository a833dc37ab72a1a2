"""The sockets: the public port, an admin port of its own if one is set, and the local socket."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import cast

from gatelodge.app.faces import ServedFaces
from gatelodge.app.process import room_for
from gatelodge.config.schema import ListenSettings, Settings
from gatelodge.core.errors import Conflict, Invalid
from gatelodge.core.http.authority import bracketed, reached_here
from gatelodge.web.api.context import LOCAL
from gatelodge.web.endpoint.http.bounds import (
    ClientConnections,
    PersonBytes,
    StrangerBytes,
    TrafficCounts,
)
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.request import HttpLimits
from gatelodge.web.front import SocketFront

_SWEEP_SECONDS = 1.0
_BACKLOG = 512
"""Less than what is kept from clients: so many may come before one that gave way is closed."""


class SocketListener:
    """Opens and closes the sockets, and sweeps idle connections."""

    def __init__(self, settings: Settings, faces: ServedFaces) -> None:
        self._settings = settings
        self._faces = faces
        self._servers: list[asyncio.AbstractServer] = []
        self._socket = Path(settings.data_dir).resolve() / "run" / "admin.sock"
        self._bound = False
        limits = settings.limits
        self._most = room_for(limits.connections)
        sizes = HttpLimits(
            header_bytes=limits.header_bytes,
            body_bytes=limits.body_bytes,
            keepalive=limits.keepalive_seconds,
            write=limits.write_seconds,
        )
        persons = PersonBytes(limits.person_bytes, limits.total_bytes)
        self._connections = ClientConnections(sizes, StrangerBytes(limits.stranger_bytes), persons)

    async def open(self) -> str:
        """Begin to listen; returns the address as `http://host:port`. Raises Conflict, Invalid."""
        listen = self._settings.listen
        await self._open_local()
        apart = listen.admin_port >= 0
        front = self._faces.public(apart=apart)
        public = await self._listen_on_port(
            lambda: self._accept_or_refuse_client(front), listen.host, listen.port
        )
        if apart:
            admin = self._faces.admin()
            await self._listen_on_port(
                lambda: self._accept_or_refuse_client(admin), listen.host, listen.admin_port
            )
        port = public.sockets[0].getsockname()[1]
        # Of the wildcards no client can be told to use one.
        host = reached_here(listen.host)
        return f"http://{host}:{port}"

    def traffic(self) -> TrafficCounts:
        """How many connections are open now, and what is under way on them."""
        return self._connections.traffic()

    async def sweep(self) -> None:
        """Close idle connections, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await self._connections.close_idle(loop.time())

    def stop(self) -> None:
        """Take no more connections, and close those on which nothing is being answered."""
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections.open):
            # The loop goes over a copy: a connection that closes takes itself out of the set.
            connection.shut()

    def close(self) -> None:
        """Drop what is still open."""
        for connection in tuple(self._connections.open):
            connection.abort()
        # What this node did not put there is for the operator to look at.
        if self._bound:
            self._bound = False
            with contextlib.suppress(OSError):
                self._socket.unlink()

    def _accept_or_refuse_client(self, front: SocketFront) -> asyncio.Protocol:
        if not self._connections.make_room(self._most):
            self._faces.endpoint.full()
            return _FullHouse()
        return ClientConnection(front, self._connections)

    def _accept_operator_connection(self) -> asyncio.Protocol:
        """A connection of the operator, for which there is always room."""
        return ClientConnection(self._faces.operator(), self._connections, LOCAL)

    async def _listen_on_port(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(factory, host, port, backlog=_BACKLOG)
        except (OSError, ValueError) as fault:
            raise _cannot_listen_error(fault, host, port) from fault
        self._servers.append(server)
        return server

    async def _open_local(self) -> None:
        clear_place(self._socket)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Nobody can connect before it listens. A umask would be that of every thread and child.
            bound.bind(str(self._socket))
            self._bound = True
            self._socket.chmod(0o600)
            loop = asyncio.get_running_loop()
            self._servers.append(
                await loop.create_unix_server(self._accept_operator_connection, sock=bound)
            )
        except OSError as fault:
            bound.close()
            text = f"the local socket {self._socket} cannot be opened: {fault.strerror or fault}"
            raise Invalid(text, remedy="Choose a shorter or writable data directory.") from fault


def clear_place(path: Path) -> None:
    """Make room for the local socket. Raises Invalid when something else stands there.

    The lock of the data directory is ours, so a socket of ours that stands there is a dead node's.
    """
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        there = path.stat(follow_symlinks=False)
        if stat.S_ISSOCK(there.st_mode) and there.st_uid in (os.geteuid(), 0):
            path.unlink()
            return
    except FileNotFoundError:
        return
    except OSError as fault:
        text = f"the local socket {path} cannot be opened: {fault.strerror}"
        raise Invalid(text, remedy="Choose a shorter or writable data directory.") from fault
    raise Invalid(
        f"{path} is there, and is no socket of this account",
        remedy=f"Find out who made it; remove {path}.",
    )


class _FullHouse(asyncio.Protocol):
    """Turns a connection away: too many are open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        transport.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        transport.close()


def must_be_free(listen: ListenSettings) -> None:
    """Return when the ports can be listened on now. Raises Conflict, Invalid."""
    if listen.port == listen.admin_port > 0:  # --port may say so beside a file that was read
        text = f"port {listen.port} cannot be both listen.port and listen.admin_port"
        raise Invalid(text, remedy="Choose another, or -1 to serve the admin API on listen.port.")
    for port in {listen.port, listen.admin_port} - {-1}:
        try:
            found = socket.getaddrinfo(listen.host or None, port, type=socket.SOCK_STREAM)
            family, kind, proto, _, address = found[0]
            with socket.socket(family, kind, proto) as probe:
                # The listener sets it too: what lingers of the last run's connections is no taken
                # port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                # With SO_REUSEADDR a bind alone can succeed beside another program's.
                probe.listen(1)
        except (OSError, ValueError) as fault:
            raise _cannot_listen_error(fault, listen.host, port) from fault


def _cannot_listen_error(fault: OSError | ValueError, host: str, port: int) -> Conflict | Invalid:
    if isinstance(fault, ValueError):
        # Python's own words name its codec.
        text = f"cannot listen on {host}:{port}: this is no name of a host"
        return Invalid(text, remedy="Check listen.host.")
    if fault.errno == errno.EADDRINUSE:
        text = f"port {port} on {host} is taken by another program"
        return Conflict(text, remedy="Stop it, or choose another with --port.")
    text = f"cannot listen on {bracketed(host)}:{port}: {fault.strerror or fault}"
    return Invalid(text, remedy="Check listen.host and listen.port.")
