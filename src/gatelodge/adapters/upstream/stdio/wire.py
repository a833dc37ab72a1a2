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

from gatelodge.adapters.upstream.inbound import ENVELOPE, InboundMessages
from gatelodge.adapters.upstream.pending import (
    ConnectionLoss,
    PendingRequest,
    WireContext,
)
from gatelodge.adapters.upstream.stdio.child import ChildProcess, start_child
from gatelodge.adapters.upstream.stdio.early import cure
from gatelodge.adapters.upstream.stdio.lines import LineCallbacks
from gatelodge.adapters.upstream.stdio.listening import StdioListening
from gatelodge.adapters.upstream.stdio.places import ChildPlace
from gatelodge.adapters.upstream.stdio.spec import spawn_spec
from gatelodge.adapters.upstream.stdio.unread import UnreadBytes
from gatelodge.adapters.upstream.watch import keep_subscribed, listen
from gatelodge.adapters.upstream.wire import SLOW, WireEvents, WireStatus
from gatelodge.core.catalog.server import EraWish, StdioTransport
from gatelodge.core.errors import (
    HouseError,
    Stale,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.jsontext.jsonrpc import notification_body
from gatelodge.core.protocol import upstream
from gatelodge.core.protocol.upstream import UnreadableBytes, UpstreamMessage, read_message
from gatelodge.core.protocol.upstream_era import (
    ServerFeatures,
    ServerHello,
    capable,
    discovered,
    initialized,
)
from gatelodge.core.protocol.version import MODERN
from gatelodge.ports.upstream import UpstreamReply, UpstreamRequest

PROBE_SECONDS = 10.0
TELL_SECONDS = 5.0
_UNREAD = "The server does not read what it is sent."
_STATUS_SECONDS = 0.03
_STATUS_LOOKS = 10
_NUMBER = re.compile(rb'"id"\s*:\s*(\d+)\s*[,}]')


class StdioWire:
    """One server over stdio. The link opens it, is told when it breaks, and opens it again."""

    kind = PendingRequest
    wakes = False

    def __init__(
        self,
        transport: StdioTransport,
        wish: EraWish,
        means: WireContext,
        desk: WireEvents,
        place: ChildPlace,
    ) -> None:
        self._transport = transport
        self._wish = wish
        self._means = means
        self._desk = desk
        self._place = place
        self._child: ChildProcess | None = None
        self._unread: UnreadBytes | None = None
        self._ready = False
        self._modern = False
        self._can = ServerFeatures()
        self._hearing = InboundMessages(desk, self.say)
        self._listenings: dict[int, StdioListening] = {}
        self._garbage = 0
        self._last = ""
        self._said: tuple[str, ...] = ()

    async def open(self) -> ServerHello:
        """Start the server and shake hands. Raises UpstreamError or KeyUnreachable.

        Why a server was not met is told with its own last words, for an admin.
        """
        try:
            return await self._start_and_shake_hands()
        except HouseError as fault:
            fault.said = self._said
            raise

    async def _start_and_shake_hands(self) -> ServerHello:
        self._last, self._said = "", ()
        self._ready = self._modern = False
        self._hearing.era = "legacy"
        wish = self._wish
        known = self._place.eras.get(self._place.key)
        if wish == "legacy" or (wish == "auto" and known == "legacy"):
            hello = None
        else:
            hello = await self._probe_modern_era()
        if hello is None:
            try:
                hello = await self._initialize_legacy_session()
            except HouseError:
                self._place.eras.pop(self._place.key, None)  # it may have been updated
                raise
        # A server known as legacy is not asked by a throw-away sibling at its next start.
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
            await listen(self._desk, self._can, self._open_subscription)
        else:
            await keep_subscribed(self._desk, self._can, self._request_subscription_change)

    async def let_go(self) -> None:
        """The child broke, or its pipe did: end it with all it started."""
        await self._end_child(0.0)

    async def shut(self) -> None:
        """Ask the child to go, and see to it."""
        await self._end_child(self._means.hosting.stop_seconds)

    def transmit(self, flight: PendingRequest) -> None:
        """Write the request as one line."""
        request, asker = flight.request, flight.request.asker
        child = self._reader(asker.whose)
        if child is None:
            self._desk.flights.fail(flight, UpstreamUnreachable(_UNREAD))
            return
        era: bytes = b"{"
        if self._modern or request.method == "server/discover":
            era = upstream.modern_meta(
                self._means.version, request.client, asker.capabilities, flight.level
            )
        meta = upstream.meta_bytes(era, request.meta, flight.progress)
        # Nothing waits between this check and the write (guarantee revoke:under-a-second).
        if not request.admitted():
            text = "The call was not forwarded: access could not be confirmed."
            self._desk.flights.fail(flight, Stale(text))
            return
        flight.place = child
        line = upstream.request_bytes(flight.number, request.method, request.params, meta)
        self._write_counted_line(child, line, asker.whose)

    def cancel(self, flight: PendingRequest, reason: str, refusals: tuple[bytes, ...]) -> None:
        """Tell the server that nobody waits."""
        child = self._child
        if child is None or flight.place is not child:
            return
        # A client must not cancel `initialize` (MCP 2025-11-25 basic/utilities/cancellation).
        told = flight.request.method != "initialize"
        cancelled = (upstream.cancelled_bytes(flight.number, reason),) if told else ()
        for message in (*cancelled, *refusals):
            self._write_counted_line(child, message, flight.request.asker.whose)

    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """Write a response of ours to the child that asked."""
        whose = flight.request.asker.whose
        child = self._reader(whose)
        if child is None or child is not flight.place:
            asked = self._child
            there = asked is not None and asked is flight.place and not asked.silent
            unread = UpstreamUnreachable(_UNREAD)
            self._desk.flights.fail(flight, unread if there else _unanswered_flight_error(flight))
        elif admitted():
            self._write_counted_line(child, response, whose)
        else:
            text = "The answer was not forwarded: access could not be confirmed."
            self._desk.flights.fail(flight, Stale(text))

    def say(self, message: bytes) -> None:
        """Write a message that has no answer; a child that does not read is not told more."""
        child = self._reader(self._desk.asker.whose)
        if child is not None:
            self._write_counted_line(child, message, self._desk.asker.whose)

    def _reader(self, whose: str) -> ChildProcess | None:
        """The child, while it reads and more may lie before it for this person."""
        child = self._child
        room = self._unread is None or self._unread.room(whose)
        return child if child is not None and child.reads and room else None

    def _write_counted_line(self, child: ChildProcess, line: bytes, whose: str) -> None:
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
            self._schedule_end_report()

    def told(self) -> WireStatus:
        """The process, and how far it is kept apart."""
        child = self._child
        garbage = f"{self._garbage} lines of its output were not MCP." if self._garbage else ""
        uid = f", uid {self._place.uid}" if self._place.uid else ""
        return WireStatus(
            pid=None if child is None else child.pid,
            isolation=f"{self._transport.isolation}{uid}",
            detail=garbage,
            said=self._said,
            children=int(child is not None),
        )

    async def _probe_modern_era(self) -> ServerHello | None:
        """The hello of a modern server, whose sibling is kept; None for a legacy one."""
        await self._start_new_child()
        seconds = min(PROBE_SECONDS, self._means.upstream.start_seconds)
        asked = UpstreamRequest(method="server/discover", params={}, seconds=seconds)
        try:
            reply = await self._send_and_await_reply(asked)
        # A legacy server may exit at the question, say nothing, or answer nonsense.
        except UpstreamError:
            reply = UpstreamReply()
        answer = UpstreamMessage(
            result=UNSET if reply.result is None else reply.result,
            error=UNSET if reply.error is None else reply.error,
        )
        meeting = discovered(answer)
        if isinstance(meeting, ServerHello):
            return meeting
        self._hear_last()
        await self._end_child(0.0)
        if self._wish == "modern":
            raise UpstreamBrokeProtocol(f"The server does not speak {MODERN}. {self._last}".strip())
        return None

    async def _initialize_legacy_session(self) -> ServerHello:
        await self._start_new_child()
        asker = self._desk.asker
        params = upstream.initialize_params(self._means.version, asker.capabilities)
        seconds = self._means.upstream.start_seconds
        try:
            reply = await self._send_and_await_reply(
                UpstreamRequest(method="initialize", params=params, seconds=seconds)
            )
        except UpstreamTimeout:
            text = f"The server did not answer the handshake within {seconds:g} s."
            self._hear_last()
            raise UpstreamTimeout(text, remedy=SLOW) from None
        except UpstreamError as failed:
            # How the child ended tells an admin more than that no answer came.
            text = self._last or failed.detail
            raise UpstreamUnreachable(text, remedy=cure(self._hear_last())) from None
        if reply.result is None:
            self._hear_last()
            raise UpstreamBrokeProtocol("The server refused the handshake.")
        hello = initialized(reply.result)
        if hello is None:
            self._hear_last()
            raise UpstreamBrokeProtocol("The server speaks no revision that this gate speaks.")
        self.say(notification_body("notifications/initialized"))
        if asker.level and capable(hello.capabilities).logs:
            level = upstream.level_params(asker.level)
            with contextlib.suppress(UpstreamTimeout):  # one that does not know it logs as it likes
                await self._send_and_await_reply(
                    UpstreamRequest(method="logging/setLevel", params=level, seconds=TELL_SECONDS)
                )
        return hello

    async def _start_new_child(self) -> None:
        await self._end_child(0.0)
        plan = await spawn_spec(self._transport, self._means, self._place)
        ears = LineCallbacks(
            longest=self._longest_awaited_line,
            line=self._dispatch_output_line,
            too_long=self._too_long,
            end=self._schedule_end_report,
        )
        child = self._child = await start_child(plan, ears)
        self._unread = UnreadBytes(self._place.pot, lambda: child.unread)
        if self._child.silent:
            self._schedule_end_report()  # it was gone before we could listen

    async def _end_child(self, seconds: float) -> None:
        child, self._child = self._child, None
        unread, self._unread = self._unread, None
        if unread is not None:
            unread.drop()
        self._ready = False
        if child is None:
            return
        # Callers are told before the child gets its time to go.
        self._desk.flights.fail_all(_unanswered_flight_error, child)
        await child.stop(seconds)

    async def _send_and_await_reply(self, asked: UpstreamRequest) -> UpstreamReply:
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

    def _longest_awaited_line(self) -> int:
        """The longest answer that somebody waits for, and room for its envelope."""
        waiting = (flight.limit for flight in self._desk.flights.open.values())
        return max(waiting, default=self._means.result_bytes) + ENVELOPE

    def _dispatch_output_line(self, line: bytes) -> None:
        message = read_message(line)
        if isinstance(message, UnreadableBytes):
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

    def _open_subscription(self, params: dict[str, Raw]) -> StdioListening:
        asked = UpstreamRequest(method="subscriptions/listen", params=params, seconds=math.inf)
        flight = self._desk.flights.add(asked, None)
        self.transmit(flight)
        listening = self._listenings[flight.number] = StdioListening(flight, self._listenings)
        return listening

    async def _request_subscription_change(self, method: str, uri: str) -> None:
        params = upstream.uri_params(uri)
        await self._send_and_await_reply(
            UpstreamRequest(method=method, params=params, seconds=TELL_SECONDS)
        )

    def _too_long(self, beginning: bytes) -> None:
        """A line outgrew every answer that is waited for: its flight is told, the child goes."""
        found = _NUMBER.search(beginning)
        flight = self._desk.flights.open.get(int(found[1])) if found else None
        # Where the id stands behind the result, only a sole caller can be the one who is meant.
        if flight is None and self._desk.flights.calls == 1:
            flight = next(f for f in self._desk.flights.open.values() if not f.kept)
        if flight is not None:
            self._desk.flights.fail(flight, flight.outgrown(flight.limit + 1))
        self._report_lost_child("The server sent a line that is too long.")

    def _schedule_end_report(self) -> None:
        """The child died or closed its output. Its status is there a moment after its last byte."""
        later = asyncio.get_running_loop().call_later
        later(_STATUS_SECONDS, self._tell_end, self._child, _STATUS_LOOKS)

    def _tell_end(self, child: ChildProcess | None, looks: int) -> None:
        # The report comes some moments later, and another child may run by now.
        if child is None or child is not self._child:
            return
        if looks and not child.over:
            asyncio.get_running_loop().call_later(_STATUS_SECONDS, self._tell_end, child, looks - 1)
            return
        self._report_lost_child(f"The server {child.ending}.")

    def _report_lost_child(self, text: str) -> None:
        self._last = text
        self._desk.flights.fail_all(_unanswered_flight_error, self._child)
        if self._ready:
            self._ready = False
            self._desk.broke(ConnectionLoss(UpstreamUnreachable(text)))


def _unanswered_flight_error(flight: PendingRequest) -> HouseError:  # noqa: ARG001 - one error for each
    return UpstreamBrokeProtocol("The server stopped before it had answered.")
