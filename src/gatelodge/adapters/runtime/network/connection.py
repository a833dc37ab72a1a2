"""One connection of an instance: by which name, recorded as what, and how it ends."""

import asyncio
import uuid
from collections.abc import Coroutine

from gatelodge.adapters.runtime.network.splice import SpliceEnd
from gatelodge.core.errors import HouseError
from gatelodge.ports.runtime import EgressEvent, EgressKind

STOPPED = "the instance is stopped"
_IDLE = "nothing was sent for too long"


class EgressConnection:
    """One connection of an instance, from its arrival until both ends are gone."""

    def __init__(self, host: str, port: int, idle_seconds: float) -> None:
        self.host, self.port = host, port
        self._name = uuid.uuid4().hex
        self._idle = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._sent = self._received = 0
        self._reason = ""
        self._gone = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self.inner = SpliceEnd(self._count_sent, self._note_end)
        self.outer: SpliceEnd | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_cut(self) -> bool:
        """True when it is to end before its time."""
        return bool(self._reason)

    def new_outer(self) -> SpliceEnd:
        """The outer end of an attempt to connect."""
        return SpliceEnd(self._count_received, self._note_end)

    def event(self, kind: EgressKind) -> EgressEvent:
        """What is told of it now."""
        return EgressEvent(
            kind=kind,
            connection=self._name,
            host=self.host,
            port=self.port,
            reason=self._reason,
            sent=self._sent,
            received=self._received,
        )

    def cut(self, reason: str) -> None:
        """End it at once, whatever it waits for; the first reason stands."""
        self._reason = self._reason or reason
        if self._connecting is not None:
            self._connecting.cancel()
        self.inner.abort()
        if self.outer is not None:
            self.outer.abort()

    async def run(self, connecting: Coroutine[None, None, None]) -> None:
        """Connect, hand on both ways, and return when both ends are gone."""
        if self._reason or self.inner.gone:  # it was cut, or given up, while it was recorded
            connecting.close()
            self.inner.abort()
            return
        self._connecting = self._loop.create_task(connecting)
        try:
            await self._connecting
        except asyncio.CancelledError:
            self.cut(STOPPED)
        except HouseError as fault:
            self.cut(fault.detail)
        if self.outer is not None and not self._reason:
            self._watch_idle()
            self.outer.join_peer(self.inner)
            self.inner.join_peer(self.outer)
        await self._gone.wait()
        if self._timer is not None:
            self._timer.cancel()

    def _count_sent(self, count: int) -> None:
        self._sent += count
        self._last = self._loop.time()

    def _count_received(self, count: int) -> None:
        self._received += count
        self._last = self._loop.time()

    def _note_end(self) -> None:
        if self.inner.gone and self.outer is not None and self.outer.peer is None:
            self.outer.abort()  # it was connected for nobody
        if self.inner.gone and (self.outer is None or self.outer.gone):
            self._gone.set()

    def _watch_idle(self) -> None:
        left = self._last + self._idle - self._loop.time()
        if left <= 0:
            self.cut(_IDLE)
        else:
            self._timer = self._loop.call_later(left, self._watch_idle)
