"""One line for each change of a server: it is ready, away, failed, back."""

import logging

from gatelodge.core.events.changes import StateChanges
from gatelodge.ports.upstream import State

_log = logging.getLogger("gatelodge.upstream")


class ServerLines:
    """Tells how one server does; a server that flaps is told of at most so often in a minute."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._changes = StateChanges("starting")

    def change(self, state: State, why: str, now: float) -> None:
        """It is in this state now; what a server wrote itself is no reason that is told."""
        self._changes.become(state, why)
        self.tell(now)

    def tell(self, now: float) -> None:
        """Tell what was not told because too much was."""
        change = self._changes.due(now)
        if change is None:
            return
        more = f" ({change.untold} changes before were not told)" if change.untold else ""
        if change.state == "failed":
            text = "server %s fails again and again: %s See gatelodge server show %s%s"
            _log.error(text, self._alias, change.why, self._alias, more)
        elif change.state == "quarantined":
            text = "server %s ended too often and is quarantined: %s See gatelodge server show %s%s"
            _log.error(text, self._alias, change.why, self._alias, more)
        elif change.state == "waiting":
            text = "server %s is away and tried again: %s See gatelodge server show %s%s"
            _log.warning(text, self._alias, change.why, self._alias, more)
        elif change.before == "starting":
            _log.info("server %s is ready%s", self._alias, more)
        else:
            _log.warning("server %s is back%s", self._alias, more)
