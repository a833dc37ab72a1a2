"""What instances cost, in numbers by server and never by person, for whoever asks.

Counts begin with the process. What runs is asked from time to time, since an answer may take a
request to an engine; in between the last answers stand. All of it belongs to the event loop.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable

from gatelodge.core.errors import HouseError
from gatelodge.flows.counts import CALL_MS, Histogram
from gatelodge.flows.hosting.recorded_instance import RecordedInstance
from gatelodge.flows.incidents import contained
from gatelodge.ports.runtime import InstanceStats
from gatelodge.ports.world import FreshIds

SAMPLE_SECONDS = 10.0
_STATS_SECONDS = 5.0
_AT_ONCE = 16

Place = tuple[str, str]
"""A server: the ids of its workspace and of itself."""


class InstanceUsage:
    """The numbers of one node; `running` tells what runs now."""

    def __init__(self, running: Callable[[], tuple[RecordedInstance, ...]], ids: FreshIds) -> None:
        self._running = running
        self._ids = ids
        self.starts: Counter[Place] = Counter()
        self.refusals: Counter[tuple[Place, str]] = Counter()
        self.durations: defaultdict[Place, Histogram] = defaultdict(lambda: Histogram(CALL_MS))
        """From the wish for an instance until its isolation was found and recorded, in ms."""
        self._seen: dict[str, InstanceStats] = {}
        self._ended_cpu: Counter[Place] = Counter()

    def started(self, instance: RecordedInstance, ms: float) -> None:
        """An instance was admitted, so long after it was asked for."""
        place = place_of(instance)
        self.starts[place] += 1
        self.durations[place].add(ms)

    def refused(self, instance: RecordedInstance, reason: str) -> None:
        """One was not."""
        self.refusals[place_of(instance), reason] += 1

    def ended(self, instance: RecordedInstance) -> None:
        """One is gone; what it took of the processor stays counted, as it was last seen."""
        last = self._seen.pop(instance.name, None)
        if last is not None:
            # In thousandths: a counter of floats would lose the small ones.
            self._ended_cpu[place_of(instance)] += round(last.cpu_seconds * 1000)

    @property
    def instances(self) -> dict[tuple[Place, str], int]:
        """How many run now, by server and tier."""
        return Counter((place_of(each), each.facts.tier) for each in self._running())

    @property
    def memory(self) -> dict[Place, int]:
        """Bytes that each server's instances take together, as last seen."""
        found: Counter[Place] = Counter()
        for each in self._running():
            found[place_of(each)] += self._seen.get(each.name, InstanceStats()).memory_bytes
        return found

    @property
    def processor(self) -> dict[Place, float]:
        """Seconds that each server's instances had of a processor, ended ones too."""
        found: Counter[Place] = Counter(self._ended_cpu)
        for each in self._running():
            seen = self._seen.get(each.name, InstanceStats())
            found[place_of(each)] += round(seen.cpu_seconds * 1000)
        return {place: ms / 1000 for place, ms in found.items()}

    async def run(self) -> None:
        """Ask what runs from time to time, until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            await self.sample()

    async def sample(self) -> None:
        """Ask all that runs now, some at a time; who does not answer in time keeps its number."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def ask(instance: RecordedInstance) -> None:
            async with turn:
                with (
                    contained(f"asking what {instance.name} takes", self._ids),
                    contextlib.suppress(TimeoutError, HouseError),  # its number stands
                ):
                    async with asyncio.timeout(_STATS_SECONDS):
                        self._note(instance, await instance.stats())

        await asyncio.gather(*(ask(each) for each in self._running()))

    def _note(self, instance: RecordedInstance, stats: InstanceStats) -> None:
        # All zero once it is gone: then what was seen last is kept until its end is told.
        if stats != InstanceStats():
            self._seen[instance.name] = stats


def place_of(instance: RecordedInstance) -> Place:
    """The workspace and the server of an instance, by their ids."""
    return instance.workspace, instance.server
