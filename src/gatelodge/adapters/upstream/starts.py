"""How often people have a process of a server started for them; each start is told in the log."""

import logging
from collections import deque

from gatelodge.ports.upstream import Asker

SECONDS = 60.0

_log = logging.getLogger("gatelodge.upstream")


class Starts:
    """The starts of the last minute at one server, by person; `most` 0 = they are not counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._when: dict[str, deque[float]] = {}

    def too_early(self, asker: Asker, now: float) -> float:
        """Seconds until this person may have one started; 0 = now."""
        self._forget(now)
        mine = self._when.get(_who(asker))
        if mine is None or len(mine) < self._most:
            return 0.0
        return max(0.1, mine[0] + SECONDS - now)

    def count(self, asker: Asker, now: float) -> None:
        """One is started for this person."""
        if self._most:
            self._when.setdefault(_who(asker), deque()).append(now)
            _log.info("a process is started for a session of %s", asker.principal)

    def _forget(self, now: float) -> None:
        """Keep nobody longer than their last start counts."""
        for who, when in list(self._when.items()):
            while when and when[0] <= now - SECONDS:
                when.popleft()
            if not when:
                del self._when[who]


def _who(asker: Asker) -> str:
    return asker.person or asker.principal
