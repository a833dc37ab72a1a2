"""Calls that take several rounds: what a modern client is given to hold, and what waits for it.

Two kinds of state are given out, both sealed and bound to caller, endpoint, server and request. A
`RelayedCall` holds what a modern server wants back; nothing of it stays here. A `ParkedCall` names
a call that stands here, in the middle of a legacy server's question (the suspend bridge): it can be
taken up once, on this node, until its time is over or its caller's access ends.
Source: MCP 2026-07-28 basic/patterns/mrtr; decision 0014.
"""

import asyncio

from msgspec import Struct

from gatelodge.core.access.shares import PersonShares
from gatelodge.core.protocol.bridge.state import (
    CONTEXT,
    ParkedCall,
    RelayedCall,
    StateBinding,
    holds,
    pack,
    read_state,
)
from gatelodge.flows.gateway.admission import ExchangeLicence
from gatelodge.flows.gateway.inflight import CutReason, InFlight, RunningRequest
from gatelodge.flows.gateway.request import NotificationBuffer
from gatelodge.ports.upstream import UpstreamExchange
from gatelodge.ports.world import Clock, FreshIds, StringSealer

_HANDLE_BYTES = 16


class ParkedExchange(Struct, eq=False):
    """A parked call. `cut` ends it for good: the server is told, the place is free.

    `numbers` are those of the open questions, by the keys under which the client answers them.
    """

    exchange: UpstreamExchange
    numbers: dict[str, int]
    ears: NotificationBuffer
    licence: ExchangeLicence
    running: RunningRequest | None = None
    timer: asyncio.TimerHandle | None = None


class RoundLimits(Struct, frozen=True, kw_only=True):
    """How long a question may stay open (seconds), and how many calls of a person may wait."""

    seconds: float
    per_principal: int


class InputRounds:
    """The states this node gave out, and the calls that wait. Owned by the event loop."""

    def __init__(
        self,
        sealer: StringSealer,
        clock: Clock,
        ids: FreshIds,
        node: str,
        inflight: InFlight,
        *,
        limits: RoundLimits,
    ) -> None:
        self._sealer, self._clock, self._ids = sealer, clock, ids
        self._node = node
        self._inflight = inflight
        self._limits = limits
        self._waiting: dict[bytes, ParkedExchange] = {}
        self._persons = PersonShares()

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    def relayed(self, binding: StateBinding, number: int, state: bytes) -> str:
        """The sealed state for a modern server's own."""
        # Nothing of it is kept, so it may come back twice; only its server can tell (KNOWN-LIMITS).
        return self._sealed_state(RelayedCall(binding, self._state_expiry(), number, state))

    def opened(self, sealed: str, binding: StateBinding) -> ParkedCall | RelayedCall | None:
        """The state in what a client brought back; None when it is not good for this request."""
        state = read_state(self._sealer.open(sealed, CONTEXT))
        if state is None or not holds(state, binding, self._clock.now()):
            return None
        return state

    def park(
        self, waiting: ParkedExchange, running: RunningRequest, binding: StateBinding, number: int
    ) -> str | None:
        """Let a call wait for its client; the sealed state, or None when too many wait already.

        `running` is registered for it, so that whatever ends the caller's access ends it too.
        """
        if self._persons.of(running.person) >= self._limits.per_principal:
            return None
        handle = self._ids.random(_HANDLE_BYTES)
        waiting.running = running
        running.parked, running.began = True, self._clock.boottime()
        running.cut = lambda reason: self._end_waiting_call(handle, reason)
        # No stream is open to the client before its retry, so notifications are kept till then.
        waiting.ears.detach()
        self._waiting[handle] = waiting
        self._persons.take(running.person)
        self._inflight.add(running)
        loop = asyncio.get_running_loop()
        waiting.timer = loop.call_later(
            self._limits.seconds, self._end_waiting_call, handle, "cancelled"
        )
        return self._sealed_state(
            ParkedCall(binding, self._state_expiry(), number, self._node, handle)
        )

    def take(self, state: ParkedCall) -> ParkedExchange | None:
        """The call that waits under this state, once; None when it waits no more, or elsewhere."""
        if state.node != self._node:
            return None
        # Two retries with one state must not both go on with the call.
        return self._remove_waiting_call(state.handle)

    def waits(self, state: ParkedCall) -> bool:
        """Say whether a call waits here under this state."""
        return state.node == self._node and state.handle in self._waiting

    def elsewhere(self, state: ParkedCall) -> bool:
        """Say whether the call waits on another node."""
        return state.node != self._node

    def _remove_waiting_call(self, handle: bytes) -> ParkedExchange | None:
        waiting = self._waiting.pop(handle, None)
        if waiting is not None:
            assert waiting.running is not None
            assert waiting.timer is not None
            waiting.timer.cancel()
            self._inflight.remove(waiting.running)
            self._persons.give(waiting.running.person)
        return waiting

    def _end_waiting_call(self, handle: bytes, reason: CutReason) -> None:
        # A retry may have taken the call over just before the timer or a cut came here.
        waiting = self._remove_waiting_call(handle)
        if waiting is not None:
            waiting.exchange.abort(reason)

    def _state_expiry(self) -> int:
        # The state ends with the timer of a parked call, and never outlives that call.
        return self._clock.now() + int(self._limits.seconds * 1_000_000)

    def _sealed_state(self, state: ParkedCall | RelayedCall) -> str:
        return self._sealer.seal(pack(state), CONTEXT)
