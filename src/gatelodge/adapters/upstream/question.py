"""What a legacy server asks during one flight: in rounds, the next questions in line."""

from msgspec import UNSET, Raw, Struct

from gatelodge.core.errors import HouseError
from gatelodge.core.protocol.upstream import UpstreamMessage
from gatelodge.ports.upstream import ServerQuestion, UpstreamReply

ROOTS = "roots/list"
MOST_WAITING = 8
"""Questions that may wait in line behind those of the open round."""
GATHER_SECONDS = 0.01
"""How long the first question of a round waits for others that were sent with it."""


class PendingQuestion(Struct):
    """A question that is not answered yet; `id` is the server's own, `withdrawn` by the server."""

    id: int | str | None
    told: ServerQuestion
    withdrawn: bool = False


class OpenQuestions:
    """The questions of one flight; owned by it.

    `open` are with the caller since `since`; `ended` is how the flight ended meanwhile, kept until
    the caller answers. `gathers` while a round is being gathered.
    """

    __slots__ = ("_count", "_waiting", "ended", "gathers", "open", "since")

    def __init__(self) -> None:
        self.open: dict[int, PendingQuestion] = {}
        self.since = 0.0
        self.ended: UpstreamReply | HouseError | None = None
        self.gathers = False
        self._waiting: list[PendingQuestion] = []
        self._count = 0

    def add(self, message: UpstreamMessage) -> bool:
        """Put a question in line; false when too many wait already."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._count += 1
        # A copy: the whole message would else be kept for as long as a person thinks.
        params = Raw(b"{}") if message.params is UNSET else Raw(bytes(message.params))
        number = None if message.id is UNSET else message.id
        told = ServerQuestion(self._count, message.method, params, str(number))
        self._waiting.append(PendingQuestion(number, told))
        return True

    def next(self, now: float) -> tuple[ServerQuestion, ...]:
        """Open the next round, unless one is open; empty when none waits."""
        self.gathers = False
        if self.open or not self._waiting:
            return ()
        self.open, self.since = {each.told.number: each for each in self._waiting}, now
        self._waiting = []
        return tuple(each.told for each in self.open.values())

    def close(self, question: int) -> PendingQuestion | None:
        """An open question, which is answered now; None when it is not open."""
        return self.open.pop(question, None)

    def withdraw(self, number: int | str) -> bool:
        """The server takes a question back; true when it was one of these.

        The caller may have an open one already: its answer is taken and goes nowhere.
        """
        for pending in self.open.values():
            if pending.id == number:
                pending.withdrawn = True
                return True
        for waiting in self._waiting:
            if waiting.id == number:
                self._waiting.remove(waiting)
                return True
        return False

    @property
    def outlasts(self) -> bool:
        """True while roots are asked for: a server wants them for its session, not for this call.

        Many ask when a session begins, and answer a first call without waiting.
        """
        return any(each.told.method == ROOTS for each in self.rest())

    def rest(self) -> list[PendingQuestion]:
        """Every question that the server still waits for."""
        return [*(each for each in self.open.values() if not each.withdrawn), *self._waiting]
