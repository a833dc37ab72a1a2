"""The only way out of an instance: each connection by name, allowed, recorded, made by the gate.

The instance sees a network in which each allowed name has an address of its own, and nothing else
is there. What it connects to at that address the gate connects to in its stead, after it was
written down (isolation:no-second-path), at an address that it resolved and judged itself.
"""

import asyncio
import os
import socket
from collections.abc import Iterable
from contextlib import suppress

from msgspec import Struct

from gatelodge.adapters.net.dial import allowed_addresses, connect_addresses
from gatelodge.adapters.net.lookups import resolve_apart
from gatelodge.adapters.runtime.network.bounds import FoldedReports, RateBucket
from gatelodge.adapters.runtime.network.connection import STOPPED, EgressConnection
from gatelodge.adapters.runtime.network.listening import (
    PacedSocket,
    accept_connection,
    reset_connection,
)
from gatelodge.adapters.runtime.network.namespace import open_in_namespace, refuse_own_network
from gatelodge.adapters.runtime.network.places import AllowedPlaces
from gatelodge.adapters.runtime.network.resolver import NameResolver
from gatelodge.core.errors import HouseError, Invalid
from gatelodge.core.http.egress import judge
from gatelodge.ports.runtime import EgressEvent, EgressKind, EgressReport

_OPENS = "Name the place in hosting.egress_private, if its private address is meant."
_NO_RECORD = "it could not be recorded"
_NO_HOST = "(not the name of a host)"
_CLOSING_SECONDS = 2.0
"""How long the records of cut connections are waited for; the connections are not."""
_LOOKUPS_AT_ONCE = 2
"""Of one instance; all of them share a few threads (`net.lookups`)."""


class EgressBounds(Struct, frozen=True, kw_only=True):
    """How much one instance may have under way, and how fast it may ask; bursts beside rates."""

    connections: int = 64
    new_connections: tuple[float, float] = (64, 20)
    lookups: tuple[float, float] = (200, 50)
    idle_seconds: float = 900.0


class EgressGate:
    """The sockets of one instance and what goes through them. Made by `open_egress_gate`."""

    def __init__(
        self,
        namespace: int,
        places: AllowedPlaces,
        report: EgressReport,
        private: frozenset[str],
        bounds: EgressBounds,
    ) -> None:
        """Owns `namespace`, a descriptor."""
        self._namespace = namespace
        self._places = places
        self._report = report
        self._private = private
        self._bounds = bounds
        self._folded = FoldedReports(report)
        self._resolver: NameResolver | None = None
        self._listeners: dict[int, PacedSocket] = {}
        self._connections: dict[EgressConnection, asyncio.Task[None]] = {}
        clock = asyncio.get_running_loop().time
        self._arrivals = RateBucket(*bounds.new_connections, clock)
        self._questions = RateBucket(*bounds.lookups, clock)
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}
        self._looking = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        self._closed = False

    async def open(self) -> None:
        """Make the sockets. Raises UpstreamUnreachable; `close` is due also when this fails."""
        ports = sorted(self._places.ports)
        datagrams, stream, *listeners = await open_in_namespace(
            self._namespace, roads=True, names=True, listen=ports
        )
        self._resolver = NameResolver(datagrams, stream, self._questions, self._look_up)
        self._listen(ports, listeners)

    def cut(self) -> None:
        """End every connection at once and take no more. Idempotent."""
        if not self._closed:
            self._closed = True
            os.close(self._namespace)
        if self._resolver is not None:
            self._resolver.close()
        for listener in self._listeners.values():
            listener.close()
        for each in self._connections:
            each.cut(STOPPED)
        for lookup in self._lookups.values():
            lookup.cancel()

    async def close(self) -> None:
        """Cut everything, and wait until it is on record, though not for ever. Idempotent."""
        self.cut()
        if self._connections:
            await asyncio.wait(self._connections.values(), timeout=_CLOSING_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._folded.close()

    def _listen(self, ports: Iterable[int], listeners: Iterable[socket.socket]) -> None:
        for port, listener in zip(ports, listeners, strict=True):
            # Closed while they were made: nobody listens there in vain.
            if self._closed:
                listener.close()
            else:
                self._listeners[port] = PacedSocket(
                    listener, self._take_connection, self._arrivals, self._has_room
                )

    def _has_room(self) -> bool:
        return len(self._connections) < self._bounds.connections

    def _look_up(self, name: str) -> tuple[str | None, bool]:
        address = self._places.address_of(name)
        if address is None:
            self._tell("refused", name or _NO_HOST, 0, "the name is on no list")
        else:
            self._tell("resolved", name)
        return address, address is not None

    def _take_connection(self, listener: socket.socket) -> None:
        connection = accept_connection(listener)
        try:
            address, port = connection.getsockname()
        except OSError:
            connection.close()
            return
        host = self._places.name_of(address)
        if host is not None and self._places.holds(host, port):
            made = EgressConnection(host, port, self._bounds.idle_seconds)
            task = asyncio.get_running_loop().create_task(self._serve(made, connection))
            self._connections[made] = task
            task.add_done_callback(lambda _: self._connections.pop(made, None))
            return
        reset_connection(connection)
        why = "no name has this address" if host is None else "the name is not allowed at this port"
        self._tell("refused", host or address, port, why)

    async def _serve(self, made: EgressConnection, inner: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: made.inner, inner)
        except OSError:
            inner.close()
            return
        if made.is_cut:
            made.inner.abort()
            return
        try:
            await self._report(made.event("opened"))
        except HouseError:
            made.cut(_NO_RECORD)
            self._tell("refused", made.host, made.port, _NO_RECORD)
            return
        await made.run(self._connect_outside(made))
        with suppress(HouseError):  # it is over, and whoever keeps the records closes them
            await self._report(made.event("closed"))

    async def _connect_outside(self, made: EgressConnection) -> None:
        """Connect the outer end to a judged address. Raises HouseError."""
        private = f"{made.host}:{made.port}" in self._private

        def check(address: str) -> None:
            standing = judge(address)
            if standing.reach == "never" or (standing.reach == "private" and not private):
                raise Invalid(
                    f"the name leads to an address that is not public ({standing.what})",
                    remedy=_OPENS,
                )

        try:
            addresses = allowed_addresses(await self._resolve(made.host, made.port), check)
        except Invalid as refused:
            self._tell("refused", made.host, made.port, refused.detail)
            raise
        made.outer = await connect_addresses(addresses, made.host, made.port, made.new_outer)

    async def _resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host; whoever asks meanwhile gets the same ones."""
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = asyncio.get_running_loop().create_task(self._resolve_alone(host, port))
            self._lookups[host] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(host, None))
        return await asyncio.shield(lookup)

    async def _resolve_alone(self, host: str, port: int) -> list[str]:
        async with self._looking:
            return await resolve_apart(host, port)

    def _tell(self, kind: EgressKind, host: str, port: int = 0, reason: str = "") -> None:
        event = EgressEvent(kind=kind, connection="", host=host, port=port, reason=reason)
        self._folded.tell(event)


async def open_egress_gate(
    namespace: int,
    egress: Iterable[str],
    report: EgressReport,
    *,
    private: Iterable[str] = (),
    bounds: EgressBounds | None = None,
) -> EgressGate:
    """The gate of the instance whose network namespace this descriptor is of; none was there yet.

    `egress` and `private` are places (`host:port`). To be called before the instance's program
    runs: it must not listen where the gate is to. `namespace` stays the caller's. Raises Invalid
    for a place that is none, UpstreamUnreachable when the sockets cannot be made.
    """
    refuse_own_network(namespace)
    places = AllowedPlaces(egress)
    gate = EgressGate(
        os.dup(namespace), places, report, frozenset(private), bounds or EgressBounds()
    )
    try:
        await gate.open()
    except BaseException:
        await gate.close()
        raise
    return gate
