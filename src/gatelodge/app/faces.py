"""The faces of a node: which one answers what, on each of its sockets."""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.web.api.app import admin_app
from gatelodge.web.api.asgi import AsgiApp
from gatelodge.web.api.context import AdminContext
from gatelodge.web.api.face import ApiFace
from gatelodge.web.console.app import console_app
from gatelodge.web.console.face import ROOT, ConsoleFace
from gatelodge.web.endpoint.endpoint import McpEndpoint
from gatelodge.web.front import SocketFront


class ServedFaces(Struct, frozen=True):
    """The endpoint, the admin API and the console to the outside, the API to the local operator."""

    endpoint: McpEndpoint
    api: ApiFace
    console: ConsoleFace
    local: ApiFace

    @property
    def each(self) -> tuple[ApiFace, ...]:
        """The faces of the web framework's applications."""
        return (self.api, self.console, self.local)

    def public(self, *, apart: bool) -> SocketFront:
        """The mounts of the public port; `apart` = admin API and console have a port of their own.

        A further application is one line in between: its prefix, and its face.
        """
        if apart:
            return SocketFront((b"/k/", self.endpoint), (b"", self.endpoint))
        return SocketFront((b"/k/", self.endpoint), (ROOT.encode(), self.console), (b"", self.api))

    def admin(self) -> SocketFront:
        """The mounts of an admin port."""
        return SocketFront((ROOT.encode(), self.console), (b"", self.api))

    def operator(self) -> SocketFront:
        """The mounts of the local socket."""
        return SocketFront((b"", self.local))


class LazyApplication:
    """An application of the web framework, loaded in a thread once the endpoint is ready.

    Importing the web framework takes half a second; requests that come earlier wait for it.
    `loaded` belongs to the event loop; it is resolved once, by `load`.
    """

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        self._build = build
        self.loaded: asyncio.Future[AsgiApp] = asyncio.get_running_loop().create_future()

    async def load(self) -> None:
        """Load and build it, then let requests through."""
        self.loaded.set_result(await asyncio.to_thread(self._build))


class LazyApplications:
    """The admin API and the console, and the faces in front of them."""

    def __init__(self, context: AdminContext, recorder: AuditRecorder) -> None:
        self._context = context
        self._recorder = recorder
        self._api = LazyApplication(lambda: admin_app(context))  # type: ignore[arg-type, return-value]
        self._console = LazyApplication(lambda: console_app(context))  # type: ignore[arg-type, return-value]

    def faces(self, endpoint: McpEndpoint) -> ServedFaces:
        """Every face of the node."""
        # Being the operator is a property of the face, and so of its socket: nothing that stands in
        # a request can claim it.
        given = (self._context, self._recorder, endpoint.origins)
        return ServedFaces(
            endpoint,
            ApiFace(*given, self._api.loaded, local=False),
            ConsoleFace(*given, self._console.loaded, local=False),
            ApiFace(*given, self._api.loaded, local=True),
        )

    async def load(self) -> None:
        """Load both, the one that commands wait for first."""
        await self._api.load()
        await self._console.load()
