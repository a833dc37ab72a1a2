"""MCP over the pipes of a child process, in both eras.

One child serves every caller of its server; answers find their flight by our own ids. The era is
asked of a throw-away sibling, because some legacy servers exit at a question that they do not know;
a sibling that turns out to be modern is kept.
"""

import asyncio
import contextlib
import math
import re
from collections.abc import Callable

from msgspec import UNSET, Raw

from gatelodge.adapters.upstream.flight import Break, Flight, Means, too_large
from gatelodge.adapters.upstream.hearing import ENVELOPE, Hearing
from gatelodge.adapters.upstream.stdio.child import Child, Plan, start_child, usual_path
from gatelodge.adapters.upstream.stdio.early import cure
from gatelodge.adapters.upstream.stdio.lines import Ears
from gatelodge.adapters.upstream.stdio.listening import Listening
from gatelodge.adapters.upstream.stdio.places import Place
from gatelodge.adapters.upstream.stdio.unread import Unread
from gatelodge.adapters.upstream.watch import keep_subscribed, listen
from gatelodge.adapters.upstream.wire import SLOW, Desk, Told
from gatelodge.core.catalog.server import EraWish, StdioTransport
from gatelodge.core.errors import (
    HouseError,
    Stale,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.protocol import upstream
from gatelodge.core.protocol.upstream import Message, Unreadable, read_message
from gatelodge.core.protocol.upstream_era import Can, Hello, capable, discovered, initialized
from gatelodge.core.protocol.version import MODERN
from gatelodge.ports.upstream import Reply, Request

PROBE_SECONDS = 10.0
TELL_SECONDS = 5.0
_STATUS_SECONDS = 0.03
_STATUS_LOOKS = 10
LEAST_HIDDEN = 8
"""A literal of the definition that is shorter is no secret, and masking it would hide words."""
_NUMBER = re.compile(rb'"id"\s*:\s*(\d+)\s*[,}]')


class StdioWire:
    """One server over stdio. The link opens it, is told when it breaks, and opens it again."""

    kind = Flight
    wakes = False

    def __init__(
        self,
        transport: StdioTransport,
        wish: EraWish,
        means: Means,
        desk: Desk,
        place: Place,
    ) -> None:
        self._transport = transport
        self._wish = wish
        self._means = means
        self._desk = desk
        self._place = place
        self._child: Child | None = None
        self._unread: Unread | None = None
        self._ready = False
        self._modern = False
        self._can = Can()
        self._hearing = Hearing(desk, self.say)
        self._listenings: dict[int, Listening] = {}
        self._garbage = 0
        self._last = ""
        self._said: tuple[str, ...] = ()

    async def open(self) -> Hello:
        """Start the server and shake hands. Raises UpstreamError or KeyUnreachable.

        Why a server was not met is told with its own last words, for an admin.
        """
        try:
            return await self._open()
        except HouseError as fault:
            fault.said = self._said
            raise

    async def _open(self) -> Hello:
        self._last = ""
        self._said = ()
        self._ready = self._modern = False
        self._hearing.era = "legacy"
        wish = self._wish
        known = self._place.eras.get(self._place.key)
        if wish == "legacy" or (wish == "auto" and known == "legacy"):
            hello = None
        else:
            hello = await self._probe()
        if hello is None:
            try:
                hello = await self._initialize()
            except HouseError:
                self._place.eras.pop(self._place.key, None)  # it may have been updated
                raise
        if wish == "auto":
            self._place.eras[self._place.key] = hello.era
        self._modern = hello.era == "modern"
        self._hearing.era = hello.era
        self._can = capable(hello.capabilities)
        self._ready = True
        self._said = ()
        if self._child is not None:
            self._child.early.met()
        return hello

    async def listen(self) -> None:
        """Hear of changes; a legacy server tells them unasked, but for those of one resource."""
        if self._modern:
            await listen(self._desk, self._can, self._listening)
        else:
            await keep_subscribed(self._desk, self._can, self._subscribe)

    async def let_go(self) -> None:
        """The child broke, or its pipe did: end it with all it started."""
        await self._end(0.0)

    async def shut(self) -> None:
        """Ask the child to go, and see to it."""
        await self._end(self._means.hosting.stop_seconds)

    def transmit(self, flight: Flight) -> None:
        """Write the request as one line."""
        child = self._child
        whose = flight.request.asker.whose
        if child is None or child.silent or child.closed or not self._has_room(whose):
            text = "The server does not read what it is sent."
            self._desk.flights.fail(flight, UpstreamUnreachable(text))
            return
        request = flight.request
        era: bytes = b"{"
        if self._modern or request.method == "server/discover":
            asker = request.asker
            era = upstream.modern_meta(
                self._means.version, request.client, asker.capabilities, flight.level
            )
        meta = upstream.meta_bytes(era, request.meta, flight.progress)
        if not request.admitted():
            text = "The call was not forwarded: access could not be confirmed."
            self._desk.flights.fail(flight, Stale(text))
            return
        flight.place = child
        line = upstream.request_bytes(flight.number, request.method, request.params, meta)
        self._write(child, line, whose)

    def cancel(self, flight: Flight, reason: str, refusals: tuple[bytes, ...]) -> None:
        """Tell the server that nobody waits."""
        child = self._child
        if child is None or flight.place is not child:
            return
        whose = flight.request.asker.whose
        if flight.request.method != "initialize":
            self._write(child, upstream.cancelled_bytes(flight.number, reason), whose)
        for refusal in refusals:
            self._write(child, refusal, whose)

    def respond(self, flight: Flight, response: bytes, admitted: Callable[[], bool]) -> None:
        """Write a response of ours; the end of the child is told to each flight anyway."""
        if admitted():
            self._say(response, flight.request.asker.whose)
        else:
            text = "The answer was not forwarded: access could not be confirmed."
            self._desk.flights.fail(flight, Stale(text))

    def say(self, message: bytes) -> None:
        """Write a message that has no answer; a child that does not read is not told more."""
        self._say(message, self._desk.asker.whose)

    def _say(self, message: bytes, whose: str) -> None:
        child = self._child
        if child is not None and self._has_room(whose):
            self._write(child, message, whose)

    def _has_room(self, whose: str) -> bool:
        """Say whether more may lie before the child for this person."""
        return self._unread is None or self._unread.room(whose)

    def _write(self, child: Child, line: bytes, whose: str) -> None:
        child.write(line)
        if self._unread is not None:
            self._unread.add(whose, len(line) + 1)

    def sweep(self, now: float) -> None:  # noqa: ARG002 - the same for every wire
        """Notice a child that died while a descendant keeps its pipes open.

        Or that closed its input: what it was asked before, it may still answer.
        """
        child = self._child
        if child is None or child.silent:
            return
        if child.over or (child.closed and not self._desk.flights.calls):
            self._ended()

    def told(self) -> Told:
        """The process, and how far it is kept apart."""
        child = self._child
        garbage = f"{self._garbage} lines of its output were not MCP." if self._garbage else ""
        return Told(
            pid=None if child is None else child.pid,
            isolation="not isolated" + (f", uid {self._place.uid}" if self._place.uid else ""),
            detail=garbage,
            said=self._said,
            children=int(child is not None),
        )

    async def _probe(self) -> Hello | None:
        """The hello of a modern server, whose sibling is kept; None for a legacy one."""
        await self._start()
        seconds = min(PROBE_SECONDS, self._means.hosting.start_seconds)
        asked = Request(method="server/discover", params={}, seconds=seconds)
        try:
            reply = await self._ask(asked)
        except UpstreamError:
            reply = Reply()
        answer = Message(
            result=UNSET if reply.result is None else reply.result,
            error=UNSET if reply.error is None else reply.error,
        )
        meeting = discovered(answer)
        if isinstance(meeting, Hello):
            return meeting
        self._hear_last()
        await self._end(0.0)
        if self._wish == "modern":
            raise UpstreamBrokeProtocol(f"The server does not speak {MODERN}. {self._last}".strip())
        return None

    async def _initialize(self) -> Hello:
        await self._start()
        asker = self._desk.asker
        params = upstream.initialize_params(self._means.version, asker.capabilities)
        seconds = self._means.hosting.start_seconds
        try:
            reply = await self._ask(Request(method="initialize", params=params, seconds=seconds))
        except UpstreamTimeout:
            text = f"The server did not answer the handshake within {seconds:g} s."
            self._hear_last()
            raise UpstreamTimeout(text, remedy=SLOW) from None
        except UpstreamError as failed:
            text = self._last or failed.detail
            raise UpstreamUnreachable(text, remedy=cure(self._hear_last())) from None
        if reply.result is None:
            self._hear_last()
            raise UpstreamBrokeProtocol("The server refused the handshake.")
        hello = initialized(reply.result)
        if hello is None:
            self._hear_last()
            raise UpstreamBrokeProtocol("The server speaks no revision that this gate speaks.")
        self.say(upstream.notification_bytes("notifications/initialized"))
        if asker.level and capable(hello.capabilities).logs:
            level = upstream.level_params(asker.level)
            with contextlib.suppress(UpstreamTimeout):  # one that does not know it logs as it likes
                await self._ask(
                    Request(method="logging/setLevel", params=level, seconds=TELL_SECONDS)
                )
        return hello

    async def _start(self) -> None:
        await self._end(0.0)
        given = self._transport.env
        env = {k: self._means.secrets.resolve(v) for k, v in given.items()}
        plan = Plan(
            command=self._transport.command,
            env={**await asyncio.to_thread(self._place.prepared), **env},
            cwd=self._transport.cwd,
            uid=self._place.uid,
            gid=self._place.gid,
            path=usual_path(self._means.hosting.path),
            grace=self._means.hosting.stop_seconds,
            hidden=tuple(v for k, v in env.items() if v != given[k] or len(v) >= LEAST_HIDDEN),
        )
        ears = Ears(
            longest=self._longest, line=self._heard, too_long=self._too_long, end=self._ended
        )
        child = self._child = await start_child(plan, ears)
        self._unread = Unread(self._place.pot, lambda: child.unread)
        if self._child.silent:
            self._ended()  # it was gone before we could listen

    async def _end(self, seconds: float) -> None:
        child, self._child = self._child, None
        unread, self._unread = self._unread, None
        if unread is not None:
            unread.drop()
        self._ready = False
        if child is None:
            return
        self._desk.flights.fail_all(_died, child)
        await child.stop(seconds)

    async def _ask(self, asked: Request) -> Reply:
        flight = self._desk.flights.add(asked, None)
        self.transmit(flight)
        try:
            return await flight.reply
        finally:
            self._desk.flights.give_up(flight, "cancelled")

    def _hear_last(self) -> tuple[str, ...]:
        """What it said before it was met; it was not, so nobody's payload is in it."""
        if self._child is not None:
            self._said = self._child.early.lines()
        return self._said

    def _longest(self) -> int:
        """The longest answer that somebody waits for, and room for its envelope."""
        waiting = (flight.limit for flight in self._desk.flights.open.values())
        return max(waiting, default=self._means.result_bytes) + ENVELOPE

    def _heard(self, line: bytes) -> None:
        message = read_message(line)
        if isinstance(message, Unreadable):
            self._garbage += not self._hearing.garbled(line, message)
            return
        if not message.method:
            self._hearing.answer(message, len(line))
        elif message.method == upstream.ACKNOWLEDGED and message.params is not UNSET:
            listening = self._listenings.get(upstream.subscription(bytes(message.params)))
            if listening is not None:
                listening.acknowledge()
        else:
            self._hearing.take(message, None)

    def _listening(self, params: dict[str, Raw]) -> Listening:
        asked = Request(method="subscriptions/listen", params=params, seconds=math.inf)
        flight = self._desk.flights.add(asked, None)
        self.transmit(flight)
        listening = self._listenings[flight.number] = Listening(flight, self._listenings)
        return listening

    async def _subscribe(self, method: str, uri: str) -> None:
        params = upstream.uri_params(uri)
        await self._ask(Request(method=method, params=params, seconds=TELL_SECONDS))

    def _too_long(self, beginning: bytes) -> None:
        """A line outgrew every answer that is waited for: its flight is told, the child goes."""
        found = _NUMBER.search(beginning)
        flight = self._desk.flights.open.get(int(found[1])) if found else None
        if flight is None and self._desk.flights.calls == 1:
            flight = next(f for f in self._desk.flights.open.values() if not f.kept)
        if flight is not None:
            self._desk.flights.fail(flight, too_large(flight.limit))
        self._lose("The server sent a line that is too long.")

    def _ended(self) -> None:
        """The child died or closed its output. Its status is there a moment after its last byte."""
        loop = asyncio.get_running_loop()
        loop.call_later(_STATUS_SECONDS, self._tell_end, self._child, _STATUS_LOOKS)

    def _tell_end(self, child: Child | None, looks: int) -> None:
        if child is None or child is not self._child:
            return
        if looks and not child.over:
            loop = asyncio.get_running_loop()
            loop.call_later(_STATUS_SECONDS, self._tell_end, child, looks - 1)
            return
        closed = "closed its output" if child.silent else "closed its input"
        words = f"exited with status {child.status}" if child.over else closed
        written = f" after writing {child.errors} bytes of errors" if child.errors else ""
        self._lose(f"The server {words}{written}.")

    def _lose(self, text: str) -> None:
        self._last = text
        self._desk.flights.fail_all(_died, self._child)
        if self._ready:
            self._ready = False
            self._desk.broke(Break(UpstreamUnreachable(text)))


def _died(flight: Flight) -> HouseError:  # noqa: ARG001 - one error for each
    return UpstreamBrokeProtocol("The server stopped before it had answered.")
