"""One server and its session: met, kept, lost, met again after a pause, until the pool ends it.

What leads from one state to another, and how long it pauses, is a table (`lifecycle.py`). Here is
what is done in each: requests are sent, held or refused, and the owner task meets the server.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Protocol

from gatelodge.adapters.upstream.lifecycle import ConnectionLife, Event
from gatelodge.adapters.upstream.pace.resting import QUARANTINED, UnusedTime, quarantined_error
from gatelodge.adapters.upstream.pending import (
    ConnectionLoss,
    Listener,
    PendingRequest,
)
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.transport import SLOW
from gatelodge.core.access.shares import FairQueue
from gatelodge.core.errors import (
    HouseError,
    LimitReached,
    OwnSecretMissing,
    Unavailable,
    UpstreamBrokeProtocol,
    UpstreamUnreachable,
)
from gatelodge.core.protocol.upstream_era import ServerHello, capable
from gatelodge.ports.upstream import (
    NOBODY,
    MayGo,
    OnBehalfOf,
    ServerHealth,
    UpstreamRequest,
)

REPLACE_SECONDS = 60.0
"""How long a server is left alone at which the gate itself failed."""
MOST_HELD = 1024
"""Requests that wait for a server to be met; no person keeps the others out."""


class ConnectionKeeper(Protocol):
    """Whoever keeps a connection: hears what becomes of it, and which one carries a request."""

    def elsewhere(
        self, link: "ServerConnection", request: UpstreamRequest
    ) -> "ServerConnection | HouseError | None":
        """The connection that carries what was held while nothing was known; None = this one."""
        ...

    def met(self, link: "ServerConnection") -> None:
        """The server was met."""
        ...

    def unmet(self, link: "ServerConnection", fault: HouseError) -> None:
        """It was not met, or was lost; what it holds may be taken away (`released`)."""
        ...

    def rests(self, link: "ServerConnection") -> None:
        """Nobody used it for long, and it is about to be ended until somebody does."""
        ...

    def changed(self) -> None:
        """What the server offers may have changed."""
        ...

    def updated(self, uri: str) -> None:
        """A watched resource may have changed."""
        ...

    def aside(self, link: "ServerConnection", method: str, params: bytes) -> bool:
        """Something was said in somebody's own session, outside of every request."""
        ...


class ServerConnection:
    """The life of one server. `run` is its owner `task`, which the pool begins, on the same loop.

    `asker` is what a session declares, and for whom; the main link declares nothing. `dead` is one
    whose owner task died; another may be begun at `replace_at` (event loop's clock). `modern` is
    what the server spoke when it was last met, `logs` that it takes a level, `pushes` that it
    can ask; `used` and `recent` belong to the keeper.
    """

    def __init__(
        self,
        session: "Callable[[ServerConnection], McpSession]",
        keeper: ConnectionKeeper,
        first_pause: float,
        asker: OnBehalfOf | None = None,
        *,
        hosted: bool = False,
        idle_after: float = 0.0,
    ) -> None:
        """`asker` makes it a session; without it this is the main link.

        `hosted` = the gate runs it in isolation; its main link ends when it was unused for
        `idle_after` seconds (0 = never).
        """
        self.task: asyncio.Task[None]
        self.note = ""
        self.dead = False
        self.replace_at = math.inf
        self.modern = False
        self.logs, self.pushes = False, True
        self.asker = NOBODY if asker is None else asker
        self.main = asker is None
        self.used = 0.0
        self.recent: dict[tuple[str, str], None] = {}
        self._loop = asyncio.get_running_loop()
        self._keeper = keeper
        self.session = session(self)
        self.flights = self.session.flights
        self._unused = UnusedTime(idle_after if hosted and self.main else 0.0)
        wakes = self.session.transport.wakes
        self._life = ConnectionLife(first_pause, wakes=wakes, hosted=hosted)
        self._held: FairQueue[PendingRequest] = FairQueue()
        self._wake = asyncio.Event()
        self._met = asyncio.Event()
        self._lost: asyncio.Future[ConnectionLoss] = self._loop.create_future()
        self._hello: ServerHello | None = None
        self._fault: HouseError | None = None
        self._restarts = 0

    def begin(self, request: UpstreamRequest, listener: Listener | None) -> PendingRequest:
        """Send a request, now or when the server is ready; refuse it when it is away."""
        flight = self.flights.add(request, listener)
        if self._life.state == "ready":
            self.session.transmit(flight)
        else:
            self.hold(flight)
        return flight

    def adopt(self, flight: PendingRequest) -> None:
        """Carry a flight that was begun on another link and not sent there."""
        self.flights.take_over(flight)
        self.hold(flight)

    def hold(self, flight: PendingRequest) -> None:
        """Send this flight, now or as soon as the server is ready; refuse it when it is away."""
        flight.place = None
        if self._life.state == "ready":
            self.session.transmit(flight)
        elif self._life.state != "starting" and not self._wake_if_allowed():
            self.flights.fail(flight, self._not_running_error())
        elif not self._held.add(flight.request.asker.whose, flight, MOST_HELD):
            text = "Too many requests wait for this server to start."
            self.flights.fail(flight, LimitReached(text, retry_after=1.0))

    def released(self) -> list[PendingRequest]:
        """The flights that were held; whoever asks carries them elsewhere."""
        held = self._held.clear()
        return [flight for flight in held if self.flights.open.get(flight.number) is flight]

    def broke(self, why: ConnectionLoss) -> None:
        """The transport lost the server; requests are held or refused from this moment on."""
        if self._life.state == "ready":
            self._fault = why.fault
            self._life.lose(self._loop.time(), at_once=why.at_once)
            self._note_state()
            self._lost.set_result(why)

    def changed(self) -> None:
        """What the server offers may have changed."""
        if self._life.state == "ready":  # what comes before that is read anyway
            self._keeper.changed()

    def updated(self, uri: str) -> None:
        """A watched resource changed."""
        if self.session.watching.uris:
            self._keeper.updated(uri)

    def aside(self, method: str, params: bytes) -> bool:
        """Tell whose session it is what was said outside of every request; false = nobody hears."""
        whose = not self.asker.shared and self.asker.principal
        return bool(whose) and self._keeper.aside(self, method, params)

    def say(self, message: bytes) -> None:
        """Send a notification of ours, if the server is there to hear it."""
        if self._life.state == "ready":
            self.session.transport.say(message)

    def cancel(self, flight: PendingRequest, reason: str) -> None:
        """Tell the server that nobody waits, also not for its questions."""
        # A held request was never sent, so the server has nothing to hear.
        if self._held.drop(flight.request.asker.whose, flight):
            return
        self.session.cancel(flight, reason)

    def respond(self, flight: PendingRequest, response: bytes, admitted: MayGo) -> None:
        """Send a caller's answer to the server that asked."""
        self.session.transport.respond(flight, response, admitted)

    async def run(self) -> None:
        """Keep the server met for as long as this task lives."""
        try:
            while True:
                fault, pause = await self._meet_and_serve_once()
                if pause:
                    await self._wait_before_retry(fault, pause)
        finally:
            await self.session.shut()

    async def meet(self, seconds: float) -> ServerHello:
        """The server's hello, as soon as it was met. Raises why it could not be."""
        if self._life.state == "idle":
            self._wake_if_allowed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._met.wait()
        if self._hello is not None and self._life.state == "ready":
            return self._hello
        fault = self._fault
        if fault is None:
            text = "The server could not be started in time."
            slow = UpstreamUnreachable(text, remedy=SLOW)
            slow.said = self.session.transport.told().said
            raise slow
        # Several callers may wait here, and each needs an exception of its own.
        raise fault.again()

    @property
    def hopeful(self) -> bool:
        """True when the server is there, is being met right now, or is as soon as one asks."""
        return self._life.state in ("ready", "starting", "idle") and not self.dead

    @property
    def ready(self) -> bool:
        """True while requests are sent to it."""
        return self._life.state == "ready"

    @property
    def known(self) -> bool:
        """True when the server was met at least once, so that its era is known."""
        return self._hello is not None

    @property
    def off(self) -> bool:
        """True when it was stopped."""
        return self._life.state == "off"

    @property
    def busy(self) -> bool:
        """True while something runs in it, or waits until it has begun."""
        return self.flights.calls > 0 or self._life.state == "starting"

    def stop(self) -> None:
        """Nothing more is sent, whoever waits is told, and the owner task closes what is open."""
        if self.off:  # a second cancellation would cut that short
            return
        self._enter_state("stopped")
        self._held.clear()
        self.flights.fail_all(_stopped_server_error)
        self.task.cancel()

    def crashed(self, kind: str) -> None:
        """The owner task died of something that nobody thought of."""
        self._fault = UpstreamUnreachable(f"The gate itself failed at this server ({kind}).")
        self.stop()
        self.dead = True
        self.replace_at = self._loop.time() + REPLACE_SECONDS

    def sweep(self, now: float) -> None:
        """End what is past its deadline, here and on the transport."""
        self.flights.sweep(now)
        self.session.transport.sweep(now)
        if self._life.state == "ready":
            self._rest_if_unused(now)

    def health(self) -> ServerHealth:
        """How the server is doing now."""
        told = self.session.transport.told()
        met = self._hello if self._life.state == "ready" else None
        fault = "" if met is not None or self._fault is None else self._fault.detail
        if self._life.state == "quarantined":
            fault = f"{QUARANTINED} {fault}"
        return ServerHealth(
            state="failed" if self.dead else self._life.state,
            era="" if met is None else met.era,
            version="" if met is None else met.version,
            isolation=told.isolation,
            pid=told.pid,
            restarts=self._restarts,
            detail=" ".join(part for part in (fault, told.detail, self.note) if part),
            said=() if met is not None or self._fault is None else self._fault.said,
        )

    async def _meet_and_serve_once(self) -> tuple[HouseError, float]:
        """Meet the server and serve until it is lost; why it was, and the pause after that."""
        self._enter_state("tried")
        self._wake.clear()
        try:
            self._hello = await self.session.open()
        except HouseError as fault:
            await self.session.let_go()
            return fault, self._life.pause_unmet()
        self.modern = self.flights.modern = self.session.modern
        self.logs = capable(self._hello.capabilities).logs
        self.pushes = self._hello.pushes
        since, settled = self._loop.time(), self.flights.settled
        self._lost = self._loop.create_future()
        self._enter_state("met")
        # The keeper learns first what this server can do: that decides where a held request goes.
        self._keeper.met(self)
        for flight in self.released():
            self._dispatch_held_flight(flight)
        listening = self._loop.create_task(self.session.listen(again=self._restarts > 0))
        try:
            why = await self._lost
        finally:
            listening.cancel()
            await asyncio.wait((listening,))
        # An error that nobody thought of ends the owner task too, so that the pool tells of it.
        if not listening.cancelled():
            listening.result()
        if why.idle:
            await self.session.shut()
            await self._wake.wait()
            return why.fault, 0.0
        self._restarts += 1
        await self.session.let_go()
        lasted, answered = self._loop.time() - since, self.flights.settled > settled
        pause, held = self._life.pause_lost(lasted, answered=answered, at_once=why.at_once)
        # `lose` entered `starting`: requests are held over this pause and not refused.
        if held:
            await asyncio.sleep(pause)
        return why.fault, 0.0 if held else pause

    async def _wait_before_retry(self, fault: HouseError, pause: float) -> None:
        """Refuse for a while; a request may end the rest early where the transport says so."""
        self._fault = fault
        # What this gate lacks for the moment says nothing against the server.
        counts = not isinstance(fault, (LimitReached, Unavailable))
        self._life.rest(self._loop.time(), pause, counts=counts)
        self._note_state()
        # The keeper may carry held requests over another link; what it leaves is refused below.
        self._keeper.unmet(self, fault)
        for flight in self.released():
            self.flights.fail(flight, self._not_running_error())
        with contextlib.suppress(TimeoutError):
            until = self._life.until if self.main and self._life.until < math.inf else None
            async with asyncio.timeout_at(until):
                await self._wake.wait()

    def _dispatch_held_flight(self, flight: PendingRequest) -> None:
        """Send what was held, now that it is known how."""
        other = self._keeper.elsewhere(self, flight.request)
        if other is None:
            self.hold(flight)
        elif isinstance(other, HouseError):
            self.flights.fail(flight, other)
        else:
            other.adopt(flight)

    def _rest_if_unused(self, now: float) -> None:
        """End it once nobody used or watched it for long; the next call starts it again."""
        used = self.flights.calls > 0 or bool(self.session.watching.uris)
        if self._unused.is_over(now, settled=self.flights.settled, used=used):
            self._fault = None
            self._keeper.rests(self)
            self._enter_state("slept")
            self._lost.set_result(ConnectionLoss(self._not_running_error(), idle=True))

    def _enter_state(self, event: Event) -> None:
        self._life.become(event)
        self._note_state()

    def _note_state(self) -> None:
        """Let those who wait for the server to be met look again."""
        if self._life.state == "starting":
            self._met.clear()
        else:
            self._met.set()

    def _wake_if_allowed(self) -> bool:
        """True when this request ended the rest."""
        if not self._life.wake(self._loop.time(), main=self.main):
            return False
        self._wake.set()
        self._note_state()
        return True

    def _not_running_error(self) -> HouseError:
        if self._life.state == "quarantined":
            return quarantined_error()
        # Whose session it is can mend that, or come again when there is room.
        if isinstance(self._fault, (OwnSecretMissing, LimitReached)):
            return self._fault.again()
        wait = max(0.1, self._life.until - self._loop.time())
        return UpstreamUnreachable("The server is not running now.", retry_after=round(wait, 1))


def _stopped_server_error(flight: PendingRequest) -> HouseError:
    if flight.place is None:
        return UpstreamUnreachable("The server was stopped.")
    return UpstreamBrokeProtocol("The server was stopped while the call was running.")
