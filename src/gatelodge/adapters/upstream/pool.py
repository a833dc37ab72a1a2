"""The pool of upstream MCP servers: the connections of each approved one, and nothing else.

`reconcile` makes it equal to the catalog; `observe` reaches a server once because an admin said so.
Everything runs on one event loop and is owned here: the links, their owner tasks, and one timer
that looks after deadlines. `close` ends all of it.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Collection, Hashable
from functools import partial

from msgspec import structs

from gatelodge.adapters.upstream.connection import ServerConnection
from gatelodge.adapters.upstream.http.hosted import HostedHttpTransport
from gatelodge.adapters.upstream.http.streamable_http import StreamableHttpTransport
from gatelodge.adapters.upstream.pace.listeners import UpstreamListeners
from gatelodge.adapters.upstream.pace.overlap import OverlappingLooks
from gatelodge.adapters.upstream.pending import (
    Listener,
    PendingRequest,
    failed_request,
)
from gatelodge.adapters.upstream.scope.own_instances import OwnInstances, has_own_instances
from gatelodge.adapters.upstream.server_connections import ServerConnections
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.stdio.launch import StdioContext
from gatelodge.adapters.upstream.stdio.pipes import StdioPipesTransport
from gatelodge.adapters.upstream.stdio.unread import UnreadTotal
from gatelodge.adapters.upstream.transport import TransportContext
from gatelodge.config.schema import LimitSettings, UpstreamSettings
from gatelodge.core.catalog.server import ArtifactTransport, HttpTransport, Server
from gatelodge.core.errors import HouseError, UpstreamUnreachable, name_of_fault
from gatelodge.core.jsontext.jsonrpc import notification_body
from gatelodge.core.protocol.capabilities import NOTHING
from gatelodge.core.protocol.upstream import ROOTS_CHANGED
from gatelodge.ports.runtime import Runtime
from gatelodge.ports.upstream import (
    Ending,
    ObservedOffer,
    OnBehalfOf,
    ServerHealth,
    ServerLoad,
    SessionNotification,
    UpstreamRequest,
)
from gatelodge.ports.world import SecretResolver

SWEEP_SECONDS = 0.05
"""How late a deadline may be noticed."""

_log = logging.getLogger("gatelodge.upstream")


class UpstreamPool:
    """Implements `Upstreams`. Made outside a loop or in it; used on one loop only."""

    def __init__(
        self,
        *,
        secrets: SecretResolver,
        limits: LimitSettings,
        upstream: UpstreamSettings,
        version: str,
        runtime: Runtime,
        tls: ssl.SSLContext | None = None,
        idle_seconds: float = 0.0,
    ) -> None:
        """`tls` replaces the system's trust; a hosted server ends unused for `idle_seconds`.

        0 = it never does.
        """
        self._idle_seconds = idle_seconds
        self._tls = tls
        self._runtime = runtime
        self._stdio = StdioContext(runtime=runtime, eras={}, unread=UnreadTotal())
        self._limits = limits
        self._means = TransportContext(
            secrets=secrets,
            version=version,
            tls=self._tls_context,
            upstream=upstream,
            result_bytes=limits.result_bytes,
        )
        self._servers: dict[str, ServerConnections] = {}
        self._links: set[ServerConnection] = set()
        self._editions: dict[str, Hashable] = {}
        self._unmet: dict[str, HouseError] = {}
        self._listeners = UpstreamListeners()
        self._looks = OverlappingLooks(self._listeners.tell_changed)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def begin(
        self, server: str, request: UpstreamRequest, on_notification: Listener | None
    ) -> PendingRequest:
        """Send a request; never raises, `reply` fails instead."""
        connections = self._servers.get(server)
        if connections is None:
            return failed_request(UpstreamUnreachable("The server is not in use."), request)
        link, asker = connections.main, request.asker
        if connections.scoped:
            plain = False
        elif link.modern:
            plain = request.era == "modern" and (
                asker.capabilities == NOTHING or not connections.dual
            )
        else:
            plain = asker.capabilities == NOTHING and not asker.level
        if plain:  # there is nothing to choose (hot path)
            return link.begin(request, on_notification)
        found = connections.carrier(request)
        if isinstance(found, HouseError):
            return failed_request(found, request)
        return found.begin(request, on_notification)

    async def observe(self, server: Server) -> ObservedOffer:
        """Reach the server, starting it if it must be, and read what it offers.

        A server that is in the pool and well, with this very definition, is asked where it is; any
        other is reached for this one question and left again.
        """
        if self._closed:
            raise UpstreamUnreachable("The gate is stopping.")
        with self._looks.during(server.id):
            return await self._look_at(server)

    async def _look_at(self, server: Server) -> ObservedOffer:
        connections = self._servers.get(server.id)
        if connections is not None and not connections.reaches(server):
            connections = None
        if connections is not None and connections.main.hopeful:
            return await connections.observe(self._limits)
        # The pool's listeners must not hear of this meeting: they would ask for one more look.
        once = self._connections_for(server, None)
        if connections is not None:
            once.probe = connections.probe
        self._unmet.pop(server.id, None)
        try:
            return await once.observe(self._limits)
        except HouseError as fault:
            self._unmet[server.id] = fault.again()
            _log.info("server %s could not be looked at: %s", server.alias, fault.detail)
            raise
        finally:
            links = once.links()
            once.close()
            await asyncio.wait([link.task for link in links])

    async def reconcile(self, servers: tuple[Server, ...]) -> None:
        """Make the pool equal to the approved servers of this list; waits for no start or stop."""
        if self._closed:
            return
        wanted: dict[str, Server] = {s.id: s for s in servers if s.status == "approved"}
        for key, connections in list(self._servers.items()):
            kept = wanted.get(key)
            if kept is None:
                del self._servers[key], self._editions[key]
                connections.close()
            elif connections.main.dead or not connections.reaches(kept):
                self._begin_or_replace_server(kept)
            elif self._editions[key] != self._edition_of(kept):
                _log.info("server %s begins anew: a secret that it is given changed", kept.alias)
                self._begin_or_replace_server(kept)
        for key, server in wanted.items():
            if key not in self._servers:
                self._begin_or_replace_server(server)
        # A server that is only disabled keeps its cache, so all servers count here.
        known = frozenset(server.id for server in servers)
        self._unmet = {key: fault for key, fault in self._unmet.items() if key in known}
        self._runtime.keep(known)

    def health(self, server: str) -> ServerHealth:
        """How that server is doing now; `off` when it is not in the pool."""
        connections = self._servers.get(server)
        if connections is not None:
            return connections.health()
        fault = self._unmet.get(server)
        if fault is None:
            return ServerHealth(state="off")
        return ServerHealth(state="off", detail=fault.detail, said=fault.said)

    def calls_in(self, server: str, principal: str) -> int:
        """How many calls run in instances of that server: this principal's, "" = the shared one."""
        connections = self._servers.get(server)
        links = () if connections is None else connections.links()
        return sum(link.flights.calls for link in links if link.asker.principal == principal)

    def on_ending(self, listener: Callable[[str, str | None, Ending], None]) -> None:
        """Call `listener(server id, principal, why)` before instances are ended that nobody needs.

        The principal is empty for the shared instances, and None for all of the server.
        """
        self._listeners.ending.append(listener)

    def on_quarantine(self, listener: Callable[[str], None]) -> None:
        """Call `listener(server id)` when a hosted server ended too often, and is left alone."""
        self._listeners.quarantined.append(listener)

    def restart(self, server: str) -> bool:
        """Begin anew with a server, whatever state it is in; false when it is not in the pool."""
        connections = self._servers.get(server)
        if connections is None:
            return False
        self._begin_or_replace_server(connections.server)
        return True

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """Call `listener(server id)` when what a server offers may have changed."""
        self._listeners.changed.append(listener)

    def subscribe(self, server: str, uris: frozenset[str]) -> None:
        """Have exactly these resources of the server watched from now on; it waits for nothing."""
        connections = self._servers.get(server)
        if connections is not None:
            connections.main.session.watching.watch(uris)

    def on_updated(self, listener: Callable[[str, str], None]) -> None:
        """Call `listener(server id, uri)` when a watched resource changed, or may have."""
        self._listeners.updated.append(listener)

    def on_notification(self, listener: Callable[[SessionNotification], bool]) -> None:
        """Have this listener hear what is said in sessions outside of every request."""
        self._listeners.said.append(listener)

    def hear_of_roots(self, asker: OnBehalfOf) -> frozenset[str]:
        """The servers with sessions of the asker's own that are told of its roots."""
        return frozenset(key for key, each in self._servers.items() if each.rooted(asker))

    def roots_changed(self, asker: OnBehalfOf, servers: Collection[str] | None = None) -> None:
        """Tell the asker's own sessions with these servers that its client's roots are others."""
        for key in self.hear_of_roots(asker) if servers is None else servers:
            connections = self._servers.get(key)
            for link in () if connections is None else connections.rooted(asker):
                link.say(notification_body(ROOTS_CHANGED))

    def leave(self, principal: str, servers: Collection[str] | None = None) -> None:
        """End every session of this principal, or those with these servers; what runs fails."""
        for key, connections in self._servers.items():
            if servers is None or key in servers:
                connections.leave(principal)

    def load(self) -> dict[str, ServerLoad]:
        """What is open at each server of the pool now, by its id."""
        return {key: connections.load() for key, connections in self._servers.items()}

    def counts(self) -> dict[str, int]:
        """What is open now: calls, connections, children, owner tasks."""
        told = [link.session.transport.told() for link in self._links]
        return {
            "calls": sum(link.flights.calls for link in self._links),
            "connections": sum(each.connections for each in told),
            "children": len(self._runtime.instances()),
            "tasks": len(self._links),
        }

    async def close(self) -> None:
        """End every connection and child process (close stdin, then TERM, then KILL).

        Nothing is begun from then on.
        """
        self._closed = True
        self._servers.clear()
        # The links of a look that is under way belong to no server of the pool.
        for link in list(self._links):
            link.stop()
        if self._links:
            await asyncio.wait([link.task for link in self._links])
        await self._runtime.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _connections_for(
        self, server: Server, listeners: UpstreamListeners | None
    ) -> ServerConnections:
        upstream = self._means_of(server).upstream
        if isinstance(server.transport, ArtifactTransport) and self._idle_seconds:
            upstream = structs.replace(upstream, session_idle_seconds=self._idle_seconds)
        kind = OwnInstances if has_own_instances(server) else ServerConnections
        return kind(server, upstream, self._start_link, listeners)

    def _begin_or_replace_server(self, server: Server) -> None:
        """Begin with a server, or begin anew; what was watched there goes on being watched."""
        before = self._servers.pop(server.id, None)
        if before is not None:
            self._listeners.tell_ending(server.id, None, "replaced")
            before.close()
        self._editions[server.id] = self._edition_of(server)
        self._servers[server.id] = self._connections_for(server, self._listeners)
        if before is not None:
            self.subscribe(server.id, before.main.session.watching.uris)

    def _start_link(
        self, connections: ServerConnections, asker: OnBehalfOf | None
    ) -> ServerConnection:
        loop = asyncio.get_running_loop()
        # The pool may be made outside a loop, so its timer begins with the first link.
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_SECONDS, self._run_periodic_sweep)
        server = connections.server
        link = ServerConnection(
            lambda link: self._create_session(connections, link),
            connections,
            self._means.upstream.backoff_seconds,
            asker,
            hosted=isinstance(server.transport, ArtifactTransport),
            idle_after=self._idle_seconds,
        )
        link.task = loop.create_task(link.run(), name=f"upstream {server.id}")
        self._links.add(link)
        link.task.add_done_callback(partial(self._clean_up_link, link))
        return link

    def _create_session(self, connections: ServerConnections, link: ServerConnection) -> McpSession:
        server = connections.server

        transport, wish = server.transport, server.era if link.main else connections.era
        means = self._means_of(server)
        if isinstance(transport, HttpTransport):
            http = partial(StreamableHttpTransport, transport, means)
            return McpSession(http, wish, means, link, link.asker)
        if isinstance(transport, ArtifactTransport) and transport.port:
            hosted = partial(HostedHttpTransport, server, transport, means, self._stdio)
            return McpSession(hosted, wish, means, link, link.asker)
        pipes = partial(StdioPipesTransport, server, transport, means, self._stdio)
        return McpSession(pipes, wish, means, link, link.asker)

    def _edition_of(self, server: Server) -> Hashable:
        return self._means.secrets.edition(server.transport, server.workspace)

    def _means_of(self, server: Server) -> TransportContext:
        """What its sessions are given: a server may have its own time to start."""
        seconds, upstream = server.timing.start_seconds, self._means.upstream
        if seconds:
            upstream = structs.replace(upstream, start_seconds=seconds)
        return structs.replace(self._means, upstream=upstream, workspace=server.workspace)

    def _clean_up_link(self, link: ServerConnection, task: asyncio.Task[None]) -> None:
        """An owner task is over: as it was told to, or because of something nobody thought of."""
        self._links.discard(link)
        # Whoever ends a link says so before: a cancellation from elsewhere is a fault like others.
        ended = link.off and task.cancelled()
        fault = asyncio.CancelledError() if task.cancelled() else task.exception()
        if fault is not None and not ended:
            self._give_up_link(link, fault)

    def _give_up_link(self, link: ServerConnection, fault: BaseException) -> None:
        """The gate itself failed at this server, which is begun anew after a while."""
        name = name_of_fault(fault)
        _log.error("the task of %s died: %s", link.task.get_name(), name, exc_info=fault)
        link.crashed(name)

    def _run_periodic_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # The next sweep is set first: an error in this one must not end all deadlines.
        self._timer = loop.call_later(SWEEP_SECONDS, self._run_periodic_sweep)
        for link in list(self._links):
            # What fails at one server must not end the deadlines of others, again and again.
            try:
                link.sweep(now)
            except Exception as fault:  # noqa: BLE001 - of whatever kind: the link is begun anew
                self._give_up_link(link, fault)
        # A server may be begun anew on the way, so the loop goes through a copy.
        for connections in list(self._servers.values()):
            connections.sweep(now)
            if connections.main.replace_at <= now:
                self._begin_or_replace_server(connections.server)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
