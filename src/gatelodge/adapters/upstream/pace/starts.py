"""How often people have a process of a server started for them; each start is told in the log."""

import logging
from collections.abc import Callable

from gatelodge.core.access.rate_limit import RateLimit
from gatelodge.ports.upstream import OnBehalfOf

_log = logging.getLogger("gatelodge.upstream")


class RecentStarts:
    """The starts of the last minute at one server, by person; `most` 0 = they are not counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rate = RateLimit(most)

    def too_early(self, asker: OnBehalfOf, now: float) -> float:
        """Seconds until this person may have one started; 0 = now."""
        return self._rate.too_early(asker.whose, now)

    def count(self, asker: OnBehalfOf, now: float, begun: Callable[[], None]) -> None:
        """One is started for this person, by a request that is told so."""
        if self._most:
            begun()
            self._rate.count(asker.whose, now)
            _log.info("a process is started for a session of %s", asker.principal)
