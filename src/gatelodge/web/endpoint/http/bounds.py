"""What all connections of the process share: who is open, and how much of whose is under way.

Before a credential was judged nobody can be charged, so strangers stand under one total and the
greediest of them loses. After it, bodies that arrive and answers that are not read are charged to
the member who answers for the caller.
"""

from typing import Protocol

from msgspec import Struct

from gatelodge.web.endpoint.http.outbox import Outbox
from gatelodge.web.endpoint.http.reader import HttpLimits


class Yielding(Protocol):
    """A connection that can be made to give up what is kept for it."""

    def give_way(self) -> None:
        """Give it up now, or end."""
        ...


class OpenConnection(Yielding, Protocol):
    """A connection as those see it who sweep and count."""

    person: str

    def idle(self, now: float) -> bool:
        """Say whether it said nothing, or no whole request, for longer than it may."""
        ...

    def stuck(self, now: float) -> bool:
        """Say whether nobody takes what was said, or nobody is there any more."""
        ...

    def shut(self) -> None:
        """Close now when nothing is being answered, else after the answer."""
        ...

    def abort(self) -> None:
        """Drop the connection at once."""
        ...


class Strangers:
    """Bytes that were taken before anybody knew whose they are, under one total.

    Owned by the event loop. When the total is passed the greediest gives way, of equals the newest.
    """

    __slots__ = ("_held", "_most", "total")

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[Yielding, int] = {}
        self.total = 0

    def hold(self, connection: Yielding, size: int) -> None:
        """Count that this is what is kept for a stranger's connection now."""
        self.total += size - self._held.get(connection, 0)
        self._held[connection] = size
        while self.total > self._most:
            greediest = max(reversed(self._held), key=self._held.__getitem__)
            self.release(greediest)
            greediest.give_way()

    def release(self, connection: Yielding) -> None:
        """Nothing is kept for it any more, or it is known whose it is."""
        self.total -= self._held.pop(connection, 0)


class Persons:
    """Bytes under way for each person, under one limit for each. Owned by the event loop.

    Bodies are refused beyond it; of answers that are not read the oldest gives way.
    """

    __slots__ = ("_bodies", "_most", "_unread")

    def __init__(self, most: int) -> None:
        self._most = most
        self._bodies: dict[str, int] = {}
        self._unread: dict[str, dict[Yielding, int]] = {}

    def under_way(self, person: str) -> int:
        """How much is counted for them."""
        return self._bodies.get(person, 0) + sum(self._unread.get(person, {}).values())

    def take(self, person: str, size: int) -> bool:
        """Count so much more of a body; False, and nothing is counted, when it is too much."""
        if self.under_way(person) + size > self._most:
            return False
        self._bodies[person] = self._bodies.get(person, 0) + size
        return True

    def give(self, person: str, size: int) -> None:
        """So much of their bodies is gone."""
        left = self._bodies.get(person, 0) - size
        if left > 0:
            self._bodies[person] = left
        else:
            self._bodies.pop(person, None)

    def unread(self, person: str, connection: Yielding, size: int) -> None:
        """Count that so much of an answer waits to be read; 0 = none."""
        mine = self._unread.setdefault(person, {})
        mine.pop(connection, None)
        if size:
            mine[connection] = size
        elif not mine:
            del self._unread[person]
        while mine and self.under_way(person) > self._most:
            oldest = next(iter(mine))
            del mine[oldest]
            oldest.give_way()


class Connections(Struct, frozen=True, eq=False):
    """Every open connection of the process, and what they share."""

    limits: HttpLimits
    outbox: Outbox
    strangers: Strangers
    persons: Persons
    open: set[OpenConnection]
    unknown: dict[OpenConnection, None]
    """Those over which nobody with a credential came yet, oldest first."""

    def make_room(self, most: int) -> bool:
        """See to it that one more fits; False when each that is open belongs to somebody."""
        if len(self.open) < most:
            return True
        oldest = next(iter(self.unknown), None)
        if oldest is None:
            return False
        oldest.abort()
        return True


def connections(limits: HttpLimits, stranger_bytes: int, person_bytes: int) -> Connections:
    """No connections yet."""
    return Connections(
        limits, Outbox(), Strangers(stranger_bytes), Persons(person_bytes), set(), {}
    )
