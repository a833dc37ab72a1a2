"""What children were sent and have not read: memory of the gate's, by whoever had it sent.

The bytes of a call that is over may lie before a child that reads slowly, or never. Nobody leaves
more there than they leave for others, before one child and before all of them together; whoever
comes is written at once, and what waits is kept until the child is read from or ended.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from gatelodge.core.access.shares import PersonShares

MOST_OF_ONE: Final = 16 * 1024 * 1024
"""Bytes before one child."""
MOST_OF_ALL: Final = 128 * 1024 * 1024
"""Bytes before all children together."""


class UnreadBytes:
    """The bytes before one child, in order; `left` tells how many it has not taken."""

    def __init__(self, pot: "UnreadTotal", left: Callable[[], int]) -> None:
        self.held = PersonShares()
        self._pot = pot
        self._left = left
        self._sent = 0
        self._order: deque[tuple[int, str, int]] = deque()
        pot.before.add(self)

    def room(self, person: str) -> bool:
        """Say whether more may be written for this person; empty for the gate itself."""
        self.settle()
        return self.held.has_room(person, MOST_OF_ONE) and self._pot.room(person)

    def add(self, person: str, size: int) -> None:
        """So much is written for this person."""
        self._sent += size
        self._order.append((self._sent, person, size))
        self._adjust_held_bytes(person, size)

    def settle(self) -> None:
        """Let go of what the child took meanwhile; of a part of a message nothing."""
        taken = self._sent - self._left()
        while self._order and self._order[0][0] <= taken:
            _, person, size = self._order.popleft()
            self._adjust_held_bytes(person, -size)

    def drop(self) -> None:
        """The child is gone, and with it all that lay before it."""
        for _, person, size in self._order:
            self._adjust_held_bytes(person, -size)
        self._order.clear()
        self._pot.before.discard(self)

    def _adjust_held_bytes(self, person: str, size: int) -> None:
        for held in (self.held, self._pot.held):
            held.take(person, size)


class UnreadTotal:
    """The same of all children of the gate. Owned by the event loop."""

    def __init__(self) -> None:
        self.held = PersonShares()
        self.before: set[UnreadBytes] = set()

    def room(self, person: str) -> bool:
        """Say whether more may be written for this person to any child."""
        if self.held.has_room(person, MOST_OF_ALL):
            return True
        # Only where it looks full: this asks every child.
        for each in self.before:
            each.settle()
        return self.held.has_room(person, MOST_OF_ALL)
