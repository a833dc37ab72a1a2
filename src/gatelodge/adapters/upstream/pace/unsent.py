"""Requests that wait for a server to be met: so many, and no person keeps the others out."""

from collections import deque

from gatelodge.adapters.upstream.pending import PendingRequest

MOST_HELD = 1024


class UnsentRequests:
    """The flights of one link that were not sent yet, in order."""

    def __init__(self) -> None:
        self._flights: deque[PendingRequest] = deque()

    def add(self, flight: PendingRequest) -> bool:
        """Hold one more; false when its person holds as many as are left for others."""
        if self._held_count_of_person(flight) >= MOST_HELD - len(self._flights):
            return False
        self._flights.append(flight)
        return True

    def drop(self, flight: PendingRequest) -> bool:
        """Hold it no longer; false when it was not held."""
        if flight not in self._flights:
            return False
        self._flights.remove(flight)
        return True

    def take(self) -> deque[PendingRequest]:
        """All of them; none is held from now on."""
        held, self._flights = self._flights, deque()
        return held

    def _held_count_of_person(self, flight: PendingRequest) -> int:
        """How many of the same person are held; not counted while more than half is free."""
        if len(self._flights) * 2 < MOST_HELD:
            return 0
        whose = flight.request.asker.whose
        return sum(each.request.asker.whose == whose for each in self._flights)
