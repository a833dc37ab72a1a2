"""Streamable HTTP with a server that the gate hosts, and that listens within its own network.

The instance is started as one over stdio is, and reached at a port of its own `lo`: nobody else
gets there, and no address of this machine is in use. Its output is what it logs, and is dropped.
"""

import asyncio

from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.adapters.upstream.http.streamable_http import FIELDS, StreamableHttpTransport
from gatelodge.adapters.upstream.pending import ConnectionLoss, PendingRequest
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.stdio.channel import StdioChannel
from gatelodge.adapters.upstream.stdio.early import cure
from gatelodge.adapters.upstream.stdio.launch import (
    StdioContext,
    hidden_values,
    lacking_secrets,
    launch_spec,
)
from gatelodge.adapters.upstream.transport import SLOW, TransportContext, TransportStatus
from gatelodge.core.catalog.server import ArtifactTransport, HttpTransport, Server
from gatelodge.core.errors import UpstreamTimeout, UpstreamUnreachable
from gatelodge.core.protocol.version import Era
from gatelodge.ports.runtime import ENDED_ON_PURPOSE, ListeningInstance

_LONGEST_LINE = 65_536
_STATUS_SECONDS = 0.05
_FIRST_LOOK, _LONGEST_LOOK = 0.05, 0.5
"""Seconds between two looks whether it listens, growing from the one to the other."""


class HostedHttpTransport(StreamableHttpTransport):
    """One hosted server over streamable HTTP. Owns its instance."""

    wakes = False

    def __init__(
        self,
        server: Server,
        definition: ArtifactTransport,
        context: TransportContext,
        shared: StdioContext,
        session: McpSession,
    ) -> None:
        url = f"http://127.0.0.1:{definition.port}{definition.path}"
        super().__init__(HttpTransport(url=url, allow_private=True), context, session)
        self._server, self._artifact, self._shared = server, definition, shared
        self._child: StdioChannel | None = None
        self._said: tuple[str, ...] = ()
        self._lacking: tuple[str, ...] = ()

    async def open(self) -> None:
        """Start the server, unless it runs, and wait until it listens. Raises UpstreamError."""
        if self._child is None or self._child.over:
            await self._end_child(0.0)
            await self._start_child()
        await super().open()

    def older(self) -> None:
        """Nothing: a server that is hosted for its port speaks what it was approved for."""

    async def met(self, era: Era) -> None:
        """Forget what it said before."""
        if self._child is not None:
            self._child.early.met()
        await super().met(era)

    def transmit(self, flight: PendingRequest, body: bytes) -> None:
        """Send the request; what stands still goes on for it."""
        if self._child is not None:
            self._child.wake()
        super().transmit(flight, body)

    def sweep(self, now: float) -> None:
        """Notice a server that ended."""
        super().sweep(now)
        self._report_end()

    def told(self) -> TransportStatus:
        """Its process, how far it is kept apart, and what it said before it was met."""
        child = self._child
        return TransportStatus(
            pid=None if child is None else child.instance.pid,
            isolation=self._artifact.isolation if child is None else child.instance.isolation,
            said=self._said if child is None else child.early.lines(),
            lacking=self._lacking,
            connections=super().told().connections,
        )

    async def let_go(self) -> None:
        """It was lost: end it with all it started."""
        await super().let_go()
        await self._end_child(0.0)

    async def shut(self) -> None:
        """End the session, then the server."""
        try:
            await super().shut()
        finally:
            await self._end_child()

    async def _start_child(self) -> None:
        at, context = self._server, self._context
        spec = await launch_spec(
            at.id, at.workspace, self._session.asker, self._artifact, context.secrets
        )
        self._lacking = lacking_secrets(self._artifact, spec)
        child = StdioChannel(
            longest=lambda: _LONGEST_LINE,
            line=lambda _: None,
            too_long=lambda _: None,
            end=self._look_at_end,
            hidden=hidden_values(self._artifact, spec),
        )
        await child.open(self._shared.runtime, spec, self._shared.unread)
        self._child = child
        seconds = context.upstream.start_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._wait_until_it_listens(child)
        except TimeoutError:
            text = f"The server did not listen on port {self._artifact.port} within {seconds:g} s."
            raise UpstreamTimeout(text, remedy=SLOW) from None

    def _look_at_end(self) -> None:
        """It closed its output: how it ended is known a moment later, if it did."""
        asyncio.get_running_loop().call_later(_STATUS_SECONDS, self._report_end)

    def _report_end(self) -> None:
        child = self._child
        if self._met and child is not None and child.over:
            self._met = False
            why = UpstreamUnreachable(f"The server {child.ending}.")
            wanted = child.instance.ending == ENDED_ON_PURPOSE
            self._session.owner.broke(ConnectionLoss(why, at_once=wanted))

    async def _wait_until_it_listens(self, child: StdioChannel) -> None:
        pause = _FIRST_LOOK
        while not child.over:
            try:
                connection = await self._reached(child).connect(self._artifact.port)
            except UpstreamUnreachable:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_LOOK)
            else:
                connection.close()
                return
        raise UpstreamUnreachable(f"The server {child.ending}.", remedy=cure(child.early.lines()))

    def _reached(self, child: StdioChannel) -> ListeningInstance:
        assert isinstance(child.instance, ListeningInstance)
        return child.instance

    async def _connect_to_endpoint(self) -> HttpConnection:
        child = self._child
        if child is None or child.over:
            raise UpstreamUnreachable("The server has ended.")
        own = await self._reached(child).connect(self._artifact.port)
        loop = asyncio.get_running_loop()
        try:
            transport, made = await loop.create_connection(
                lambda: HttpConnection(self._client, FIELDS), sock=own
            )
        except OSError as failed:
            own.close()
            raise UpstreamUnreachable("The server refused the connection.") from failed
        # At once: whether it may be written was asked just before.
        transport.set_write_buffer_limits(high=0)
        return made

    async def _end_child(self, seconds: float | None = None) -> None:
        child, self._child = self._child, None
        if child is not None:
            self._said = child.early.lines()
            await child.stop(seconds)
