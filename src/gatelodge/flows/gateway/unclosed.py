"""Outcomes that could not be written when their call ended, or was given up, and are written later.

A crash before that leaves the intent alone in the log: the next start closes it as unresolved.
"""

import asyncio

from msgspec import Struct

from gatelodge.core.errors import LedgerDown
from gatelodge.core.records.leaves import CallOutcome
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.health import NodeHealth
from gatelodge.ports.journal import RecordWrite

Written = asyncio.Future[None] | None
"""Resolved when a record is durable; None when nobody waits for it."""

_SETTLE_SECONDS = 1.0


class _Unclosed(Struct, eq=False):
    """An outcome that is not known to be written; `counted` = it was tried before.

    `written` is resolved by the journal for the last try, None before the first.
    """

    log: str
    server: str
    ending: CallOutcome
    noted: Written
    written: Written
    counted: bool

    def due(self) -> bool | None:
        """Whether it has to be written now; None = not known yet."""
        stands = stands_in_log(self.noted)
        if not stands or self.written is None:
            return stands
        closed = stands_in_log(self.written)
        return None if closed is None else not closed


class UnclosedCalls:
    """The calls of this node whose outcome is not in the log. Owned by the event loop."""

    def __init__(self, recorder: AuditRecorder) -> None:
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._unclosed: list[_Unclosed] = []

    def add(
        self,
        log: str,
        server: str,
        ending: CallOutcome,
        noted: Written,
        written: Written = None,
        *,
        counted: bool,
    ) -> None:
        """Write this outcome later; none is written for an intent that did not land.

        `written` is that of an outcome which was handed to the journal: it may land yet.
        """
        # What is not known yet is kept, and asked for again until the journal has answered.
        if stands_in_log(noted) is not False:
            self._unclosed.append(_Unclosed(log, server, ending, noted, written, counted))

    async def settle(self, health: NodeHealth) -> None:
        """Close what could not be closed at once, until cancelled."""
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            try:
                await self._close_all(health)
            except LedgerDown:
                continue  # told to health

    async def _close_all(self, health: NodeHealth) -> None:
        # Calls that end during a wait below are added to the list, and have their turn next time.
        for waiting in tuple(self._unclosed):
            due = waiting.due()
            if due is None:
                continue
            if due:
                written = RecordWrite(loop=self._loop)
                # It counts from this try on, whatever becomes of it: a call is one in the numbers.
                counted, waiting.counted = waiting.counted, True
                self._recorder.outcome(
                    waiting.log, waiting.server, waiting.ending, written, again=counted
                )
                waiting.written = written
                with health.watched("closing records that could not be closed"):
                    await written
            self._unclosed.remove(waiting)


def stands_in_log(noted: Written) -> bool | None:
    """Whether a record is in the log, so that its outcome belongs there; None = not known yet."""
    if noted is None:
        return True
    # Whoever waited was cancelled, and the future with them; the journal's answer is kept beside.
    if noted.cancelled():
        if not (isinstance(noted, RecordWrite) and noted.answered):
            return None
        return True if noted.fault is None else noted.fault.landed()
    if not noted.done():
        return None
    fault = noted.exception()
    return fault.landed() if isinstance(fault, LedgerDown) else True
