"""How much one instance may make the gate do: rates that run full, and reports that are folded."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from gatelodge.core.errors import HouseError
from gatelodge.ports.runtime import EgressEvent, EgressKind, EgressReport

_WINDOW_SECONDS = 10.0
_MOST_TOLD = 16
_OTHERS = "(others)"


class RateBucket:
    """So many at once, so many a second from then on."""

    def __init__(self, burst: float, each_second: float, clock: Callable[[], float]) -> None:
        self._burst, self._rate, self._clock = burst, each_second, clock
        self._left, self._seen = burst, clock()

    def take(self) -> bool:
        """Take one; False when there is none."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def wait(self) -> float:
        """Seconds until there is one."""
        return max(0.0, (1 - self._left) / self._rate)


class FoldedReports:
    """Tells the first of a kind at once, and how many like it came when a window has passed.

    For what changes nothing outside (lookups, refusals): a flood is one record in a window, and of
    different ones no more than a few; the rest is counted as `(others)`.
    """

    def __init__(self, report: EgressReport) -> None:
        self._report = report
        self._counts: dict[tuple[EgressKind, str, int, str], int] = {}
        self._queue: list[EgressEvent] = []
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None
        self._closed = False

    def tell(self, event: EgressEvent) -> None:
        """Note one; waits for nothing."""
        if self._closed:
            return
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WINDOW_SECONDS, self._end_window)
        key = (event.kind, event.host, event.port, event.reason)
        if key not in self._counts and len(self._counts) >= _MOST_TOLD:
            key = (event.kind, _OTHERS, 0, "")
        if key in self._counts:
            self._counts[key] += 1
            return
        self._counts[key] = 1 if key[1] == _OTHERS else 0
        if key[1] != _OTHERS:
            self._send(event)

    async def close(self) -> None:
        """Tell what was counted, and wait until all is told."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._end_window()
        if self._telling is not None:
            await asyncio.wait((self._telling,))

    def _end_window(self) -> None:
        self._timer = None
        counts, self._counts = self._counts, {}
        for (kind, host, port, reason), count in counts.items():
            if count:
                self._send(EgressEvent(
                    kind=kind, connection="", host=host, port=port, reason=reason, count=count
                ))  # fmt: skip

    def _send(self, event: EgressEvent) -> None:
        if len(self._queue) < 4 * _MOST_TOLD:
            self._queue.append(event)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell_queue())

    async def _tell_queue(self) -> None:
        while self._queue:
            # Nothing hangs on these: what cannot be recorded now is what the next ones tell of.
            with suppress(HouseError):
                await self._report(self._queue.pop(0))
