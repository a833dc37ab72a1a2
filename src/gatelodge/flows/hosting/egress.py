"""What one instance wants of the network, on record before it is connected.

A name that no admin allowed may hold a part of what a caller sent, so it is recorded nowhere; what
is refused often is added up.
"""

import asyncio
from collections import deque

from gatelodge.core.access.rate_limit import RateLimit
from gatelodge.core.errors import LimitReached, Unavailable
from gatelodge.core.records.hosting_leaves import EgressClosed, EgressOpened, EgressRefused
from gatelodge.core.records.origin import calls_log
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.hosting.recorded_instance import RecordedInstance
from gatelodge.ports.journal import RecordWrite
from gatelodge.ports.runtime import EgressEvent
from gatelodge.ports.world import Clock

_ALONE = 20
"""Refusals of one instance within a minute that have a record each."""
_ADMITTED_SECONDS = 30.0
_SHOWN = 20
_LONGEST_NAME = 253
_MOST = "This instance opened too many connections within a minute."
_RAISE = "An admin can raise hosting.connections_per_minute."


class InstanceEgress:
    """Records the connections of one instance. `report` is its runtime's `EgressReport`."""

    def __init__(
        self,
        instance: RecordedInstance,
        allowed: tuple[str, ...],
        recorder: AuditRecorder,
        clock: Clock,
        per_minute: int,
    ) -> None:
        """`allowed` are the places (`host:port`) of its approved definition."""
        self._instance = instance
        self._allowed = frozenset(allowed)
        self._recorder = recorder
        self._clock = clock
        self._rate = RateLimit(per_minute)
        self._alone = RateLimit(_ALONE)
        self._log = calls_log(instance.workspace)
        self._open: dict[str, tuple[str, float]] = {}
        self._number = 0
        self._unsaid, self._since = 0, 0.0
        self.refused: deque[str] = deque(maxlen=_SHOWN)
        """Where it last wanted to connect to in vain; a part of a payload may stand in it."""
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Resolved once its start is on record; cancelled when it was refused."""

    async def report(self, event: EgressEvent) -> None:
        """Hear of a connection. Raises HouseError for one that must not be made."""
        if event.kind == "opened":
            await self._record_opening(event)
        elif event.kind == "closed":
            self._close_one(event.connection, "closed", event)
        elif event.kind == "refused":
            self._count_refusal(event)

    def end(self) -> None:
        """The instance is gone, and so is every connection of its."""
        self.admitted.cancel()
        for connection in tuple(self._open):
            self._close_one(connection, "instance_ended")
        self._write_refusals()

    async def _record_opening(self, event: EgressEvent) -> None:
        # What runs may try before it was judged: until then nothing of it leaves this machine.
        await asyncio.wait((self.admitted,), timeout=_ADMITTED_SECONDS)
        if self.admitted.cancelled() or not self.admitted.done():
            raise Unavailable("The instance is not admitted.")
        if f"{event.host}:{event.port}" not in self._allowed:
            self._count_refusal(event)
            raise Unavailable("The place is not among those that an admin allowed.")
        now = self._clock.boottime()
        early = self._rate.too_early("", now)
        if early:
            raise LimitReached(_MOST, remedy=_RAISE, retry_after=early)
        self._rate.count("", now)
        connection = self._next_name()
        self._open[event.connection] = connection, now
        durable = RecordWrite()
        leaf = EgressOpened(
            connection=connection, host=event.host, port=event.port, server=self._instance.server
        )
        self._recorder.hosted(self._log, leaf, None, durable)
        try:
            await durable
        except BaseException:
            # Whether it landed is not known: an end without a beginning is kept as a late one.
            self._close_one(event.connection, "failed")
            raise

    def _close_one(self, key: str, reason: str, event: EgressEvent | None = None) -> None:
        connection, began = self._open.pop(key, ("", 0.0))
        if not connection:
            return
        leaf = EgressClosed(
            connection=connection,
            ms=round((self._clock.boottime() - began) * 1000),
            reason=reason,  # type: ignore[arg-type]
            received=0 if event is None else event.received,
            sent=0 if event is None else event.sent,
        )
        self._recorder.hosted(self._log, leaf, None, None)

    def _count_refusal(self, event: EgressEvent) -> None:
        now = self._clock.boottime()
        known = f"{event.host}:{event.port}" in self._allowed
        self.refused.append(f"{event.host[:_LONGEST_NAME]}:{event.port}")
        if event.count > 1 or self._alone.too_early("", now):
            self._since = self._since or now
            self._unsaid += event.count
            return
        self._alone.count("", now)
        self._write_refusals()
        leaf = EgressRefused(
            connection=self._next_name(),
            host=event.host if known else "",
            port=event.port if known else 0,
            server=self._instance.server,
        )
        self._recorder.hosted(self._log, leaf, None, None)

    def _write_refusals(self) -> None:
        """Write the count of those that had no record of their own."""
        if not self._unsaid:
            return
        leaf = EgressRefused(
            connection=self._next_name(),
            count=self._unsaid,
            server=self._instance.server,
            window_ms=round((self._clock.boottime() - self._since) * 1000),
        )
        self._unsaid, self._since = 0, 0.0
        self._recorder.hosted(self._log, leaf, None, None)

    def _next_name(self) -> str:
        self._number += 1
        return f"{self._instance.name}.{self._number}"
