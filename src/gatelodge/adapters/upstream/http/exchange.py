"""One request on its way over a connection, and the body of its answer."""

from collections.abc import Callable
from typing import Protocol

from gatelodge.core.errors import HouseError
from gatelodge.core.protocol.upstream_sse import EventParser

IDLE_SECONDS = 4.0
"""An idle connection is not used after this: common servers close theirs after 5 s, and a request
that meets a closing connection may or may not have been run."""

MOST_PIECES = 32
"""The pieces of a body that are kept as they came: tiny ones take more room than they hold."""

Fields = dict[bytes, bytes]


class HttpExchange(Protocol):
    """One request on its way: `wire` goes out, exactly one of the ends below comes back.

    `limit` is for the whole answer, and for each event when the stream is `endless`. The client
    sets `place` (where it is under way), `again` (it was sent twice) and `events` (the reader of
    its stream, when the answer is one).
    """

    person: str
    """For whom it is under way; empty for the gate itself."""
    wire: bytes
    limit: int
    endless: bool
    again: bool
    place: object | None
    events: EventParser | None

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

    def whole(self, status: int, fields: Fields, body: bytes) -> None:
        """The answer, complete. For a stream that ended too, then with an empty body."""
        ...

    def event(self, message: bytes, fields: Fields) -> bool:
        """One event of a stream; true when nothing more of it is wanted."""
        ...

    def failed(self, fault: HouseError) -> None:
        """No answer will come."""
        ...


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


def idle_seconds(keep_alive: bytes) -> float:
    """How long a connection may idle: what the server promised less a second, else our own."""
    _, found, rest = keep_alive.lower().partition(b"timeout=")
    seconds = rest.partition(b",")[0].strip()
    return max(0.0, min(60.0, float(seconds) - 1)) if found and seconds.isdigit() else IDLE_SECONDS
