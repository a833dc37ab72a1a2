"""What a server says besides answers: whose it is, and that it reaches nobody else.

What a request's own stream carries belongs to that request. What comes by any other way belongs to
the only request under way in a session of one principal, else to nobody (decision 0014): in a
shared session it could be another member's.
"""

from collections.abc import Callable

from msgspec import UNSET, Raw

from gatelodge.adapters.upstream.flight import Flight
from gatelodge.adapters.upstream.wire import Desk
from gatelodge.core.errors import HouseError, LimitReached, UpstreamBrokeProtocol
from gatelodge.core.protocol import upstream
from gatelodge.core.protocol.capabilities import may_ask
from gatelodge.core.protocol.upstream import Message
from gatelodge.core.protocol.version import Era
from gatelodge.ports.upstream import Reply

ENVELOPE = 4096
"""Room in a message for what surrounds a result."""


class Hearing:
    """The ear of one wire; `say` writes a message of ours to the server."""

    def __init__(self, desk: Desk, say: Callable[[bytes], None]) -> None:
        self._desk = desk
        self._say = say
        self.era: Era = "legacy"

    def take(self, message: Message, flight: Flight | None) -> None:
        """A request or notification of the server; `flight` is whose stream carried it, if any."""
        if message.id is not UNSET:
            if self.era == "legacy":
                self._asked(message, flight)
            return  # a modern server never sends requests
        params = b"{}" if message.params is UNSET else bytes(message.params)
        if message.method in upstream.CHANGED:
            self._desk.changed()
        elif message.method == upstream.UPDATED:
            self._updated(params)
        elif message.method == upstream.CANCELLED:
            self._withdrawn(params)
        elif message.method == upstream.PROGRESS:
            found = flight or self._desk.flights.open.get(upstream.progress_number(params))
            if found is not None:
                found.hear(message.method, params)
        else:
            found = flight or self._whose()
            if found is not None:
                found.hear(message.method, params)

    def answer(self, message: Message, size: int) -> None:
        """A response of the server, of so many bytes, on a way that carries those of many."""
        flights = self._desk.flights
        flight = flights.open.get(message.id) if isinstance(message.id, int) else None
        if flight is None:
            return
        if size > flight.limit + ENVELOPE:
            flights.fail(flight, too_large(flight))
        elif message.error is not UNSET:
            flights.settle(flight, Reply(error=message.error))
        elif message.result is not UNSET:
            flights.settle(flight, Reply(result=message.result))
        else:
            text = "The server answered without a result."
            flights.fail(flight, UpstreamBrokeProtocol(text))

    def _asked(self, message: Message, flight: Flight | None) -> None:
        """Put a question to the one who caused it, or refuse it at once."""
        flights = self._desk.flights
        params = Raw(b"{}") if message.params is UNSET else message.params
        whose = None
        if may_ask(self._desk.asker.capabilities, message.method, params):
            whose = flight or self._only()
        if (
            whose is None
            or flights.open.get(whose.number) is not whose
            or not flights.ask(whose, message)
        ):
            self._say(upstream.answer_bytes(message))

    def _updated(self, params: bytes) -> None:
        uri = upstream.updated_uri(params)
        if uri:
            self._desk.updated(uri)

    def _withdrawn(self, params: bytes) -> None:
        number = upstream.withdrawn(params)
        if number is not None:
            self._desk.flights.withdraw(number)

    def _whose(self) -> Flight | None:
        """To whom a notification belongs that no stream and no token ties to a request.

        A modern server sends log messages only to requests that asked for them (2026-07-28
        server/utilities/logging): there the only one that did.
        """
        if self.era == "legacy":
            return None if self._desk.shared else self._only()
        asked = [f for f in self._under_way() if f.request.asker.level]
        return asked[0] if len(asked) == 1 else None

    def _only(self) -> Flight | None:
        """The only request of a caller that was sent and is not answered."""
        under_way = self._under_way()
        return under_way[0] if len(under_way) == 1 else None

    def _under_way(self) -> list[Flight]:
        flights = self._desk.flights.open.values()
        return [f for f in flights if f.place is not None and not f.kept]


def too_large(flight: Flight) -> HouseError:
    """A result that outgrew what its caller takes."""
    text = f"The server's answer is larger than {flight.limit} bytes."
    return LimitReached(text, remedy="Ask for less; an admin can raise limits.result_bytes.")
