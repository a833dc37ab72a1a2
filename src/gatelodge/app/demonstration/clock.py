"""The time of the demo's history: a clock that the demo moves, and ids that go by it."""

from base64 import urlsafe_b64encode

from gatelodge.adapters.keys.system import SystemIds
from gatelodge.core.ids import Instant
from gatelodge.ports.world import Clock


class DemoClock:
    """The port `Clock`: a wall clock that runs on, from wherever it was last set, and never back.

    What leases and rates count on is the machine's own: a made-up day lasts no real one.
    """

    def __init__(self, machine: Clock, start: Instant) -> None:
        self.boottime = machine.boottime
        """Seconds that never step."""
        self._set = (start, self.boottime())

    def now(self) -> Instant:
        """The made-up wall clock, microseconds UTC."""
        start, since = self._set
        return Instant(start + int((self.boottime() - since) * 1_000_000))

    def step_to(self, moment: Instant) -> None:
        """Go on from that moment; one that has passed changes nothing."""
        # Records may never be older than those before them.
        if moment > self.now():
            self._set = (moment, self.boottime())


class DemoIds(SystemIds):
    """The port `FreshIds`: the ids of calls hold a time, which is that of the clock."""

    def __init__(self, clock: DemoClock) -> None:
        super().__init__()
        self._clock = clock

    def call(self) -> str:
        """`c_` and 22 characters of base64url, as everywhere."""
        moment = (self._clock.now() // 1_000).to_bytes(6, "big")
        return "c_" + urlsafe_b64encode(moment).decode("ascii") + super().call()[10:]
