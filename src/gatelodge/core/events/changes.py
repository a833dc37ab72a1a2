"""A state that is told when it changes: once for each change, and at most so often in a minute.

What changes more often is told with the number of changes that nobody was told of, and in the end
it is always the present state that was told last.
"""

from collections import deque

from msgspec import Struct

MOST = 6
"""Changes of one state that are told within a minute."""
SECONDS = 60.0


class StateChange(Struct, frozen=True):
    """What is to be told: from which state to which, why, and how many changes were not told."""

    before: str
    state: str
    why: str
    untold: int


class StateChanges:
    """One state; whoever keeps it asks `due` after each change and again from time to time."""

    def __init__(self, first: str) -> None:
        """`first` needs not be told."""
        self._state = self._told = first
        self._why = ""
        self._untold = 0
        self._when: deque[float] = deque()

    def become(self, state: str, why: str = "") -> None:
        """It is in this state now; the reason is that of the change."""
        if state != self._state:
            self._state, self._why = state, why
            self._untold += 1

    def due(self, now: float) -> StateChange | None:
        """What is to be told now, which counts as told; None = nothing."""
        if self._state == self._told:
            return None
        while self._when and self._when[0] <= now - SECONDS:
            self._when.popleft()
        if len(self._when) >= MOST:
            return None
        self._when.append(now)
        change = StateChange(self._told, self._state, self._why, self._untold - 1)
        self._told, self._untold = self._state, 0
        return change
