"""What all connections of the process share: who is open, and how much of whose is under way.

Before a credential was judged nobody can be charged, so strangers stand under one total and the
greediest of them loses. After it, bodies that arrive, results that servers send and answers that
are not read are charged to the member who answers for the caller.
"""

import asyncio
from collections import Counter
from typing import Protocol

from msgspec import Struct, field

from gatelodge.core.access.shares import PersonShares
from gatelodge.web.endpoint.http.request import HttpLimits, HttpRequest

_SHARE = 4
"""Nobody has more than this part of all connections when others find none."""


class OpenConnection(Protocol):
    """A connection as those see it who sweep and count."""

    person: str

    def flush(self) -> None:
        """Write now what was to be written soon."""
        ...

    def give_way(self) -> None:
        """Give up what is kept for it now, or end."""
        ...

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


class RoundOutbox:
    """Connections that write at the end of the present round of the loop, all together.

    Clients that sleep are then woken once for many answers instead of once for each; on a busy
    machine that is a fifth of what a call costs.
    """

    __slots__ = ("_loop", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[OpenConnection] = []

    def add(self, connection: OpenConnection) -> None:
        """Have it flushed soon."""
        if not self._waiting:
            self._loop.call_soon(self._flush_connections)
        self._waiting.append(connection)

    def _flush_connections(self) -> None:
        # A flush may ask for another one: that belongs to the next round, or this never ends.
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.flush()


class StrangerBytes:
    """Bytes that were taken before anybody knew whose they are, under one total.

    Owned by the event loop. When the total is passed the greediest gives way, of equals the newest.
    """

    __slots__ = ("_held", "_most", "total")

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[OpenConnection, int] = {}
        self.total = 0

    def hold(self, connection: OpenConnection, size: int) -> None:
        """Count that this is what is kept for a stranger's connection now."""
        self.total += size - self._held.get(connection, 0)
        self._held[connection] = size
        while self.total > self._most:
            # Of equals the newest loses: a flood must not push out whoever waits already.
            greediest = max(reversed(self._held), key=self._held.__getitem__)
            # The loop tells of an aborted connection only later: this would choose it for ever.
            self.release(greediest)
            greediest.give_way()

    def release(self, connection: OpenConnection) -> None:
        """Nothing is kept for it any more, or it is known whose it is."""
        self.total -= self._held.pop(connection, 0)


class PersonBytes:
    """Bytes under way for each person: under a limit for each, and one for all of them.

    Bodies and results are refused beyond the limits; of answers that are not read the oldest gives
    way to a person's own. Of what is there for all nobody takes more than they leave for others:
    one alone gets half, two a third each, and whoever comes finds room. Owned by the event loop.
    """

    __slots__ = ("_most", "_taken", "_unread", "_unread_total", "_whole")

    def __init__(self, most: int, whole: int) -> None:
        self._most, self._whole = most, whole
        self._taken = PersonShares()
        self._unread: dict[str, dict[OpenConnection, int]] = {}
        self._unread_total = 0

    @property
    def total(self) -> int:
        """How much is counted for all."""
        return self._taken.total + self._unread_total

    def under_way(self, person: str) -> int:
        """How much is counted for them."""
        unread = self._unread.get(person)
        return self._taken.of(person) + (sum(unread.values()) if unread else 0)

    def take(self, person: str, size: int) -> bool:
        """Count so much more; False, and nothing is counted, when it is too much."""
        mine = self.under_way(person) + size
        # To give back (a negative size) always succeeds, also where a limit is passed already.
        if size > 0 and (mine > self._most or mine > self._whole - self.total - size):
            return False
        self._taken.take(person, size)
        return True

    def give(self, person: str, size: int) -> None:
        """So much of what was taken for them is gone."""
        self._taken.give(person, size)

    def charge(self, request: HttpRequest, size: int) -> bool:
        """Take so much more for the person of a request, until it is released."""
        if not self.take(request.person, size):
            return False
        request.charged += size
        return True

    def release(self, request: HttpRequest) -> None:
        """Give back what was charged for a request."""
        self.give(request.person, request.charged)
        request.charged = 0

    def unread(self, person: str, connection: OpenConnection, size: int) -> None:
        """Count that so much of an answer waits to be read; 0 = none."""
        mine = self._unread.setdefault(person, {})
        # Taken out and put in anew: whose answer grew last stands last in the order of giving way.
        self._unread_total += size - mine.pop(connection, 0)
        if size:
            mine[connection] = size
        elif not mine:
            del self._unread[person]
        while mine and self.under_way(person) > self._most:
            oldest = next(iter(mine))
            self._unread_total -= mine.pop(oldest)
            oldest.give_way()


class AnswerRoom:
    """What is kept of one answer that comes for a person; it ends with the request it answers.

    What it took is charged to the request, and given back with it, once the answer is on its way;
    an answer that does not fit is dropped, and gives back at once what it took.
    """

    __slots__ = ("_held", "_persons", "_request")

    def __init__(self, persons: PersonBytes, request: HttpRequest, person: str) -> None:
        # What was charged already is given back to whom it was charged, whoever answers now.
        request.person = request.person if request.charged else person
        self._persons, self._request = persons, request
        self._held = 0

    def __call__(self, size: int) -> bool:
        """Say whether so much may be kept in all; never less than was kept before."""
        grown = size - self._held
        if grown <= 0:
            return True
        # What the request took was given back when it ended: a later charge would stay for ever.
        if self._request.over:
            return False
        if not self._persons.charge(self._request, grown):
            self._persons.charge(self._request, -self._held)
            self._held = 0
            return False
        self._held = size
        return True


class TrafficCounts(Struct, frozen=True, kw_only=True):
    """How many connections are open, of strangers too, and how many bytes are under way."""

    open: int = 0
    strangers: int = 0
    stranger_bytes: int = 0
    person_bytes: int = 0


class ClientConnections(Struct, frozen=True, eq=False):
    """Every open connection of the process, and what they share."""

    limits: HttpLimits
    strangers: StrangerBytes
    persons: PersonBytes
    outbox: RoundOutbox = field(default_factory=RoundOutbox)
    open: set[OpenConnection] = set()
    unknown: dict[OpenConnection, None] = {}
    """Those over which nobody with a credential came yet, oldest first."""

    def traffic(self) -> TrafficCounts:
        """How much there is now."""
        return TrafficCounts(
            open=len(self.open),
            strangers=len(self.unknown),
            stranger_bytes=self.strangers.total,
            person_bytes=self.persons.total,
        )

    async def close_idle(self, now: float) -> None:
        """Close those idle for too long at this time of the loop, after what they sent was read.

        Those whose clients do not take what was said, or are not there any more, are cut off.
        """
        for connection in tuple(self.open):
            if connection.stuck(now):
                connection.abort()
        overdue = [connection for connection in self.open if connection.idle(now)]
        if not overdue:
            return
        # A loop that was held up may come here before it reads what arrived in the meantime. Two
        # turns are one look at the sockets for certain, whichever comes first in a turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for connection in overdue:
            if connection.idle(now):
                connection.shut()

    def make_room(self, most: int) -> bool:
        """See to it that one more fits; False when each belongs to somebody who has few.

        A stranger's oldest ends first, else one of the person who has the most, if that is more
        than a quarter of all: nobody keeps all others out.
        """
        if len(self.open) < most:
            return True
        # The oldest stranger has had the longest time to show a credential.
        leaving = next(iter(self.unknown), None) or self._one_of_the_greediest(most // _SHARE)
        if leaving is None:
            return False
        leaving.abort()
        return True

    def _one_of_the_greediest(self, share: int) -> OpenConnection | None:
        counts = Counter(each.person for each in self.open)
        ((person, count),) = counts.most_common(1)
        if count <= share:
            return None
        return next(each for each in self.open if each.person == person)
