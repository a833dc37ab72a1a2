"""The writers' queue of a database that has one: who ends access goes first, servers' news last.

A lock that is fair would let whatever a server causes stand before a revocation; this one hands the
turn to the best rank that waits, and among equals to the one who came first.
"""

import heapq
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from time import monotonic
from typing import Final

from gatelodge.core.errors import StoreDown
from gatelodge.ports.store import Rank

WAIT_SECONDS: Final = 10.0
_ORDER: Final[dict[Rank, int]] = {"first": 0, "plain": 1, "last": 2}


class WriterQueue:
    """One writer at a time, by rank; shared by the threads that write, guarded by its condition."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._numbers = itertools.count()
        self._waiting: list[tuple[int, int]] = []
        self._taken = False

    @contextmanager
    def turn(self, rank: Rank) -> Iterator[None]:
        """Write alone. Raises StoreDown when the turn does not come in time."""
        self._wait_for_turn((_ORDER[rank], next(self._numbers)))
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                # All of them: only the queue knows which of the threads has the best rank.
                self._changed.notify_all()

    def _wait_for_turn(self, ticket: tuple[int, int]) -> None:
        until = monotonic() + WAIT_SECONDS
        with self._changed:
            heapq.heappush(self._waiting, ticket)
            try:
                while self._taken or self._waiting[0] != ticket:
                    left = until - monotonic()
                    if left <= 0:
                        text = "the store is busy with another change"
                        raise StoreDown(text, retry_after=1.0)
                    self._changed.wait(left)
                self._taken = True
            finally:
                # Also when the wait was in vain: left there, it would keep out all behind it.
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                # A ticket that is given up ends no turn, and others may have waited for it alone.
                self._changed.notify_all()
