"""How many calls there were in each of the last hours, how they ended, and how long they took.

Counted from the log itself, hour by hour, and kept in memory: an hour that is over is counted once.
Of a large hour only its newest leaves are read, and the numbers say so. No person is in them.
"""

import math
from collections import Counter, OrderedDict
from typing import Literal

import anyio
from msgspec import Struct, field

from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339
from gatelodge.flows.activity.instances import HOUR_US, HourInstances, name_ended
from gatelodge.flows.audit.reading import PAUSE_SECONDS, SLACK_US, STEP, fields, head_of
from gatelodge.ports.journal import LeafAt, Ledger

MOST_HOURS = 48
MOST_OF_HOUR = 4096
"""Leaves of one hour that are read: beyond that it is a sample."""
MOST_READ = 16_384
"""Leaves that one question reads; what is left is counted by the next one."""
_MOST_LOGS = 64
_GROWTH = 1.12
"""From one bucket of durations to the next: so far a quantile may be off."""

_NO_FAILURES = frozenset(
    ("ok", "input_required", "task_started", "cancelled", "client_gone", "revoked")
)
"""Outcomes that say nothing bad of a server."""

End = Literal["ok", "denied", "failed"]


class HourCounts(Struct):
    """One hour: `ends` by server id and end, `took` by bucket of milliseconds.

    `next` is where reading goes on, -1 before it began; `leaves` how many the hour has, about.
    """

    start: Instant
    instances: HourInstances
    ends: Counter[tuple[str, End]] = field(default_factory=Counter)
    took: Counter[int] = field(default_factory=Counter)
    next: int = -1
    read: int = 0
    leaves: int = 0
    done: bool = False
    opened: dict[str, str] = field(default_factory=dict)
    """The servers of calls that are open still, by call."""

    @property
    def whole(self) -> bool:
        """True when each of its leaves so far was read."""
        return self.next >= 0 and self.leaves <= self.read

    def count(self, *ends: End) -> int:
        """How many ended in one of these ways."""
        return sum(n for (_, end), n in self.ends.items() if end in ends)


def quantile(took: Counter[int], share: float) -> int | None:
    """Up to how many milliseconds this share of the calls took, about; None for no calls."""
    wanted = share * took.total()
    passed = 0
    for bucket in sorted(took):
        passed += took[bucket]
        if passed >= wanted:
            return round(_GROWTH**bucket)
    return None


class RecentHours:
    """The hours of each log that somebody asked for lately. Owned by the event loop."""

    def __init__(self) -> None:
        self._logs: OrderedDict[str, dict[int, HourCounts]] = OrderedDict()
        self._turn = anyio.Lock()

    async def of(self, ledger: Ledger, log: str, now: Instant, hours: int) -> list[HourCounts]:
        """The last hours, oldest first, as far as they are counted by now. Raises NotFound."""
        kept = self._logs.setdefault(log, {})
        self._logs.move_to_end(log)
        if len(self._logs) > _MOST_LOGS:
            self._logs.popitem(last=False)
        last = now - now % HOUR_US
        starts = [last - back * HOUR_US for back in range(hours)]
        for old in [each for each in kept if each < last - MOST_HOURS * HOUR_US]:
            del kept[old]
        budget = MOST_READ
        # One at a time: two who ask at once would count the same leaves twice.
        async with self._turn:
            for start in starts:
                at = Instant(start)
                hour = kept.setdefault(start, HourCounts(at, HourInstances(at)))
                if not hour.done and budget > 0:
                    budget -= await _count(ledger, log, hour, now)
            found = [kept[each] for each in reversed(starts)]
            await name_ended(ledger, log, [each.instances for each in found])
        return found


async def _count(ledger: Ledger, log: str, hour: HourCounts, now: Instant) -> int:
    """Count on; how many leaves were read."""
    end = hour.start + HOUR_US
    if hour.next < 0:
        hour.next = await ledger.seek(log, rfc3339(hour.start))
    # A record may come a little later than its time says.
    over = now > end + SLACK_US
    size = (await head_of(ledger, log)).size
    stop = min(size, await ledger.seek_end(log, rfc3339(Instant(end))) if now >= end else size)
    hour.leaves += max(0, stop - hour.next)
    start = max(hour.next, stop - MOST_OF_HOUR)
    first, last = rfc3339(hour.start), rfc3339(Instant(end))
    for at in range(start, stop, STEP):
        for leaf in await ledger.leaves(log, at, min(at + STEP, stop)):
            _take(hour, leaf, first, last)
        await anyio.sleep(PAUSE_SECONDS)
    hour.read += max(0, stop - start)
    hour.next = max(hour.next, stop)
    hour.done = over
    if over:
        hour.opened.clear()
    return max(0, stop - start)


def _take(hour: HourCounts, leaf: LeafAt, first: str, last: str) -> None:
    here = fields(leaf)
    kind, call = str(here.get("t")), str(here.get("call", ""))
    if kind == "call.intent":
        hour.opened[call] = str(here.get("server", ""))
        return
    # Bundles are sought whole: what stands in one beside the hour is another hour's.
    if not first <= str(here.get("at")) < last:
        return
    if kind == "call.denied":
        hour.ends[str(here.get("server", "")), "denied"] += 1
    elif kind in ("call.outcome", "call.unresolved"):
        end: End = "ok" if here.get("outcome") in _NO_FAILURES else "failed"
        hour.ends[hour.opened.pop(call, ""), end] += 1
        ms = here.get("ms")
        if isinstance(ms, int):
            _count_duration(hour.took, ms)
    else:
        hour.instances.take(here)


def _count_duration(took: Counter[int], ms: int) -> None:
    took[math.ceil(math.log(max(1, ms), _GROWTH))] += 1
