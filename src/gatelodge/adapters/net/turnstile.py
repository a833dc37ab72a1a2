"""Work that may be heavy, a little of it in each round of the loop.

What comes from many servers at once is looked at one after the other; in between everybody else has
a round. Else a few large results, each of which takes some tens of milliseconds to read, would add
up whenever their last bytes come together, and a server can see to that.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

ROUND_SECONDS = 0.005
"""After so much of it a round is over."""


class Turnstile:
    """What waits to be done, in order. Owned by its event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._later = loop.call_soon
        self._waiting: deque[Callable[[], None]] = deque()
        self._begun = False

    def add(self, work: Callable[[], None]) -> None:
        """Have it done soon, behind what waits already."""
        if not self._begun:
            self._begun = True
            self._later(self._run_one_round)
        self._waiting.append(work)

    def _run_one_round(self) -> None:
        ends = time.monotonic() + ROUND_SECONDS
        try:
            self._run_next_work()
            while self._waiting and time.monotonic() < ends:
                self._run_next_work()
        finally:
            # Also behind work that failed: its error must not strand what waits behind it.
            self._begun = bool(self._waiting)
            if self._begun:
                self._later(self._run_one_round)

    def _run_next_work(self) -> None:
        self._waiting.popleft()()


_turnstiles: WeakKeyDictionary[asyncio.AbstractEventLoop, Turnstile] = WeakKeyDictionary()


def turnstile() -> Turnstile:
    """The one of the running loop."""
    loop = asyncio.get_running_loop()
    found = _turnstiles.get(loop)
    if found is None:
        found = _turnstiles[loop] = Turnstile(loop)
    return found
