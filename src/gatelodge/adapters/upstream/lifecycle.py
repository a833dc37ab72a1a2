"""The life of one connection as a table: its states, what leads from one to another, its pauses.

Nothing here waits or writes: the connection says what happened, and reads what becomes of it. A
session that the server lost is begun anew at once, unless that has proved to be in vain: then the
pauses grow as they do for a server that is down. The main connection of a server tries again by
itself; a session that was lost rests until a request wakes it, which may be never. A hosted server
that ends again and again is left alone in the end.
"""

import math
import random
from collections import deque
from typing import Final, Literal

from gatelodge.ports.upstream import State

Event = Literal[
    "tried",
    "met",
    "renewed",
    "lost",
    "slept",
    "rested",
    "failed",
    "quarantined",
    "woken",
    "stopped",
]

_AWAY: Final[dict[Event, State]] = {
    "tried": "starting",
    "woken": "starting",
    "rested": "waiting",
    "failed": "failed",
    "quarantined": "quarantined",
    "stopped": "off",
}
TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    "starting": {
        "tried": "starting",
        "met": "ready",
        "rested": "waiting",
        "failed": "failed",
        "quarantined": "quarantined",
        "stopped": "off",
    },
    "ready": {
        "renewed": "starting",  # to meet the server anew mends what was lost
        "lost": "waiting",
        "slept": "idle",
        "stopped": "off",
    },
    "idle": {"tried": "starting", "woken": "starting", "stopped": "off"},
    "quarantined": {"stopped": "off"},
    "waiting": _AWAY,
    "failed": _AWAY,
    "off": {"stopped": "off"},
}
"""From each state, by what happened; nothing else can happen in it."""

LONGEST_PAUSE: Final = 60.0
HEALTHY_SECONDS: Final = 60.0
"""A server that stayed this long gets the shortest pause again."""
FAILURES: Final = 3
"""After so many failures in a row a server counts as failed."""
AT_ONCE: Final = 5
"""Times in a row that a server which does not stay is met again without a pause."""
DEAF_SECONDS: Final = 5.0
"""For at most so long of a pause no request wakes the server."""
LONGEST_HOSTED: Final = 300.0
JITTER: Final = 0.2
"""So much longer or shorter a hosted server's pause is: many that fell together rise one by one."""
MOST_EXITS: Final = 5
EXIT_SECONDS: Final = 600.0
"""A hosted server that ended unexpectedly, or could not be started, so often within so long is left
alone until an admin restarts it."""


class ConnectionLife:
    """The state of one connection, and when it is tried again (`until`, by the loop's clock).

    `wakes` = a request may end a pause early; `hosted` = the gate starts it in isolation. In
    `ready` requests are sent, in `starting` they are held, in `idle` they wake it, in every other
    state they are refused.
    """

    def __init__(self, first_pause: float, *, wakes: bool = True, hosted: bool = False) -> None:
        self.state: State = "starting"
        self.until = 0.0
        self._wakes = wakes
        self._hosted = hosted
        self._exits: deque[float] = deque(maxlen=MOST_EXITS)
        self._deaf_until = 0.0
        self._first = first_pause
        self._pause = first_pause
        self._failures = 0
        self._short = 0

    def become(self, event: Event) -> None:
        """Enter the state that this event leads to."""
        self.state = TRANSITIONS[self.state][event]

    def lose(self, now: float, *, at_once: bool) -> None:
        """The server was lost; until its owner knows the real pause, no request may wake it."""
        self.become("renewed" if at_once else "lost")
        self._deaf_until = self.until = now + self._first

    def pause_unmet(self) -> float:
        """It could not be met; the pause after that, in seconds."""
        self._failures += 1
        return self._next_backoff_pause()

    def pause_lost(self, lasted: float, *, answered: bool, at_once: bool) -> tuple[float, bool]:
        """It was lost after so many seconds; the pause after that, and whether requests wait.

        `answered` = something was answered in that time: a server that only shakes hands is no
        better than one that is down. `at_once` = meeting it anew mends what was lost.
        """
        stayed = lasted > HEALTHY_SECONDS
        if stayed:
            self._pause = self._first
        self._short = 0 if stayed else self._short + 1
        self._failures = 0 if answered or stayed else self._failures + 1
        # The second failure in a row shows that to meet it anew mends nothing.
        if at_once and self._failures < 2:
            return (0.0 if self._short <= AT_ONCE else self._first), True
        return self._next_backoff_pause(), False

    def rest(self, now: float, pause: float, *, counts: bool = True) -> None:
        """It is left alone for so long; for a part of that no request wakes it.

        `counts` = it was the server's own fault.
        """
        if self._hosted and counts and self._ends_too_often(now):
            self.until = self._deaf_until = math.inf
            self.become("quarantined")
            return
        self.until = now + pause
        deaf = min(max(pause, self._first), max(DEAF_SECONDS, self._first))
        self._deaf_until = now + deaf if self._wakes else self.until
        self.become("failed" if self._failures >= FAILURES else "rested")

    def wake(self, now: float, *, main: bool) -> bool:
        """True when a request ends the rest: over a transport that wakes, or of a session."""
        if self.state == "idle":
            self.become("woken")
            return True
        if self.state == "off" or now < self._deaf_until or (main and not self._wakes):
            return False
        self.become("woken")
        return True

    def _next_backoff_pause(self) -> float:
        pause = self._pause
        self._pause = min(pause * 2, LONGEST_HOSTED if self._hosted else LONGEST_PAUSE)
        return pause * random.uniform(1 - JITTER, 1 + JITTER) if self._hosted else pause  # noqa: S311

    def _ends_too_often(self, now: float) -> bool:
        self._exits.append(now)
        return len(self._exits) == MOST_EXITS and now - self._exits[0] < EXIT_SECONDS
