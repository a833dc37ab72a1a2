"""Calls that take several rounds: what a modern client is given to hold, and what waits for it.

Two kinds of state are given out, both sealed and bound to caller, endpoint, server and request. A
`Relayed` one holds what a modern server wants back; nothing of it stays here. A `Parked` one names
a call that stands here, in the middle of a legacy server's question (the suspend bridge): it can be
taken up once, on this node, until its time is over or its caller's access ends.
Source: MCP 2026-07-28 basic/patterns/mrtr; decision 0014.
"""

import asyncio
from collections import Counter

from msgspec import Struct

from gatelodge.core.protocol.bridge.state import (
    CONTEXT,
    Binding,
    Parked,
    Relayed,
    holds,
    pack,
    read_state,
)
from gatelodge.flows.gateway.inflight import CutReason, InFlight, Running
from gatelodge.flows.gateway.request import Hearing, Licence
from gatelodge.ports.upstream import Exchange
from gatelodge.ports.world import Clock, Ids, Sealer

_HANDLE_BYTES = 16


class Waiting:
    """A parked call. `cut` ends it for good: the server is told, the place is free."""

    __slots__ = ("ears", "exchange", "key", "licence", "numbers", "running", "timer")

    def __init__(
        self, exchange: Exchange, numbers: dict[str, int], ears: Hearing, licence: Licence
    ) -> None:
        self.exchange = exchange
        self.licence = licence
        self.numbers = numbers
        """Of the open questions, by the keys under which the client answers them."""
        self.ears = ears
        self.key = b""
        self.running: Running | None = None
        self.timer: asyncio.TimerHandle | None = None


class RoundLimits(Struct, frozen=True, kw_only=True):
    """How long a question may stay open (seconds), and how many calls of a person may wait."""

    seconds: float
    per_principal: int


class Rounds:
    """The states this node gave out, and the calls that wait. Owned by the event loop."""

    def __init__(
        self,
        world: tuple[Sealer, Clock, Ids],
        node: str,
        inflight: InFlight,
        limits: RoundLimits,
    ) -> None:
        self._sealer, self._clock, self._ids = world
        self._node = node
        self._inflight = inflight
        self._limits = limits
        self._waiting: dict[bytes, Waiting] = {}
        self._persons: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    def relayed(self, binding: Binding, number: int, state: bytes) -> str:
        """The sealed state for a modern server's own."""
        return self._sealed(Relayed(binding, self._ends(), number, state))

    def opened(self, sealed: str, binding: Binding) -> Parked | Relayed | None:
        """The state in what a client brought back; None when it is not good for this request."""
        state = read_state(self._sealer.open(sealed, CONTEXT))
        if state is None or not holds(state, binding, self._clock.now()):
            return None
        return state

    def park(self, waiting: Waiting, running: Running, binding: Binding, number: int) -> str | None:
        """Let a call wait for its client; the sealed state, or None when too many wait already.

        `running` is registered for it, so that whatever ends the caller's access ends it too.
        """
        if self._persons[running.person] >= self._limits.per_principal:
            return None
        handle = waiting.key = self._ids.random(_HANDLE_BYTES)
        waiting.running = running
        running.cut = lambda reason: self._end(handle, reason)
        waiting.ears.detach()
        self._waiting[handle] = waiting
        self._persons[running.person] += 1
        self._inflight.add(running)
        loop = asyncio.get_running_loop()
        waiting.timer = loop.call_later(self._limits.seconds, self._end, handle, "cancelled")
        return self._sealed(Parked(binding, self._ends(), number, self._node, handle))

    def take(self, state: Parked) -> Waiting | None:
        """The call that waits under this state, once; None when it waits no more, or elsewhere."""
        if state.node != self._node:
            return None
        return self._leave(state.handle)

    def waits(self, state: Parked) -> bool:
        """Say whether a call waits here under this state."""
        return state.node == self._node and state.handle in self._waiting

    def elsewhere(self, state: Parked) -> bool:
        """Say whether the call waits on another node."""
        return state.node != self._node

    def _leave(self, handle: bytes) -> Waiting | None:
        waiting = self._waiting.pop(handle, None)
        if waiting is not None:
            assert waiting.running is not None
            assert waiting.timer is not None
            waiting.timer.cancel()
            self._inflight.remove(waiting.running)
            self._persons[waiting.running.person] -= 1
            if not self._persons[waiting.running.person]:
                del self._persons[waiting.running.person]
        return waiting

    def _end(self, handle: bytes, reason: CutReason) -> None:
        waiting = self._leave(handle)
        if waiting is not None:
            waiting.exchange.abort(reason)

    def _ends(self) -> int:
        return self._clock.now() + int(self._limits.seconds * 1_000_000)

    def _sealed(self, state: Parked | Relayed) -> str:
        return self._sealer.seal(pack(state), CONTEXT)
