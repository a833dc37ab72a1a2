"""What a legacy server asks during one flight: one question at a time, the next ones in line."""

from collections import deque

from msgspec import UNSET, Raw, Struct

from gatelodge.core.errors import HouseError
from gatelodge.core.protocol.upstream import Message
from gatelodge.ports.upstream import Question, Reply

MOST_WAITING = 8
"""Questions that may wait in line behind the open one."""


class Pending(Struct):
    """A question that is not answered yet; `id` is the server's own, `withdrawn` by the server."""

    id: int | str | None
    told: Question
    withdrawn: bool = False


class Asked:
    """The questions of one flight; owned by it.

    `open` is with the caller since `since`; `ended` is how the flight ended meanwhile, kept until
    the caller answers.
    """

    __slots__ = ("_count", "_waiting", "ended", "open", "since")

    def __init__(self) -> None:
        self.open: Pending | None = None
        self.since = 0.0
        self.ended: Reply | HouseError | None = None
        self._waiting: deque[Pending] = deque()
        self._count = 0

    def add(self, message: Message) -> bool:
        """Put a question in line; false when too many wait already."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._count += 1
        params = Raw(b"{}") if message.params is UNSET else Raw(bytes(message.params))
        number = None if message.id is UNSET else message.id
        self._waiting.append(Pending(number, Question(self._count, message.method, params)))
        return True

    def next(self, now: float) -> Question | None:
        """Open the next question, unless one is open or none waits."""
        if self.open is not None or not self._waiting:
            return None
        self.open, self.since = self._waiting.popleft(), now
        return self.open.told

    def close(self, question: int) -> Pending | None:
        """The open question, which is answered now; None when it is another one."""
        closed = self.open
        if closed is None or closed.told.number != question:
            return None
        self.open = None
        return closed

    def withdraw(self, number: int | str) -> bool:
        """The server takes a question back; true when it was one of these.

        The caller may have the open one already: its answer is taken and goes nowhere.
        """
        if self.open is not None and self.open.id == number:
            self.open.withdrawn = True
            return True
        for waiting in self._waiting:
            if waiting.id == number:
                self._waiting.remove(waiting)
                return True
        return False

    def rest(self) -> list[Pending]:
        """Every question that the server still waits for."""
        opened = [] if self.open is None or self.open.withdrawn else [self.open]
        return [*opened, *self._waiting]
