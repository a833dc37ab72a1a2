"""The faces of a node: which one answers what, on each of its sockets."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from gatelodge.web.api.asgi import AsgiApp
from gatelodge.web.api.face import ApiFace
from gatelodge.web.endpoint.endpoint import McpEndpoint
from gatelodge.web.front import SocketFront


class ServedFaces(Struct, frozen=True):
    """The endpoint, the admin API to the outside, and the admin API to the local operator."""

    endpoint: McpEndpoint
    api: ApiFace
    local: ApiFace

    def public(self, *, apart: bool) -> SocketFront:
        """The mounts of the public port; `apart` = the admin API has a port of its own.

        A further application is one line between the two: its prefix, and its face.
        """
        return SocketFront(
            (b"/k/", self.endpoint),
            (b"", self.endpoint if apart else self.api),
        )

    def admin(self) -> SocketFront:
        """The mounts of an admin port."""
        return SocketFront((b"", self.api))

    def operator(self) -> SocketFront:
        """The mounts of the local socket."""
        return SocketFront((b"", self.local))


class LazyApplication:
    """The admin API's application, loaded in a thread once the endpoint is ready.

    Importing the web framework takes half a second; requests that come earlier wait for it.
    `loaded` belongs to the event loop; it is resolved once, by `load`.
    """

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        self._build = build
        self.loaded: asyncio.Future[AsgiApp] = asyncio.get_running_loop().create_future()

    async def load(self) -> None:
        """Load and build it, then let requests through."""
        self.loaded.set_result(await asyncio.to_thread(self._build))
