"""The pipes of a child process: a message is a line.

One child serves every caller of its server; answers find their flight by our own ids. The era is
asked of a throw-away sibling, because some legacy servers exit at a question that they do not know;
a sibling that turns out to be modern is kept.
"""

import asyncio
import re
from collections.abc import Callable

import msgspec
from msgspec import UNSET, structs

from gatelodge.adapters.upstream.inbound import ENVELOPE
from gatelodge.adapters.upstream.pending import (
    ConnectionLoss,
    PendingRequest,
)
from gatelodge.adapters.upstream.session import DISCOVER, McpSession
from gatelodge.adapters.upstream.stdio.channel import StdioChannel
from gatelodge.adapters.upstream.stdio.early import cure
from gatelodge.adapters.upstream.stdio.launch import (
    Hosted,
    StdioContext,
    hidden_values,
    lacking_secrets,
    launch_spec,
)
from gatelodge.adapters.upstream.transport import (
    SLOW,
    TransportContext,
    TransportStatus,
    UpstreamTransport,
)
from gatelodge.core.catalog.server import Server
from gatelodge.core.errors import (
    HouseError,
    Stale,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.protocol.upstream import UpstreamMessage
from gatelodge.core.protocol.version import Era
from gatelodge.ports.runtime import ENDED_ON_PURPOSE
from gatelodge.ports.upstream import UpstreamRequest

PROBE_SECONDS = 10.0
_UNREAD = "The server does not read what it is sent."
_STATUS_SECONDS = 0.03
_STATUS_LOOKS = 10
_NUMBER = re.compile(rb'"id"\s*:\s*(\d+)\s*[,}]')


class StdioPipesTransport(UpstreamTransport):
    """One server over stdio."""

    wakes = False
    silence_is_legacy = True

    def __init__(
        self,
        server: Server,
        definition: Hosted,
        context: TransportContext,
        shared: StdioContext,
        session: McpSession,
    ) -> None:
        self._server = server
        self._definition = definition
        self._key = msgspec.json.encode(definition)
        self._context = context
        self._shared = shared
        self._session = session
        self._child: StdioChannel | None = None
        self._ready = False
        self._last = ""
        self._said: tuple[str, ...] = ()
        self._lacking: tuple[str, ...] = ()

    async def open(self) -> None:
        """A server known as legacy is not asked by a throw-away sibling, until a start fails."""
        # What an earlier start said must not be told with the fault of this one.
        self._last, self._said = "", ()
        eras = self._shared.eras
        auto = self._session.wish == "auto"
        self.known_legacy = auto and eras.pop(self._key, None) == "legacy"

    async def ask(self, asked: UpstreamRequest) -> UpstreamMessage:
        """Start the server, and hear its answer to the first request of a handshake."""
        await self._start_new_child()
        seconds = asked.seconds
        if asked.method == DISCOVER:
            seconds = min(PROBE_SECONDS, seconds)
        try:
            reply = await self._session.request(structs.replace(asked, seconds=seconds))
        except UpstreamTimeout:
            text = f"The server did not answer the handshake within {seconds:g} s."
            raise UpstreamTimeout(text, remedy=SLOW) from None
        except UpstreamError as failed:
            # How the child ended tells an admin more than that no answer came.
            text = self._last or failed.detail
            raise UpstreamUnreachable(text, remedy=cure(self.told().said)) from None
        return UpstreamMessage(
            result=UNSET if reply.result is None else reply.result,
            error=UNSET if reply.error is None else reply.error,
        )

    async def met(self, era: Era) -> None:
        """Forget what was said before. Raises UpstreamUnreachable when the child ended by now."""
        if self._child is None or self._last:
            raise UpstreamUnreachable(self._last)
        self._child.early.met()
        self._ready = True
        if self._session.wish == "auto":
            self._shared.eras[self._key] = era

    async def let_go(self) -> None:
        """The child broke, or its pipe did: end it with all it started."""
        await self._end_child(0.0)

    async def shut(self) -> None:
        """Ask the child to go, and see to it."""
        await self._end_child()

    def transmit(self, flight: PendingRequest, body: bytes) -> None:
        """Write the request as one line."""
        whose = flight.request.asker.whose
        child = self._reader(whose)
        if child is None:
            self._hold_or_refuse(flight)
        # Nothing waits between this check and the write (guarantee revoke:under-a-second).
        elif flight.request.admitted():
            flight.place = child
            child.write(body, whose)
        else:
            text = "The call was not forwarded: access could not be confirmed."
            self._session.flights.fail(flight, Stale(text))

    def _hold_or_refuse(self, flight: PendingRequest) -> None:
        """Fail it, but where the child's end is not told yet, which says more or starts another."""
        ended = self._child
        if ended is not None and ended.closed and not self._ready and not self._last:
            # It was gone before it was asked: how it ended is known in a moment, and then told.
            flight.place = ended
            self._schedule_end_report()
        elif ended is not None and self._ready and ended.instance.ending == ENDED_ON_PURPOSE:
            self._report_lost_child(f"The server {ended.ending}.")
            self._session.owner.hold(flight)
        else:
            self._session.flights.fail(flight, UpstreamUnreachable(_UNREAD))

    def cancel(self, flight: PendingRequest, messages: tuple[bytes, ...]) -> None:
        """Tell the child that was asked that nobody waits."""
        child = self._child
        if child is not None and flight.place is child:
            for message in messages:
                child.write(message, flight.request.asker.whose)

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
            self._session.flights.fail(
                flight, unread if there else _unanswered_flight_error(flight)
            )
        elif admitted():
            child.write(response, whose)
        else:
            text = "The answer was not forwarded: access could not be confirmed."
            self._session.flights.fail(flight, Stale(text))

    def say(self, *messages: bytes) -> None:
        """Write what has no answer; a child that does not read is not told more."""
        whose = self._session.asker.whose
        for message in messages:
            child = self._reader(whose)
            if child is not None:
                child.write(message, whose)

    def _reader(self, whose: str) -> StdioChannel | None:
        """The child, while it reads and more may lie before it for this person."""
        child = self._child
        return child if child is not None and child.reads(whose) else None

    def sweep(self, now: float) -> None:  # noqa: ARG002 - the same for every transport
        """Notice a child that died while a descendant keeps its pipes open.

        Or that closed its input: what it was asked before, it may still answer.
        """
        child = self._child
        if child is None or child.silent:
            return
        if child.over or (child.instance.closed and not self._session.flights.calls):
            self._schedule_end_report()

    def told(self) -> TransportStatus:
        """The process, how far it is kept apart, and what it said before it was met."""
        child, garbage = self._child, self._session.inbound.garbage
        return TransportStatus(
            pid=None if child is None else child.instance.pid,
            isolation=self._definition.isolation if child is None else child.instance.isolation,
            detail=f"{garbage} lines of its output were not MCP." if garbage else "",
            said=self._said if child is None else child.early.lines(),
            lacking=self._lacking,
        )

    async def _start_new_child(self) -> None:
        await self._end_child(0.0)
        self._last = ""
        at, secrets = self._server, self._context.secrets
        spec = await launch_spec(
            at.id, at.workspace, self._session.asker, self._definition, secrets
        )
        self._lacking = lacking_secrets(self._definition, spec)
        child = StdioChannel(
            longest=self._longest_awaited_line,
            line=self._session.inbound.receive,
            too_long=self._too_long,
            end=self._schedule_end_report,
            hidden=hidden_values(self._definition, spec),
        )
        await child.open(self._shared.runtime, spec, self._shared.unread)
        self._child = child
        if child.silent:
            self._schedule_end_report()  # it was gone before we could listen

    async def _end_child(self, seconds: float | None = None) -> None:
        child, self._child = self._child, None
        self._ready = False
        if child is None:
            return
        self._said = child.early.lines()
        # Callers are told before the child gets its time to go.
        self._session.flights.fail_all(_unanswered_flight_error, child)
        await child.stop(seconds)

    def _longest_awaited_line(self) -> int:
        """The longest answer that somebody waits for, and room for its envelope."""
        waiting = (flight.limit for flight in self._session.flights.open.values())
        return max(waiting, default=self._context.result_bytes) + ENVELOPE

    def _too_long(self, beginning: bytes) -> None:
        """A line outgrew every answer that is waited for: its flight is told, the child goes."""
        found = _NUMBER.search(beginning)
        flight = self._session.flights.open.get(int(found[1])) if found else None
        # Where the id stands behind the result, only a sole caller can be the one who is meant.
        if flight is None and self._session.flights.calls == 1:
            flight = next(f for f in self._session.flights.open.values() if not f.kept)
        if flight is not None:
            self._session.flights.fail(flight, flight.outgrown(flight.limit + 1))
        self._report_lost_child("The server sent a line that is too long.")

    def _schedule_end_report(self) -> None:
        """The child died or closed its output. Its status is there a moment after its last byte."""
        later = asyncio.get_running_loop().call_later
        later(_STATUS_SECONDS, self._tell_end, self._child, _STATUS_LOOKS)

    def _tell_end(self, child: StdioChannel | None, looks: int) -> None:
        # The report comes some moments later, and another child may run by now.
        if child is None or child is not self._child:
            return
        if looks and not child.over:
            asyncio.get_running_loop().call_later(_STATUS_SECONDS, self._tell_end, child, looks - 1)
            return
        self._report_lost_child(f"The server {child.ending}.")

    def _report_lost_child(self, text: str) -> None:
        self._last = text
        # Without a child none is named, and every flight would be meant, those that are held too.
        if self._child is not None:
            self._session.flights.fail_all(_unanswered_flight_error, self._child)
        if self._ready:
            self._ready = False
            wanted = self._child is not None and self._child.instance.ending == ENDED_ON_PURPOSE
            self._session.owner.broke(ConnectionLoss(UpstreamUnreachable(text), at_once=wanted))


def _unanswered_flight_error(flight: PendingRequest) -> HouseError:  # noqa: ARG001 - one error for each
    return UpstreamBrokeProtocol("The server stopped before it had answered.")
