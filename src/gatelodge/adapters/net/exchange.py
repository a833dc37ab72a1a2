"""One request on its way over a connection, and the body of its answer."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from gatelodge.adapters.net.portions import InboundPortions
from gatelodge.core.errors import HouseError, LimitReached
from gatelodge.core.http.endpoint import HttpEndpoint
from gatelodge.core.http.sse import EventParser

IDLE_SECONDS = 4.0
"""An idle connection is not used after this: common servers close theirs after 5 s, and a request
that meets a closing connection may or may not have been run."""

MOST_PIECES = 32
"""The pieces of a body that are kept as they came: tiny ones take more room than they hold."""

Fields = dict[bytes, bytes]


class ExchangePlace(Protocol):
    """What has an exchange under way."""

    def abandon(self) -> bool:
        """Nobody waits for it any more; true when the other side may have seen it."""
        ...


class HttpExchange(Protocol):
    """One request on its way: `wire` goes out, exactly one of the ends below comes back.

    `limit` is for the whole answer, and for each event when the stream is `endless`. The client
    sets `place` (where it is under way) and `again` (it was sent twice).
    """

    person: str
    """For whom it is under way; empty for the gate itself."""
    wire: bytes
    limit: int
    endless: bool
    again: bool
    place: ExchangePlace | None

    @property
    def repeatable(self) -> bool:
        """True when running it twice does no harm."""
        ...

    @property
    def admitted(self) -> Callable[[], bool]:
        """Says whether it may be written now; one that may not fails with Stale."""
        ...

    @property
    def keeps(self) -> Callable[[int], bool]:
        """Says whether so much may be kept of the answer; one that may not fails."""
        ...

    def outgrown(self, size: int) -> HouseError:
        """Why an answer of so many bytes, or what is kept of it, is too large."""
        ...

    def stream(self, events: EventParser) -> bool:
        """The answer is a stream, which `events` reads; false when it is to be read as a whole."""
        ...

    def whole(self, status: int, fields: Fields, body: bytes) -> None:
        """The answer, complete. For a stream that ended too, then with an empty body."""
        ...

    def event(self, message: bytes, fields: Fields) -> bool:
        """One event of a stream; true when nothing more of it is wanted."""
        ...

    def failed(self, fault: HouseError) -> None:
        """No answer will come."""
        ...


def _always_true() -> bool:
    """Nobody's access stands behind it."""
    return True


class HttpReply(Struct, frozen=True):
    """A whole answer. From a stream, `body` is the response alone."""

    status: int
    fields: Fields
    body: bytes


class GateExchange:
    """What the gate asks for itself, against nobody's shares; it does no harm when asked twice."""

    person = ""
    endless = False
    repeatable = True

    def __init__(
        self, wire: bytes, limit: int, admitted: Callable[[], bool] = _always_true
    ) -> None:
        self.wire = wire
        self.limit = limit
        self.admitted = admitted
        self.again = False
        self.place: ExchangePlace | None = None

    def keeps(self, size: int) -> bool:  # noqa: ARG002 - an exchange's form
        """What fits its limit is kept."""
        return True

    def stream(self, events: EventParser) -> bool:  # noqa: ARG002 - an exchange's form
        """Its events are heard."""
        return True

    def outgrown(self, size: int) -> HouseError:  # noqa: ARG002 - an exchange's form
        """It is larger than its limit."""
        return LimitReached(f"The server's answer is larger than {self.limit} bytes.")


class BufferedExchange(GateExchange):
    """An exchange whose whole answer is wanted: it is `done`."""

    def __init__(
        self, wire: bytes, limit: int, admitted: Callable[[], bool] = _always_true
    ) -> None:
        super().__init__(wire, limit, admitted)
        self.done: asyncio.Future[HttpReply] = asyncio.get_running_loop().create_future()

    def event(self, message: bytes, fields: Fields) -> bool:  # noqa: ARG002 - an exchange's form
        """What a stream brings is passed over."""
        return False

    def whole(self, status: int, fields: Fields, body: bytes) -> None:
        """It is there."""
        if not self.done.done():
            self.done.set_result(HttpReply(status, fields, body))

    def failed(self, fault: HouseError) -> None:
        """It will not come."""
        if not self.done.done():
            self.done.set_exception(fault)


class AnswerBody:
    """The body of an answer, in the pieces in which it comes."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []

    def add(self, chunk: bytes) -> None:
        """One more piece."""
        pieces = self._pieces
        if len(pieces) < MOST_PIECES:
            pieces.append(chunk)
            return
        last = pieces[-1]
        if not isinstance(last, bytearray):
            last = pieces[-1] = bytearray(last)
        last += chunk

    def whole(self) -> bytes:
        """All of it."""
        pieces = self._pieces
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)


BodyMaker = Callable[[int, InboundPortions], AnswerBody]
"""Makes what takes the body of an answer of this status, and may hold back what follows."""


class FetchExchange(BufferedExchange):
    """One request of a fetch: it goes out once, and a stream is an answer like any other."""

    repeatable = False
    bodies: BodyMaker | None = None

    def stream(self, events: EventParser) -> bool:  # noqa: ARG002 - an exchange's form
        """It is read as it comes, up to the limit."""
        return False

    async def answer(self) -> HttpReply:
        """The whole of it."""
        return await self.done


def opening_lines(endpoint: HttpEndpoint, method: str, version: str) -> bytes:
    """How each request of this gate begins; `version` is our own."""
    return (
        f"{method} {endpoint.path} HTTP/1.1\r\nHost: {endpoint.authority}\r\n"
        f"User-Agent: gatelodge/{version}\r\nAccept-Encoding: identity\r\n"
    ).encode()


def idle_seconds(keep_alive: bytes) -> float:
    """How long a connection may idle: what the server promised less a second, else our own."""
    _, found, rest = keep_alive.lower().partition(b"timeout=")
    seconds = rest.partition(b",")[0].strip()
    return max(0.0, min(60.0, float(seconds) - 1)) if found and seconds.isdigit() else IDLE_SECONDS
