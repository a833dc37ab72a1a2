"""Instances that stand still: paused by an admin, woken by whoever needs them next.

What is written to a paused instance lies before it until it goes on, so a call is late and not
lost. However many come at once, it is woken once. Nothing else of the gate asks anything of an
instance in between, so one that stands still is not held for broken.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gatelodge.core.errors import Conflict
from gatelodge.ports.runtime import RuntimeGap, RuntimeInstance
from gatelodge.ports.upstream import Upstreams

_BUSY: Final = "Try again when they are answered, or end it: gatelodge instance stop {}"


class InstancePause:
    """Whether one instance stands still. On one event loop."""

    def __init__(
        self,
        running: Callable[[], RuntimeInstance | None],
        woken: Callable[[float, RuntimeGap | None], None],
    ) -> None:
        """`woken` is told for how many seconds it stood, when a need had it go on, or why not."""
        self.since: float | None = None
        """When it was paused by the loop's clock; None while it runs."""
        self._running, self._woken = running, woken
        self._turn = asyncio.Lock()
        self._waking: asyncio.Task[None] | None = None

    async def pause(self) -> RuntimeGap | None:
        """Have it stand still; None when it does, or was needed at the same time.

        Cancelled in between it may stand: then it counts as paused, and is woken like that.
        """
        async with self._turn:
            running = self._running()
            if running is None or self.since is not None:
                return None
            # Before it stands: whoever needs it from here on wakes it, however far this came.
            self.since = asyncio.get_running_loop().time()
            gap = await running.pause()
            if gap is not None:
                self.since = None
            return gap

    async def resume(self) -> RuntimeGap | None:
        """Have it go on; None when it does."""
        async with self._turn:
            running = self._running()
            if running is None or self.since is None:
                return None
            gap = await running.resume()
            if gap is None:
                self.since = None
            return gap

    def wake(self) -> None:
        """Have it go on, once for all who need it; waits for nothing."""
        if self._waking is None or self._waking.done():
            self._waking = asyncio.get_running_loop().create_task(self._wake())

    async def _wake(self) -> None:
        since = self.since
        gap = await self.resume()
        if since is not None and (gap is not None or self.since is None):
            # Nothing waits from here on: a pause right behind this would go unheard.
            self._woken(asyncio.get_running_loop().time() - since, gap)


class _Named(Protocol):
    """An instance of a server, and whose it is."""

    name: str
    server: str
    owner: str

    async def pause(self) -> RuntimeGap | None: ...


async def pause_instance(upstreams: Upstreams, instance: _Named) -> RuntimeGap | None:
    """Have it stand still until it is needed. Raises Conflict while calls run in it.

    What its runtime cannot do is told as a value.
    """
    calls = upstreams.calls_in(instance.server, instance.owner)
    if calls:
        many = "1 call runs" if calls == 1 else f"{calls} calls run"
        raise Conflict(f"{many} in this instance", remedy=_BUSY.format(instance.name))
    # Nothing waits between the look and the pause: who begins a call from here on wakes it.
    return await instance.pause()
