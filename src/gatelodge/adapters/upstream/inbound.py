"""What a server says besides answers: whose it is, and that it reaches nobody else.

What a request's own stream carries belongs to that request. What comes by any other way belongs to
the only request under way in a session of one principal (decision 0014), a notification else to
their own stream; in a shared session it could be another member's, and reaches nobody. For
questions, a request that waits for an answer already is not under way beside one that does not.
"""

from collections.abc import Callable

from msgspec import UNSET, Raw

from gatelodge.adapters.upstream.pending import (
    PendingRequest,
    PendingRequests,
)
from gatelodge.adapters.upstream.transport import SessionOwner
from gatelodge.core.errors import LimitReached, UpstreamBrokeProtocol
from gatelodge.core.jsontext.jsonrpc import parse_fault
from gatelodge.core.protocol import upstream
from gatelodge.core.protocol.bridge.questions import ASKED, NOBODYS, refusal
from gatelodge.core.protocol.capabilities import may_ask
from gatelodge.core.protocol.upstream import (
    UnreadableBytes,
    UpstreamMessage,
    read_message,
)
from gatelodge.core.protocol.version import HEADER_MISMATCH
from gatelodge.ports.upstream import OnBehalfOf, UpstreamReply

ENVELOPE = 4096
"""Room in a message for what surrounds a result."""

GARBLED = (
    "The server's answer cannot be read: it is not JSON in UTF-8, or holds half of a surrogate pair"
)
_NAMING = (upstream.PROGRESS, upstream.ACKNOWLEDGED)


class InboundMessages:
    """What one server says, read; `say` writes a message of ours to it, `modern` is its era."""

    def __init__(
        self,
        flights: PendingRequests,
        asker: OnBehalfOf,
        owner: SessionOwner,
        say: Callable[[bytes], None],
    ) -> None:
        self.modern = False
        self.garbage = 0
        """How often it wrote what is no message, and answers nothing."""
        self._flights = flights
        self._asker = asker
        self._owner = owner
        self._say = say

    def receive(self, text: bytes, flight: PendingRequest | None = None) -> bool:
        """One message of the server; true when it ended a request (hot path).

        `flight` is whose stream carried it, if any: then it answers no other.
        """
        message = read_message(text)
        if isinstance(message, UnreadableBytes):
            return self._fail_garbled(text, message, flight)
        if message.method:
            self.take(message, flight)
            return False
        found = self._waiting_for(message, len(text)) if flight is None else flight
        # The caller was told already that no answer would come, or gave up; or it answers another.
        if found is None or found.number != message.id:
            return False
        if message.error is not UNSET:
            self.refuse(found, message.error)
        elif message.result is not UNSET:
            self._flights.settle(found, UpstreamReply(result=message.result))
        else:
            why = UpstreamBrokeProtocol("The server answered without a result.")
            self._flights.fail(found, why)
        return True

    def refuse(self, flight: PendingRequest, error: Raw) -> None:
        """The server's own error; headers that do not fit its tool tell that the tool changed."""
        self._flights.settle(flight, UpstreamReply(error=error))
        if self.modern and parse_fault(error).code == HEADER_MISMATCH:
            self._owner.changed()

    def take(self, message: UpstreamMessage, flight: PendingRequest | None) -> None:
        """A request or notification of the server; `flight` is whose stream carried it, if any."""
        if message.id is not UNSET:
            if not self.modern:
                self._forward_or_refuse_question(message, flight)
            return  # a modern server never sends requests
        params = b"{}" if message.params is UNSET else bytes(message.params)
        if params[:1] != b"{":
            return  # no notification of any revision has anything but an object
        if message.method in upstream.CHANGED:
            self._owner.changed()
        elif message.method == upstream.UPDATED:
            self._report_updated_resource(params)
        elif message.method == upstream.CANCELLED:
            self._flights.withdraw(upstream.withdrawn(params))
        elif message.method in _NAMING:
            found = flight or self._named_request(message.method, params)
            if found is not None:
                found.hear(message.method, params)
        elif flight is not None:
            flight.hear(message.method, params)
        else:
            self._route_session_notification(message.method, params)

    def _named_request(self, method: str, params: bytes) -> PendingRequest | None:
        """The request of ours that a notification names, whichever way it comes."""
        if method == upstream.PROGRESS:
            # Tokens are our own numbers: `hear` checks whose this one is.
            return self._flights.open.get(upstream.progress_number(params))
        found = self._flights.open.get(upstream.subscription(params))
        return found if found is not None and found.kept else None

    def _waiting_for(self, message: UpstreamMessage, size: int) -> PendingRequest | None:
        """Whose response this is, of so many bytes, on a way that carries those of many."""
        flight = self._flights.open.get(message.id) if isinstance(message.id, int) else None
        if flight is None or (size <= flight.limit + ENVELOPE and flight.keeps(size)):
            return flight
        self._flights.fail(flight, flight.outgrown(size - ENVELOPE))
        return None

    def _fail_garbled(
        self, text: bytes, why: UnreadableBytes, flight: PendingRequest | None
    ) -> bool:
        """What cannot be read; true when it was the answer to a request, which then fails."""
        found = self._flights.open.get(upstream.answered_number(text))
        if found is None or (flight is not None and found is not flight):
            self.garbage += 1
            return False
        if why.too_much and "deeper" not in why.too_much:
            said = f"The server's answer is too much to read: {why.too_much}."
            self._flights.fail(found, LimitReached(said, remedy="Ask for less."))
        else:
            self._flights.fail(found, UpstreamBrokeProtocol(GARBLED))
        return True

    def _forward_or_refuse_question(
        self, message: UpstreamMessage, flight: PendingRequest | None
    ) -> None:
        """Put a question to the one who caused it, or refuse it at once."""
        # Each request of a server is answered, for one that waits for ever may stop serving.
        if message.method not in ASKED:
            self._say(upstream.answer_bytes(message))
            return
        flights, capabilities = self._flights, self._asker.capabilities
        params = Raw(b"{}") if message.params is UNSET else message.params
        whose = flight or self._sole_cause_of_question()
        if not may_ask(capabilities, message.method, params):
            era = "legacy" if whose is None else whose.request.era
            error = refusal(capabilities, message.method, era)
            self._say(upstream.response_bytes(message.id, None, error))
        elif (
            whose is None
            or not whose.request.asker.principal  # the gate itself looks, and answers nothing
            # Whoever gave up, or was answered, would never answer.
            or flights.open.get(whose.number) is not whose
            or not flights.ask(whose, message)
        ):
            self._say(upstream.response_bytes(message.id, None, NOBODYS))

    def _report_updated_resource(self, params: bytes) -> None:
        uri = upstream.updated_uri(params)
        if uri and not self._owner.aside(upstream.UPDATED, params):
            self._owner.updated(uri)

    def _route_session_notification(self, method: str, params: bytes) -> None:
        """Hand on a notification that no stream and no token ties to a request.

        A modern server sends log messages only to requests that asked for them (2026-07-28
        server/utilities/logging): there it is for the only one that did.
        """
        under_way = self._under_way()
        if self.modern:
            asked = [f for f in under_way if f.level]
            if len(asked) == 1:
                asked[0].hear(method, params)
        elif not self._asker.shared:
            heard = [f for f in under_way if f.listener is not None]
            if len(heard) != 1 and self._owner.aside(method, params):
                return
            if heard:  # all of one principal; without a stream of its own the last one hears
                heard[-1].hear(method, params)

    def _sole_cause_of_question(self) -> PendingRequest | None:
        """The only request that can have caused a question which no stream ties to one.

        One that waits for an answer already, which may never come, is none while another runs.
        """
        under_way = self._under_way()
        free = [f for f in under_way if f.asked is None or not f.asked.open]
        found = free or under_way
        # Nothing tells which of two requests caused it, and a guess may ask the wrong caller.
        return found[0] if len(found) == 1 else None

    def _under_way(self) -> list[PendingRequest]:
        flights = self._flights.open.values()
        # A request that was not written, or is answered, cannot be what a server speaks about.
        return [f for f in flights if f.place is not None and not (f.kept or f.over)]
