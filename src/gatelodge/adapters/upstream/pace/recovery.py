"""How long a server rests that could not be met or was lost, before it is met again.

A session that the server lost is begun anew at once, unless that has proved to be in vain: then the
pauses grow as they do for one that is down.
"""

from typing import Final

LONGEST_PAUSE: Final = 60.0
HEALTHY_SECONDS: Final = 60.0
"""A server that stayed this long gets the shortest pause again."""
FAILURES: Final = 3
"""After so many failures in a row a server counts as failed."""
AT_ONCE: Final = 5
"""Times in a row that a server which does not stay is met again without a pause."""
DEAF_SECONDS: Final = 5.0
"""For at most so long of a pause no request wakes the server."""


class LinkRecovery:
    """The pauses of one link."""

    def __init__(self, first_pause: float) -> None:
        self._first = first_pause
        self._pause = first_pause
        self._failures = 0
        self._short = 0

    @property
    def failed(self) -> bool:
        """True when it failed several times in a row: not met, or met in vain."""
        return self._failures >= FAILURES

    def unmet(self) -> float:
        """It could not be met; the pause after that, in seconds."""
        self._failures += 1
        return self._next_backoff_pause()

    def lost(self, lasted: float, *, answered: bool, at_once: bool) -> tuple[float, bool]:
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

    def deaf(self, pause: float) -> float:
        """For how long of this pause no request wakes the server."""
        return min(max(pause, self._first), max(DEAF_SECONDS, self._first))

    def _next_backoff_pause(self) -> float:
        pause = self._pause
        self._pause = min(pause * 2, LONGEST_PAUSE)
        return pause
