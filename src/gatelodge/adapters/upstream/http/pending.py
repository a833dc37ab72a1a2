"""A request in flight as a turn of the HTTP client."""

from typing import Protocol

from gatelodge.adapters.net.exchange import ExchangePlace, Fields
from gatelodge.adapters.upstream.pending import PendingRequest
from gatelodge.core.errors import HouseError
from gatelodge.core.http.sse import EventParser

ONCE = frozenset(("tools/call", "tasks/update"))
"""Methods that never run twice."""


class RequestOwner(Protocol):
    """The transport that sent a flight and reads what comes back for it."""

    def answered(
        self, flight: "PendingHttpRequest", status: int, fields: Fields, body: bytes
    ) -> None:
        """A whole answer came, or its stream ended."""
        ...

    def heard(self, flight: "PendingHttpRequest", event: bytes) -> bool:
        """An event on its stream; true when it was the response."""
        ...

    def lost(self, flight: "PendingHttpRequest", fault: HouseError) -> None:
        """Its exchange broke."""
        ...


class PendingHttpRequest(PendingRequest):
    """A flight whose answer comes as one, or as a stream.

    `last` is the event after which its stream goes on when it ended too early, `tries` how often
    that was tried without a new event. `renewals` is that of the heads it was sent with.
    """

    __slots__ = ("events", "in_session", "last", "owner", "renewals", "tries")
    owner: RequestOwner
    in_session: bool
    renewals: int
    place: ExchangePlace | None
    events: EventParser | None
    last: bytes
    tries: int
    endless = False

    @property
    def repeatable(self) -> bool:
        """A tool never runs twice; to ask for the rest of a stream twice does no harm."""
        return bool(self.last) or self.request.method not in ONCE

    def stream(self, events: EventParser) -> bool:
        """Its answer comes in events, and may go on after the last of them."""
        self.events = events
        return True

    def whole(self, status: int, fields: Fields, body: bytes) -> None:
        """The whole answer came."""
        self.owner.answered(self, status, fields, body)

    def event(self, message: bytes, fields: Fields) -> bool:  # noqa: ARG002 - a turn's form
        """One event of the answer's stream came."""
        return self.owner.heard(self, message)

    def failed(self, fault: HouseError) -> None:
        """The exchange broke."""
        self.owner.lost(self, fault)
