"""What a fuzzer watches while it throws things: how long the loop stood still, what memory is kept.

async with LoopWatch() as watch:        # the event loop of this very process
    ...
    assert watch.worst < STALL
before = rss_mib(pid)
...
assert back_within(before, 40, lambda: rss_mib(pid))
"""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import NoReturn, Self

STALL = 0.1
"""Seconds of processor time for which one outsider may hold the loop at the default limits."""
BACK_WITHIN = 5.0
"""Seconds until memory is given back."""


def rss_mib(pid: int | str = "self") -> float:
    """MiB of memory that a process holds now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_seconds(pid: int | str = "self") -> float:
    """Seconds of processor time that a process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class LoopWatch:
    """Sees how long the event loop stands still, in processor time of this thread.

    Not by the clock on the wall: a busy machine takes the processor away from everyone.
    """

    def __init__(self, beat: float = 0.005) -> None:
        self.worst = 0.0
        self._beat = beat
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(self._beat)
            self.worst = max(self.worst, time.thread_time() - before)


@contextlib.contextmanager
def stood_still() -> Iterator[list[float]]:
    """Processor seconds that the block took, once it is over: the work of one synchronous step."""
    took: list[float] = []
    before = time.thread_time()
    try:
        yield took
    finally:
        took.append(time.thread_time() - before)


class Stall(str):
    """A find of one step that took too long; a find only when its seed does it again."""

    __slots__ = ()


async def finds(
    seconds: float, seed: int, visit: Callable[[random.Random], Awaitable[list[str]]], kept: float
) -> list[str]:
    """Visit for so long, or until five finds; each with the seed that finds it again.

    A step that took too long is tried twice more: a machine that does other work too slows a step
    down, processor time included, and no input does so once only.
    """
    ends, number, found, held = time.monotonic() + seconds, 0, [], rss_mib()
    while time.monotonic() < ends and len(found) < 5:
        number += 1
        for tries_left in (2, 1, 0):
            faults = await visit(random.Random(f"{seed}:{number}"))
            if not tries_left or not any(isinstance(each, Stall) for each in faults):
                break
        found += [f"seed {seed}:{number}: {each}" for each in faults]
        if number % 50 == 0:
            await asyncio.sleep(0)
            if rss_mib() > held + kept:
                found.append(f"seed {seed}:{number}: {rss_mib() - held:.0f} MiB are kept")
    return found


def seconds_to_fuzz(default: float = 10.0) -> float:
    """How long a fuzzer runs: `GATELODGE_FUZZ_SECONDS`, or a bounded time."""
    return float(os.environ.get("GATELODGE_FUZZ_SECONDS", default))


def seed_to_fuzz() -> int:
    """Where the dice begin: `GATELODGE_FUZZ_SEED`, or anywhere."""
    return int(os.environ.get("GATELODGE_FUZZ_SEED", time.time()))


def from_terminal(fuzz: Callable[[float, int], Coroutine[None, None, list[str]]]) -> NoReturn:
    """Run a fuzzer for an hour, or as long as is wished; its finds are the last words."""
    seed = seed_to_fuzz()
    sys.stdout.write(f"GATELODGE_FUZZ_SEED={seed}\n")
    sys.stdout.flush()
    found = asyncio.run(fuzz(seconds_to_fuzz(3600.0), seed))
    sys.stdout.write("\n".join(found or ["nothing found"]) + "\n")
    sys.exit(bool(found))


def back_within(held: float, allowed: float, read: Callable[[], float] = rss_mib) -> bool:
    """Wait until no more than `allowed` MiB above `held` are kept; false when they stay."""
    ends = time.monotonic() + BACK_WITHIN
    while read() > held + allowed:
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True
