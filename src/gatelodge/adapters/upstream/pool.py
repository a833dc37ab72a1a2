"""The pool of upstream MCP servers: one link for each approved one, and nothing else.

`reconcile` makes it equal to the catalog; `observe` reaches a server once because an admin said so.
Everything runs on one event loop and is owned here: the links, their owner tasks, and one timer
that looks after deadlines. `close` ends all of it.
"""

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Callable

import msgspec

from gatelodge.adapters.upstream.flight import Flight, Flights, Listener, Means
from gatelodge.adapters.upstream.http.wire import HttpWire
from gatelodge.adapters.upstream.link import Link, Wire
from gatelodge.adapters.upstream.observe import read_tools
from gatelodge.adapters.upstream.stdio.wire import Place, StdioWire
from gatelodge.config.schema import Hosting, Limits
from gatelodge.core.catalog.server import HttpTransport, Server, StdioTransport
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.protocol.version import Era
from gatelodge.ports.upstream import Health, Observed, Request
from gatelodge.ports.world import Secrets

SWEEP_SECONDS = 0.05
"""How late a deadline may be noticed."""
UIDS = 60_000
"""Numbers from hosting.first_uid on that servers may get as uids."""

_log = logging.getLogger("gatelodge.upstream")


class UpstreamPool:
    """Implements `Upstreams`. Made outside a loop or in it; used on one loop only."""

    def __init__(
        self,
        *,
        secrets: Secrets,
        limits: Limits,
        hosting: Hosting,
        version: str,
        root: bool,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`root` = the gate may change uids; `tls` replaces the system's trust."""
        self._tls = tls
        self._root = root
        self._limits = limits
        self._means = Means(
            secrets=secrets,
            version=version,
            tls=self._trust,
            hosting=hosting,
            result_bytes=limits.result_bytes,
        )
        self._links: dict[str, Link] = {}
        self._tasks: dict[asyncio.Task[None], Link] = {}
        self._uids: dict[Link, int] = {}
        self._eras: dict[bytes, Era] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, server: str, request: Request, on_notification: Listener | None) -> Flight:
        """Send a request; never raises, `reply` fails instead."""
        link = self._links.get(server)
        if link is not None:
            return link.begin(request, on_notification)
        absent = Flights(lambda _flight, _reason: None, Flight)
        flight = absent.add(request, on_notification)
        absent.fail(flight, UpstreamUnreachable("The server is not in use."))
        return flight

    async def observe(self, server: Server) -> Observed:
        """Reach the server, starting it if it must be, and read its tools.

        A server that is in the pool and well, with this very definition, is asked where it is; any
        other is reached for this one question and left again.
        """
        link = self._links.get(server.id)
        if link is not None and link.hopeful and link.definition == _definition(server):
            return await self._read(link, server)
        link, task = self._start(server)
        try:
            return await self._read(link, server)
        finally:
            await self._end(link, task)

    async def reconcile(self, servers: tuple[Server, ...]) -> None:
        """Make the pool equal to the approved servers of this list; waits for no start or stop."""
        wanted: dict[str, Server] = {s.id: s for s in servers if s.status == "approved"}
        for key, link in list(self._links.items()):
            kept = wanted.get(key)
            if kept is None or link.dead or _definition(kept) != link.definition:
                del self._links[key]
                self._stop(link)
        for key, server in wanted.items():
            if key not in self._links:
                self._links[key], _ = self._start(server)

    def health(self, server: str) -> Health:
        """How that server is doing now; `off` when it is not in the pool."""
        link = self._links.get(server)
        return Health(state="off") if link is None else link.health()

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """Call `listener(server id)` when a server's tools may have changed."""
        self._listeners.append(listener)

    def counts(self) -> dict[str, int]:
        """What is open now: calls, connections, children, owner tasks."""
        told = [link.told() for link in self._tasks.values()]
        return {
            "calls": sum(link.flights.calls for link in self._tasks.values()),
            "connections": sum(each.connections for each in told),
            "children": sum(each.children for each in told),
            "tasks": len(self._tasks),
        }

    async def close(self) -> None:
        """End every connection and child process (close stdin, then TERM, then KILL)."""
        self._links.clear()
        for task, link in list(self._tasks.items()):
            link.stop()
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _read(self, link: Link, server: Server) -> Observed:
        hello = await link.meet(self._means.hosting.start_seconds * 2)
        http = isinstance(server.transport, HttpTransport)
        observed = await read_tools(
            lambda request: link.begin(request, None),
            self._limits.list_seconds,
            strict_headers=http and hello.era == "modern",
        )
        dropped = observed.dropped
        link.note = f"{dropped} unusable tools were left out." if dropped else ""
        return msgspec.structs.replace(observed, instructions=hello.instructions)

    def _start(self, server: Server) -> tuple[Link, asyncio.Task[None]]:
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)
        link = Link(
            _definition(server),
            lambda desk: self._wire(server, desk),
            lambda: self._changed(server.id),
            self._means.hosting.backoff_seconds,
        )
        task = loop.create_task(link.run(), name=f"upstream {server.id}")
        self._tasks[task] = link
        task.add_done_callback(self._ended)
        return link, task

    def _wire(self, server: Server, desk: Link) -> Wire:
        transport = server.transport
        if isinstance(transport, HttpTransport):
            return HttpWire(transport, server.era, self._means, desk)
        uid = self._uid(server.id, transport, desk)
        place = Place(uid, msgspec.json.encode(transport), self._eras)
        return StdioWire(transport, server.era, self._means, desk, place)

    def _uid(self, server: str, transport: StdioTransport, link: Link) -> int:
        """A uid that no other running server has: always the same where that is possible."""
        if not self._root or transport.run_as != "own":
            return 0
        taken = set(self._uids.values())
        number = int.from_bytes(hashlib.sha256(server.encode()).digest()[:4]) % UIDS
        while self._means.hosting.first_uid + number in taken:
            number = (number + 1) % UIDS
        self._uids[link] = self._means.hosting.first_uid + number
        return self._uids[link]

    async def _end(self, link: Link, task: asyncio.Task[None]) -> None:
        link.stop()
        task.cancel()
        await asyncio.wait((task,))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """An owner task is over: as it was told to, or because of something nobody thought of."""
        link = self._tasks.pop(task)
        self._uids.pop(link, None)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            _log.error("the owner task of a server died: %s", type(fault).__name__)
            link.crashed(type(fault).__name__)

    def _stop(self, link: Link) -> None:
        link.stop()
        for task, owned in self._tasks.items():
            if owned is link:
                task.cancel()

    def _changed(self, server: str) -> None:
        for listener in self._listeners:
            listener(server)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = loop.call_later(SWEEP_SECONDS, self._sweep)
        for link in list(self._tasks.values()):
            link.sweep(now)

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _definition(server: Server) -> bytes:
    """What a change of makes a restart: how the server is reached, and which era is wished."""
    return msgspec.json.encode((server.transport, server.era), order="sorted")
