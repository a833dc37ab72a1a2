"""What of this node's own work fails, and for how long: what fails in silence fails for ever."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from gatelodge.core.errors import HouseError

RED_SECONDS = 3.0
"""A fault that lasts longer makes the node unready."""
LONG_SECONDS = 30.0
"""Work that takes longer is told of: what waits for it is late."""


class _Fault(Struct):
    since: float
    why: str


class NodeHealth:
    """Kept by the tasks themselves, on the event loop; `now` is a clock that never steps."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._faults: dict[str, _Fault] = {}
        self._begun: dict[str, float] = {}

    def failed(self, work: str, why: str) -> None:
        """This work could not be done."""
        known = self._faults.setdefault(work, _Fault(self._now(), why))
        known.why = why

    def well(self, work: str) -> None:
        """This work was done."""
        self._faults.pop(work, None)

    @contextmanager
    def watched(self, work: str) -> Iterator[None]:
        """Let it be known how this work goes; what it raises is raised."""
        self._begun[work] = self._now()
        try:
            yield
        except HouseError as fault:
            self.failed(work, fault.detail)
            raise
        finally:
            self._begun.pop(work, None)
        self.well(work)

    def lasting(self) -> dict[str, str]:
        """The work that has failed for a while, and why it did the last time."""
        until = self._now() - RED_SECONDS
        return {work: each.why for work, each in self._faults.items() if each.since <= until}

    def late(self) -> frozenset[str]:
        """The work that was begun long ago and has not ended."""
        until = self._now() - LONG_SECONDS
        return frozenset(work for work, begun in self._begun.items() if begun <= until)
