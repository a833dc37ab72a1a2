"""How often what was recorded, and how long calls took: plain numbers, for whoever asks.

They are counted where every record passes (`flows.audit.recorder`), so they say what the logs say;
they begin with the process. All of it belongs to the event loop.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

CALL_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
"""Up to which a call is counted in each bucket, in milliseconds."""
LAG_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000)
"""The same of how late the event loop was."""


class Histogram:
    """How many were at most as long as each bound, beyond the one before; the last has no bound."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total: float = 0
        """All of them added up."""

    def add(self, value: float) -> None:
        """Count one."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> "Histogram":
        """The same numbers, which do not change any more."""
        made = Histogram(self.bounds)
        made.buckets, made.total = self.buckets.copy(), self.total
        return made


class ServerCalls:
    """The calls of one server that ended."""

    __slots__ = ("durations", "outcomes")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.durations = Histogram(CALL_MS)


Reasons = Counter[tuple[str, str]]
"""How often, by log and by reason or outcome."""


class RecordCounts:
    """What was recorded since this process began; `calls` by log and server id."""

    __slots__ = ("answered", "calls", "denied", "refused", "unauthenticated", "withheld")

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], ServerCalls] = {}
        self.denied: Reasons = Counter()
        self.refused: Reasons = Counter()
        self.unauthenticated: Reasons = Counter()
        self.answered: Reasons = Counter()
        self.withheld: Reasons = Counter()

    def ended(self, log: str, server: str, outcome: str, ms: int) -> None:
        """Count a call that was forwarded and ended (hot path)."""
        calls = self.calls.get((log, server))
        if calls is None:
            calls = self.calls[log, server] = ServerCalls()
        calls.outcomes[outcome] += 1
        durations = calls.durations  # `Histogram.add`, without the call
        durations.buckets[bisect_left(CALL_MS, ms)] += 1
        durations.total += ms


def merged(each: Sequence[Histogram]) -> Histogram:
    """One histogram of all of these, of which there is one at least; they have the same bounds."""
    made = each[0].copy()
    for one in each[1:]:
        made.buckets = [a + b for a, b in zip(made.buckets, one.buckets, strict=True)]
        made.total += one.total
    return made
