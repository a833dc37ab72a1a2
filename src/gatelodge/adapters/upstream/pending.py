"""Requests in flight: who waits, until when, and what the upstream is told when nobody does.

A flight leaves the table exactly once: answered, failed, timed out or given up. Deadlines are
looked at by one periodic sweep (`PendingRequests.sweep`), not by a timer each.
"""

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Protocol

from msgspec import Raw, Struct

from gatelodge.adapters.upstream.question import GATHER_SECONDS, OpenQuestions
from gatelodge.core.errors import HouseError, LimitReached, UpstreamTimeout
from gatelodge.core.protocol.upstream import (
    PROGRESS,
    UpstreamMessage,
    progress_made,
    progress_number,
    progress_restored,
    refusal_bytes,
    response_bytes,
)
from gatelodge.core.protocol.version import META_PROGRESS, Era
from gatelodge.ports.upstream import MayGo, UpstreamReply, UpstreamRequest, always

Listener = Callable[[str, bytes], None]
DEFAULT_LEVEL = "info"
"""Of log messages of a modern server, for a legacy client that set no level."""


class ConnectionLoss(Struct, frozen=True):
    """Why a transport cannot go on; `at_once` = meeting it anew mends it, `idle` = it is unused."""

    fault: HouseError
    at_once: bool = False
    idle: bool = False


class PendingRequest:
    """One request in flight (the port's `Exchange`).

    `number` is our JSON-RPC id upstream; progress moves `deadline`, not beyond `furthest`.
    `place` is what carries it now (None = not written), `own` = the session itself asks,
    `wire` its bytes; `again`, `replayed` and `epoch` keep it from being sent a third time. `asked`
    holds what the server asks during it, from the first question on.
    """

    __slots__ = (
        "admitted",
        "again",
        "asked",
        "deadline",
        "epoch",
        "furthest",
        "keeps",
        "limit",
        "listener",
        "number",
        "own",
        "person",
        "place",
        "replayed",
        "reply",
        "request",
        "table",
        "token",
        "wire",
    )

    def __init__(
        self, table: "PendingRequests", request: UpstreamRequest, listener: Listener | None
    ) -> None:
        self.table = table
        self.number = next(table.numbers)
        self.reply: asyncio.Future[UpstreamReply] = table.loop.create_future()
        self.request = request
        self.listener = listener
        begun = table.loop.time()
        self.deadline = begun + request.seconds
        self.furthest = begun + max(request.longest, request.seconds)
        self.limit = request.max_bytes
        self.admitted, self.keeps = request.admitted, request.keeps
        self.person = request.asker.person
        self.token: Raw | None = None
        if listener is not None and request.meta:
            self.token = request.meta.get(META_PROGRESS)
        self.wire = b""
        self.place: object | None = None
        self.again = False
        self.replayed = False
        self.own = False
        self.epoch = 0
        self.asked: OpenQuestions | None = None

    @property
    def spoken(self) -> Era:
        """The era in which its server is spoken to."""
        return "modern" if self.table.modern else "legacy"

    @property
    def level(self) -> str:
        """The least severe log message to ask a modern server for, empty for none.

        A legacy client that never named one hears whatever its server sends; a modern server sends
        what it was asked for only.
        """
        asked = self.request
        unsaid = asked.era == "legacy" and self.listener is not None
        return asked.asker.level or (DEFAULT_LEVEL if unsaid else "")

    @property
    def allowed(self) -> float:
        """How long it was waited for: since there was progress at last, or in all."""
        asked = self.request
        whole = self.deadline >= self.furthest
        return max(asked.longest, asked.seconds) if whole else asked.seconds

    @property
    def kept(self) -> bool:
        """True for a long-lived request of our own, such as a subscription."""
        return math.isinf(self.deadline)

    @property
    def over(self) -> bool:
        """True once the upstream answered, though it is still owed an answer to what it asked."""
        return self.asked is not None and self.asked.ended is not None

    def answer(self, question: int, reply: UpstreamReply, admitted: MayGo) -> None:
        """Answer the question that `reply` brought; what comes next is in the new `reply`."""
        self.table.answer(self, question, reply, admitted)

    def outgrown(self, size: int) -> HouseError:
        """Why so much is not taken: of one result, or of all that its caller has under way."""
        if size > self.limit:
            text = f"The server's answer is larger than {self.limit} bytes."
            return LimitReached(
                text, remedy="Ask for less; an admin can raise limits.result_bytes."
            )
        return LimitReached(
            "Too many large results are under way (limits.person_bytes, limits.total_bytes).",
            remedy="Ask for less at once, and read what comes.",
            retry_after=5.0,
        )

    def abort(self, reason: str) -> None:
        """Stop waiting: the upstream is told, `reply` is cancelled."""
        self.table.give_up(self, reason)

    def hear(self, method: str, params: bytes) -> None:
        """Hand a notification to the caller; progress only when it bears this flight's token."""
        listener = self.listener
        if listener is None:
            return
        if method == PROGRESS:
            if self.token is None or progress_number(params) != self.number:
                return
            if progress_made(params) is None:
                return  # clients turn away what does not say how far it is
            params = progress_restored(params, self.token)
            # Never an earlier one: open questions may have moved it further than progress does.
            self.deadline = max(
                self.deadline, min(self.table.loop.time() + self.request.seconds, self.furthest)
            )
        listener(method, params)


class RequestCarrier(Protocol):
    """What tells the upstream of what happens to a flight here."""

    def cancel(self, flight: PendingRequest, reason: str) -> None:
        """Nobody waits any more, nor answers what the server still asks."""
        ...

    def respond(
        self, flight: PendingRequest, response: bytes, admitted: Callable[[], bool]
    ) -> None:
        """Send the answer to a question of the server, while it is admitted."""
        ...


class ReplyJudge(Protocol):
    """Who looks at what a server of both eras does with a flight, before it is told here."""

    def asked(self, flight: PendingRequest) -> None:
        """The server asked something during it."""
        ...

    def answered(self, flight: PendingRequest, reply: UpstreamReply) -> UpstreamReply | None:
        """The server answered; what is told of it, None when the flight is carried once more."""
        ...


class PendingRequests:
    """The requests in flight of one connection, by number; `settled` counts answers to callers.

    `modern` is the era in which its server was last met.
    """

    def __init__(self, carrier: RequestCarrier | None, kind: type[PendingRequest]) -> None:
        """Without a carrier nothing is ever sent."""
        self.loop = asyncio.get_running_loop()
        self.numbers = itertools.count(1)
        self.open: dict[int, PendingRequest] = {}
        self.settled = 0
        self.modern = False
        self.judge: ReplyJudge | None = None
        self._carrier = carrier
        self._kind = kind

    def add(self, request: UpstreamRequest, listener: Listener | None) -> PendingRequest:
        """A new flight in the table, not sent yet."""
        flight = self._kind(self, request, listener)
        self.open[flight.number] = flight
        return flight

    def take_over(self, flight: PendingRequest) -> None:
        """Make a flight of another table, which was not sent, one of this table."""
        flight.table.open.pop(flight.number, None)
        flight.table = self
        # Numbers are unique in one link only: the old one may belong to another request here.
        flight.number = next(self.numbers)
        self.open[flight.number] = flight

    def settle(self, flight: PendingRequest, reply: UpstreamReply) -> None:
        """The upstream answered, perhaps without waiting for an answer to what it asks.

        What outlasts the call is answered first, and the flight stays in the table until then.
        """
        # An answer that is taken back below proves all the same that the server works.
        # What the session asks belongs to meeting the server: no work was done by it yet.
        self.settled += not flight.own
        told = reply if self.judge is None else self.judge.answered(flight, reply)
        if told is None:
            return
        reply = told
        asked = flight.asked
        if asked is not None and asked.outlasts and flight.number in self.open:
            asked.ended = reply
        elif self.open.pop(flight.number, None) is not None:
            if asked is not None:
                self._refuse_questions(flight)
            self._deliver_or_defer_outcome(flight, reply)

    def fail(self, flight: PendingRequest, fault: HouseError) -> None:
        """No answer will come, and this is why; one that came already is not lost."""
        if self.open.pop(flight.number, None) is not None:
            came = None if flight.asked is None else flight.asked.ended
            self._deliver_or_defer_outcome(flight, fault if came is None else came)

    def ask(self, flight: PendingRequest, message: UpstreamMessage) -> bool:
        """Hand a server's question to the caller, in its turn; false when too many wait."""
        if flight.asked is None:
            flight.asked = OpenQuestions()
        if not flight.asked.add(message):
            return False
        if self.judge is not None:
            self.judge.asked(flight)
        self._open_soon(flight, flight.asked)
        return True

    def answer(
        self, flight: PendingRequest, number: int, reply: UpstreamReply, admitted: MayGo
    ) -> None:
        """Tell the server the answer to an open question; wait for more once all are answered.

        Its deadline stood still while questions were open.
        """
        asked = flight.asked
        closed = None if asked is None else asked.close(number)
        if asked is None or closed is None:
            return
        if _brought_questions(flight.reply):
            flight.reply = self.loop.create_future()
        # The request ended while its caller was thinking, and its outcome waited for this answer.
        if self.open.get(flight.number) is not flight:
            if not flight.reply.done():
                _complete_reply_future(flight.reply, asked.ended)
            return
        if not closed.withdrawn:
            response = response_bytes(closed.id, reply.result, reply.error)
            self._respond(flight, response, admitted)
        if asked.open or self.open.get(flight.number) is not flight:
            return  # what cannot be sent has ended the flight
        stood = self.loop.time() - asked.since
        flight.deadline += stood
        flight.furthest += stood
        if asked.ended is None or asked.outlasts:
            self._open_soon(flight, asked)
        else:
            del self.open[flight.number]
            self._refuse_questions(flight)
            self._deliver_or_defer_outcome(flight, asked.ended)

    def withdraw(self, number: int | str | None) -> None:
        """The server takes back a question that it asked; None names none."""
        for flight in self.open.values():
            if number is not None and flight.asked is not None and flight.asked.withdraw(number):
                return

    def give_up(self, flight: PendingRequest, reason: str) -> None:
        """Nobody waits any more: tell the upstream. Idempotent."""
        if self.open.pop(flight.number, None) is None:
            return
        flight.reply.cancel()
        # An answered request cannot be cancelled any more; only its open questions are left.
        if flight.over:
            self._refuse_questions(flight)
        else:
            self._cancel(flight, reason)

    def sweep(self, now: float) -> None:
        """End every flight that is past its deadline or whose caller is gone.

        While a question is open the caller has the word, and the time.
        """
        for flight in list(self.open.values()):
            # The cancellation of a caller's task cancels its future only: the server hears it here.
            if flight.reply.cancelled():
                self.give_up(flight, "cancelled")
            elif flight.deadline <= now and not flight.reply.done():
                self.fail(flight, UpstreamTimeout(f"No answer within {flight.allowed:g} s."))
                self._cancel(flight, "timeout")

    def fail_all(self, fault: Callable[[PendingRequest], HouseError], place: object = None) -> None:
        """Fail every flight, or each that `place` carries; each gets an error of its own."""
        for flight in list(self.open.values()):
            if place is None or flight.place is place:
                self.fail(flight, fault(flight))

    @property
    def calls(self) -> int:
        """How many callers wait; subscriptions of our own do not count."""
        return sum(not flight.kept for flight in self.open.values())

    def _cancel(self, flight: PendingRequest, reason: str) -> None:
        if self._carrier is not None:
            self._carrier.cancel(flight, reason)

    def _respond(self, flight: PendingRequest, response: bytes, admitted: MayGo) -> None:
        if self._carrier is not None:
            self._carrier.respond(flight, response, admitted)

    def _refuse_questions(self, flight: PendingRequest) -> None:
        """Tell the server that nobody will answer what it still asks."""
        for pending in () if flight.asked is None else flight.asked.rest():
            self._respond(flight, refusal_bytes(pending.id), always)

    def _deliver_or_defer_outcome(
        self, flight: PendingRequest, ended: UpstreamReply | HouseError
    ) -> None:
        if not flight.reply.done():
            _complete_reply_future(flight.reply, ended)
        elif flight.asked is not None:
            flight.asked.ended = ended

    def _open_soon(self, flight: PendingRequest, asked: OpenQuestions) -> None:
        """Open a round a moment later, with what is asked meanwhile."""
        if not asked.gathers:
            asked.gathers = True
            self.loop.call_later(GATHER_SECONDS, self._open_next, flight, asked)

    def _open_next(self, flight: PendingRequest, asked: OpenQuestions) -> None:
        if flight.reply.done():
            asked.gathers = False
            return  # questions that are open, an answer, or a caller who is gone
        questions = asked.next(self.loop.time())
        if questions:
            flight.reply.set_result(UpstreamReply(questions=questions))


def failed_request(fault: HouseError, request: UpstreamRequest) -> PendingRequest:
    """A request that failed with this fault before it began."""
    table = PendingRequests(None, PendingRequest)
    flight = table.add(request, None)
    table.fail(flight, fault)
    return flight


def _brought_questions(reply: "asyncio.Future[UpstreamReply]") -> bool:
    """True while the first of a round's questions is answered: what follows needs a new future."""
    if not reply.done() or reply.cancelled() or reply.exception() is not None:
        return False
    return bool(reply.result().questions)


def _complete_reply_future(
    reply: "asyncio.Future[UpstreamReply]", ended: UpstreamReply | HouseError | None
) -> None:
    """How a flight ended while its caller was thinking about a question."""
    if ended is None:
        reply.cancel()
    elif isinstance(ended, HouseError):
        reply.set_exception(ended)
    else:
        reply.set_result(ended)
