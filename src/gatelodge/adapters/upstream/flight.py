"""Requests in flight: who waits, until when, and what the upstream is told when nobody does.

A flight leaves the table exactly once: answered, failed, timed out or given up. Deadlines are
looked at by one periodic sweep (`Flights.sweep`), not by a timer each.
"""

import asyncio
import itertools
import math
import ssl
from collections.abc import Callable
from typing import Protocol

from msgspec import Raw, Struct

from gatelodge.config.schema import Hosting
from gatelodge.core.errors import HouseError, UpstreamTimeout
from gatelodge.core.protocol.upstream import progress_number, progress_restored
from gatelodge.core.protocol.version import META_PROGRESS
from gatelodge.ports.upstream import Reply, Request
from gatelodge.ports.world import Secrets

Listener = Callable[[str, bytes], None]


class Means(Struct, frozen=True, kw_only=True):
    """What every wire is given: secrets, our version, and how long it may take."""

    secrets: Secrets
    version: str
    tls: Callable[[], ssl.SSLContext]
    hosting: Hosting
    result_bytes: int


class Break(Struct, frozen=True):
    """Why a wire cannot go on; `at_once` = meeting the server anew will mend it."""

    fault: HouseError
    at_once: bool = False


class Flight:
    """One request in flight (the port's `Exchange`).

    `number` is our JSON-RPC id upstream. `place` is what carries it now (None = not written),
    `wire` its bytes; `again`, `replayed` and `epoch` keep it from being sent a third time.
    """

    __slots__ = (
        "again",
        "deadline",
        "epoch",
        "limit",
        "listener",
        "number",
        "place",
        "replayed",
        "reply",
        "request",
        "table",
        "token",
        "wire",
    )

    def __init__(self, table: "Flights", request: Request, listener: Listener | None) -> None:
        self.table = table
        self.number = next(table.numbers)
        self.reply: asyncio.Future[Reply] = table.loop.create_future()
        self.request = request
        self.listener = listener
        self.deadline = table.loop.time() + request.seconds
        self.limit = request.max_bytes
        self.token: Raw | None = None
        if listener is not None and request.meta:
            self.token = request.meta.get(META_PROGRESS)
        self.wire = b""
        self.place: object | None = None
        self.again = False
        self.replayed = False
        self.epoch = 0

    @property
    def progress(self) -> int:
        """Our own progress token for the upstream, 0 when the caller asked for none."""
        return self.number if self.token is not None else 0

    @property
    def kept(self) -> bool:
        """True for a long-lived request of our own, such as a subscription."""
        return math.isinf(self.deadline)

    def abort(self, reason: str) -> None:
        """Stop waiting: the upstream is told, `reply` is cancelled."""
        self.table.give_up(self, reason)

    def hear(self, method: str, params: bytes) -> None:
        """Hand a notification to the caller; progress only when it bears this flight's token."""
        listener = self.listener
        if listener is None:
            return
        if method == "notifications/progress":
            if self.token is None or progress_number(params) != self.number:
                return
            params = progress_restored(params, self.token)
        listener(method, params)


class Flights:
    """The requests in flight of one server, by number. `cancel` tells the upstream of an end."""

    def __init__(self, cancel: Callable[[Flight, str], None], kind: type[Flight]) -> None:
        self.loop = asyncio.get_running_loop()
        self.numbers = itertools.count(1)
        self.open: dict[int, Flight] = {}
        self._cancel = cancel
        self._kind = kind

    def add(self, request: Request, listener: Listener | None) -> Flight:
        """A new flight in the table, not sent yet."""
        flight = self._kind(self, request, listener)
        self.open[flight.number] = flight
        return flight

    def settle(self, flight: Flight, reply: Reply) -> None:
        """The upstream answered."""
        if self.open.pop(flight.number, None) is not None and not flight.reply.done():
            flight.reply.set_result(reply)

    def fail(self, flight: Flight, fault: HouseError) -> None:
        """No answer will come, and this is why."""
        if self.open.pop(flight.number, None) is not None and not flight.reply.done():
            flight.reply.set_exception(fault)

    def give_up(self, flight: Flight, reason: str) -> None:
        """Nobody waits any more: tell the upstream. Idempotent."""
        if self.open.pop(flight.number, None) is None:
            return
        flight.reply.cancel()
        self._cancel(flight, reason)

    def sweep(self, now: float) -> None:
        """End every flight that is past its deadline or whose caller is gone."""
        for flight in list(self.open.values()):
            if flight.reply.cancelled():
                self.give_up(flight, "cancelled")
            elif flight.deadline <= now:
                seconds = flight.request.seconds
                self.fail(flight, UpstreamTimeout(f"No answer within {seconds:g} s."))
                self._cancel(flight, "timeout")

    def fail_all(self, fault: Callable[[Flight], HouseError], place: object = None) -> None:
        """Fail every flight, or each that `place` carries; each gets an error of its own."""
        for flight in list(self.open.values()):
            if place is None or flight.place is place:
                self.fail(flight, fault(flight))

    @property
    def calls(self) -> int:
        """How many callers wait; subscriptions of our own do not count."""
        return sum(not flight.kept for flight in self.open.values())


class Desk(Protocol):
    """Where a wire hands in what it hears: the link of its server."""

    @property
    def flights(self) -> Flights:
        """The requests in flight."""
        ...

    def hold(self, flight: Flight) -> None:
        """Send this flight as soon as the server is ready."""
        ...

    def changed(self) -> None:
        """The server's tools may have changed."""
        ...

    def broke(self, why: Break) -> None:
        """The server is lost until it was met anew."""
        ...
