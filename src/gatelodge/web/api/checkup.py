"""The whole check as one run at a time, which whoever asks again joins: it may take minutes."""

import asyncio

from gatelodge.flows.audit.fsck import LedgerExamination, LedgerFsck, Live


class LedgerCheckup:
    """Owns the run. It ends with its result, or with the process; it changes nothing."""

    def __init__(self) -> None:
        self._task: asyncio.Task[LedgerExamination] | None = None
        self._fsck: LedgerFsck | None = None

    async def joined(
        self, fsck: LedgerFsck, live: Live, seconds: float
    ) -> LedgerExamination | None:
        """Begin a run or join the one that goes on; None when it is not done after `seconds`."""
        if self._task is None:
            self._fsck = fsck
            # A task of its own: a client that hangs up must not end a run that others wait for.
            self._task = asyncio.get_running_loop().create_task(fsck.examine(live))
        task = self._task
        # `wait` leaves the run alone when time is up, where `wait_for` would cancel it.
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            return None
        # Of all who see the end the first one clears it; a later one may find the next run here.
        if self._task is task:
            self._task = None
        return task.result()

    @property
    def progress(self) -> tuple[int, int]:
        """Leaves that were looked at, and how many there are."""
        return (0, 0) if self._fsck is None else (self._fsck.looked_at, self._fsck.of)
