"""Those who watch a log as it grows: it is read once for all of them, and nobody waits for any.

One task reads what is new, at a steady pace and so much at a time, while somebody watches. Each
watcher has a short queue: what one who is slow does not take is left out for them, and counted.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import Struct

from gatelodge.core.access.shares import PersonShares
from gatelodge.core.errors import HouseError, LimitReached

PACE_SECONDS = 0.5
"""Between two looks at a log: what is new is shown as late as that."""
MOST_OF_PERSON = 4
MOST = 64
"""Watchers of one node."""
_QUEUED = 8


class NewRecords(Struct, frozen=True):
    """What one look found: where to go on, what to say (empty: nothing), of how many records."""

    next: int
    message: bytes = b""
    records: int = 0


Look = Callable[[int], Awaitable[NewRecords]]
"""Reads what stands behind a place of the log, so much at most."""


class LogWatcher:
    """One who watches: takes what was found, in order. Owned by the event loop."""

    def __init__(self, person: str) -> None:
        self.person = person
        self.ended = False
        self.skipped = 0
        """Records that were left out since the last that was taken."""
        self._queue: deque[NewRecords] = deque()
        self._wake = asyncio.Event()

    def offer(self, found: NewRecords) -> None:
        """Put it into the queue; what no longer fits is left out, the oldest first."""
        if len(self._queue) == _QUEUED:
            self.skipped += self._queue.popleft().records
        self._queue.append(found)
        self._wake.set()

    async def take(self, seconds: float) -> NewRecords | None:
        """What is next; None when nothing came in that time, or at the end."""
        if not self._queue and not self.ended:
            self._wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return None
        return self._queue.popleft() if self._queue and not self.ended else None

    def end(self) -> None:
        """Nothing more comes. Idempotent."""
        self.ended = True
        self._queue.clear()
        self._wake.set()


class LogWatch:
    """Everybody who watches a log on this node. Owned by the event loop."""

    def __init__(self) -> None:
        self._logs: dict[str, set[LogWatcher]] = {}
        self._read_to: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._shares = PersonShares()

    def __len__(self) -> int:
        """How many watch."""
        return self._shares.total

    def read_to(self, name: str) -> int:
        """Up to where a log was read for whoever watches it; 0 = nobody does."""
        return self._read_to.get(name, 0)

    def check_room(self, person: str) -> None:
        """Raise LimitReached where they, or all together, watch as much as may be."""
        if self._shares.of(person) >= MOST_OF_PERSON:
            raise LimitReached(
                "you watch in as many places as you may",
                remedy="Close one of the pages that show live calls.",
                retry_after=5.0,
            )
        if self._shares.total >= MOST:
            raise LimitReached(
                "as many people watch this node as may",
                remedy="Reload the page instead, or try again later.",
                retry_after=30.0,
            )

    def add(self, name: str, person: str, first: NewRecords, look: Look) -> LogWatcher:
        """Begin to watch a log, after what a first look found; `look` goes on if nobody reads yet.

        Raises LimitReached.
        """
        self.check_room(person)
        watcher = LogWatcher(person)
        if first.message:
            watcher.offer(first)
        self._shares.take(person)
        if name in self._logs:
            self._logs[name].add(watcher)
        else:
            self._logs[name] = {watcher}
            task = asyncio.get_running_loop().create_task(self._read(name, first.next, look))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return watcher

    def remove(self, name: str, watcher: LogWatcher) -> None:
        """Forget a watcher. Idempotent."""
        watcher.end()
        watchers = self._logs.get(name, set())
        if watcher in watchers:
            watchers.discard(watcher)
            self._shares.give(watcher.person)

    def end(self) -> None:
        """End all of it: the node stops."""
        for watchers in self._logs.values():
            for each in watchers:
                each.end()

    async def _read(self, name: str, at: int, look: Look) -> None:
        watchers = self._logs[name]
        try:
            while watchers:
                found = await _looked(look, at)
                at = self._read_to[name] = found.next
                for each in tuple(watchers) if found.message else ():
                    each.offer(found)
                await asyncio.sleep(PACE_SECONDS)
        finally:
            # Whoever comes from here on begins anew; nobody is left who would wait for ever.
            del self._logs[name]
            self._read_to.pop(name, None)
            while watchers:
                each = watchers.pop()
                each.end()
                self._shares.give(each.person)


async def _looked(look: Look, at: int) -> NewRecords:
    """What a look found; nothing while the store, or an opening, is away: it is shown later."""
    try:
        return await look(at)
    except HouseError:
        return NewRecords(at)
