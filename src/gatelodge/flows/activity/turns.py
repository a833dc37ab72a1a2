"""Large work beside the loop, done one at a time, each person in turn.

What many connections of one person wait for makes nobody else wait longer than for one of them.
"""

import sys
from contextvars import ContextVar
from typing import Final, Self

import anyio

from gatelodge.core.access.shares import FairQueue, PersonShares

ASKING: Final[ContextVar[str]] = ContextVar("asking", default="")
"""For whom this task works: the door says so of each request, empty is the gate itself."""
_NOBODY: Final = PersonShares()


class TurnsByPerson(anyio.CapacityLimiter):
    """Lets one in at a time, as a limiter of anyio's `to_thread`; who waits is let in by person."""

    def __new__(cls) -> Self:
        """One of this kind: anyio makes its own otherwise, in which everybody waits in one line."""
        return object.__new__(cls)

    def __init__(self) -> None:
        self._waiting: FairQueue[anyio.Event] = FairQueue()
        self._taken = False

    async def __aenter__(self) -> None:
        """Wait for a turn."""
        if not self._taken:
            self._taken = True
            return
        person, turn = ASKING.get(), anyio.Event()
        self._waiting.add(person, turn, sys.maxsize)
        try:
            await turn.wait()
        except BaseException:
            # Given up in the moment in which it came: it is somebody else's then.
            if not self._waiting.drop(person, turn):
                self._give()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give the turn to who is next."""
        self._give()

    def _give(self) -> None:
        turn = self._waiting.take(_NOBODY, sys.maxsize)
        if turn is None:
            self._taken = False
        else:
            turn.set()
