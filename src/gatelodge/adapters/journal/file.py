"""The journal of one node: zero-filled files, one writer thread, one sync for many appends.

The event loop gathers what is appended during one turn, frames it and hands it over through a pipe;
the thread writes (O_DSYNC: write and sync in one call, so it takes the interpreter's lock once) and
answers through a second pipe. While a write runs the next batch gathers. Measured against an
executor, a queue with call_soon_threadsafe and two system calls, this was the quickest hand-over.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from functools import partial
from pathlib import Path
from threading import Thread

from msgspec import Struct

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.journal.begun import BegunJournal, begin_journal
from gatelodge.adapters.journal.disk import JournalDisk, ledger_down_error, os_error_text
from gatelodge.adapters.journal.frame import HEAD, entries_in, framed, payloads, unpacked
from gatelodge.adapters.journal.reader import JournalReader
from gatelodge.adapters.journal.segments import SegmentDirectory
from gatelodge.core.errors import LedgerDown, LogForked
from gatelodge.ports.journal import (
    JournalBacklog,
    JournalBatch,
    JournalEntry,
    JournalPosition,
    SegmentInventory,
    record_landed,
    record_refused,
)

log = logging.getLogger(__name__)

_Waiting = asyncio.Future[None] | None

_LINGER_SECONDS = 0.002
"""How long a record that nobody waits for may wait for others."""
_FEW, _MANY, _ROUNDS = 2, 64, 8
"""Behind a write for which more than a few waited, the next one is put off until as many came, or
64, but by no more than so many rounds of the loop: some 0.05 ms when nothing happens in them, and
far fewer syncs when much does."""
_AGAIN_SECONDS = (0.25, 0.5, 1.0, 2.0, 5.0)
"""How long after a failure a fresh segment is tried, and after the next one."""
_MOST_KEPT = 10_000
"""Records that nobody waits for, kept while none can be written."""


class _SegmentWrite(Struct, frozen=True):
    """One durable write: whole frames at one place; none, to try whether one could be made."""

    octets: bytes
    at: JournalPosition
    waiting: list[_Waiting]
    end: JournalPosition
    statement: bytes


class FileJournal:
    """A Journal (port) in `directory`; made by `open`, used on one event loop.

    Everything but `_job` and `_fault` belongs to the event loop's thread. Those two are handed
    back and forth by the pipes: the loop touches them only while the thread waits.

    After a failed write the page cache may show what the disk does not have, so nothing is written
    to that segment again: it ends where it was durable, everybody who waits is refused, and
    `failed` is true until a fresh segment could be made, whose frames go on with the next number.
    """

    def __init__(self, begun: BegunJournal, disk: JournalDisk) -> None:
        segments, begin = begun.segments, begun.found
        self._begun, self._segments, self._stated = begun, segments, begun.durable
        self._disk, self._pipes = disk, begun.pipes
        self._reader = JournalReader(segments)
        self._loop = asyncio.get_running_loop()
        self._entries: list[JournalEntry] = []
        self._futures: list[_Waiting] = []
        self._packed: deque[tuple[bytes, list[_Waiting]]] = deque()
        self._idle = True
        self._closing: asyncio.Future[None] | None = None
        self._at = JournalPosition(begin.segment, segments.begin_of(begin.segment), begin.frame)
        self._durable = self._at
        self._first = self._read_at = begin.read_from
        self._again: asyncio.TimerHandle | None = None
        self._failures = 0
        self._job: _SegmentWrite | None = None
        self._fault: OSError | None = None
        self._failed = False
        self._thread = Thread(target=self._write_on, name="journal", daemon=True)
        self._thread.start()
        self._loop.add_reader(self._pipes.told, self._complete_write)

    @classmethod
    async def open(
        cls,
        directory: Path,
        key: bytes,
        start: JournalPosition | None = None,
        *,
        segment_bytes: int = 8 * 1024 * 1024,
        disk: JournalDisk | None = None,
        inventory: SegmentInventory | None = None,
    ) -> "FileJournal":
        """Read what a dead process left from `start` on, and begin a new segment behind it.

        `key` (16 to 64 bytes) tags every frame; `start` is what the ledger has sequenced, and
        `inventory` states which segments there are. Raises LedgerDown when the disk refuses,
        LogForked when durable records are gone.
        """
        disk = disk or JournalDisk()
        segments = SegmentDirectory(disk, directory, segment_bytes, key, inventory)
        begin = partial(begin_journal, directory, key, start, segments)
        try:
            begun = await opened_aside(begin, BegunJournal.close)
        except OSError as fault:
            raise ledger_down_error(fault) from fault
        try:
            return cls(begun, disk)
        except BaseException:
            begun.close()
            raise

    def append(self, entry: JournalEntry, durable: _Waiting) -> None:
        """Queue an entry; see the port."""
        # A record that nobody waits for tells of what happened already: a failure must not lose it.
        refused = self._failed and (durable is not None or self.backlog.records >= _MOST_KEPT)
        if refused or self._closing is not None:
            if durable is not None:
                record_refused(durable, LedgerDown("the journal takes no records now"))
            return
        self._entries.append(entry)
        self._futures.append(durable)
        # The write under way, or the next try after a failure, takes it along.
        if not self._idle or self._failed:
            return
        if durable is not None:
            self._idle = False
            self._loop.call_soon(self._hand_over)
        elif len(self._entries) == 1:
            # Nobody waits for it: let a few gather before the thread is woken.
            self._loop.call_later(_LINGER_SECONDS, self._hand_over_after_linger)

    def _hand_over_after_linger(self) -> None:
        if self._idle and self._entries and not self._failed:
            self._idle = False
            self._hand_over()

    @property
    def failed(self) -> bool:
        """True from a failed write on until a fresh segment could be made."""
        return self._failed

    @property
    def backlog(self) -> JournalBacklog:
        """What is gathered or being written, and what was written and not read back yet."""
        job, read = self._job, self._read_at
        written = job is None or self._idle or self._durable is job.end
        records = len(self._entries) + sum(len(futures) for _, futures in self._packed)
        if job is not None and not written:
            records += len(job.waiting)
        return JournalBacklog(records, self._durable.frame - read.frame if read.frame else None)

    async def read(self, limit: int) -> JournalBatch:
        """The next durable entries; whole frames, at most `limit` entries."""
        start = self._read_at
        try:
            entries, end = await self._reader.read(start, self._durable, limit)
        except (OSError, ValueError) as fault:
            raise LedgerDown(f"the journal cannot be read back ({fault})") from fault
        # Before the ledger has them: where its append fails, `rewind` goes back.
        self._read_at = end
        return JournalBatch(tuple(entries), start, end)

    async def rewind(self, to: JournalPosition | None) -> None:
        """Read again from there, or from where a new process began."""
        self._read_at = to if to is not None and to.frame else self._first

    async def examine(self, mark: JournalPosition | None) -> list[str]:
        """What is wrong with what is durable and not in the log yet; nothing when all is there."""
        at = mark if mark is not None and mark.frame else self._first
        try:
            await asyncio.to_thread(self._segments.examine, at, self._durable)
        except (OSError, LogForked) as fault:
            return [str(fault)]
        return []

    async def forget(self, end: JournalPosition) -> None:
        """Everything before `end` is sequenced: its whole segments are reused or removed."""
        try:
            await asyncio.to_thread(self._segments.forget, end.segment)
        except OSError as fault:
            raise LedgerDown("a sequenced journal file cannot be removed") from fault

    async def close(self) -> None:
        """Make what is queued durable, then end the thread and release the files."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            if self._again is not None:
                self._again.cancel()
            if self._idle:
                self._idle = False
                self._hand_over()
        await asyncio.shield(self._closing)
        if self._thread.is_alive():
            self._job = None
            os.write(self._pipes.wake, b"\0")
            await asyncio.to_thread(self._thread.join)
            # The thread has ended by here: it would use the files and pipes that are closed below.
            self._loop.remove_reader(self._pipes.told)
            await asyncio.to_thread(self._begun.close)

    async def rest(self, mark: JournalPosition | None) -> None:
        """After `close`: state that nothing is left, where the log stands at the very end.

        A crash before it leaves files that the next start wants to see, though it needs none.
        """
        if mark is not None and not await self._reader.holds(mark, self._durable):
            await asyncio.to_thread(self._segments.rest, mark.segment)

    def _hand_over(self) -> None:
        """Pack what was gathered and give the thread as much as fits in the segment."""
        if self._entries and not self._failed:
            self._pack_entries()
        if not self._packed:
            self._idle = True
            if self._closing is not None and not self._closing.done():
                self._closing.set_result(None)
            return
        at = self._at
        if at.offset + HEAD.size + len(self._packed[0][0]) > self._segments.size:
            at = self._next_segment(at)
        self._job = self._next_job(at)
        self._at = self._job.end
        os.write(self._pipes.wake, b"\0")

    def _pack_entries(self) -> None:
        entries, futures = self._entries, self._futures
        self._entries, self._futures = [], []
        taken = 0
        for payload, count in payloads(entries):
            self._packed.append((payload, futures[taken : taken + count]))
            taken += count

    def _next_segment(self, at: JournalPosition) -> JournalPosition:
        self._segments.ended(at.segment, at.offset)
        following = at.segment + 1
        return JournalPosition(following, self._segments.begin_of(following), at.frame)

    def _next_job(self, at: JournalPosition) -> _SegmentWrite:
        octets: list[bytes] = []
        waiting: list[_Waiting] = []
        key, settled, frame = self._segments.key_of(at.segment), at.frame, at.frame
        room = self._segments.size - at.offset
        while self._packed and HEAD.size + len(self._packed[0][0]) <= room:
            payload, futures = self._packed.popleft()
            # Each frame says what was durable when it was written. Recovery needs that to tell a
            # torn frame, on which nobody relied, from a lost one.
            octets.append(framed(payload, frame, settled, key))
            room -= len(octets[-1])
            waiting += futures
            frame += 1
        end = JournalPosition(at.segment, self._segments.size - room, frame)
        whole = octets[0] if len(octets) == 1 else b"".join(octets)
        return self._job_of(whole, at, waiting, end)

    def _job_of(
        self, octets: bytes, at: JournalPosition, waiting: list[_Waiting], end: JournalPosition
    ) -> _SegmentWrite:
        # The statement is made here: the thread needs the interpreter's lock as little as can be.
        return _SegmentWrite(octets, at, waiting, end, self._stated.statement(end.frame))

    def _complete_write(self) -> None:
        """The thread is done: answer everyone who waited, then hand over what gathered."""
        os.read(self._pipes.told, 1)
        job = self._job
        assert job is not None
        if self._fault is not None:
            fault, self._fault = self._fault, None
            self._refuse_callers_and_retry(job, fault)
            return
        if self._failed:
            log.warning("the journal is written again")
        self._failed, self._failures = False, 0
        self._durable = job.end
        for future in job.waiting:
            if future is not None:
                record_landed(future)
        # Not at once: whoever was just answered appends first, and shares the next sync.
        if len(job.waiting) > _FEW:
            self._postpone_hand_over(min(len(job.waiting), _MANY), _ROUNDS)
        elif self._entries or self._packed or self._closing is not None:
            self._loop.call_soon(self._hand_over)
        else:
            self._idle = True

    def _postpone_hand_over(self, expected: int, rounds: int) -> None:
        """Hand over once as many came as were answered, or after so many rounds of the loop."""
        if rounds and len(self._entries) < expected:
            self._loop.call_soon(self._postpone_hand_over, expected, rounds - 1)
        else:
            self._loop.call_soon(self._hand_over)

    def _refuse_callers_and_retry(self, job: _SegmentWrite, fault: OSError) -> None:
        """Refuse everyone who waits, keep what nobody waits for, and try a fresh segment later.

        That segment goes on with the number of the failed write, so nothing stands in both. A
        crash before that leaves what the disk has of the failed write: the next start may find
        records in it whose callers were refused, and closes them.
        """
        if not self._failed:
            log.error(
                "the journal cannot be written (%s): no call is forwarded", os_error_text(fault)
            )
        self._failed = True
        waiting = [*job.waiting, *(f for _, futures in self._packed for f in futures)]
        waiting += self._futures
        taken = [*entries_in(job.octets)]
        taken += (entry for payload, _ in self._packed for entry in unpacked(payload))
        self._packed.clear()
        gathered = zip((*taken, *self._entries), waiting, strict=True)
        self._entries = [entry for entry, future in gathered if future is None]
        self._futures = [None] * len(self._entries)
        self._idle = True
        for future in waiting:
            if future is not None:
                record_refused(future, ledger_down_error(fault))
        # Where nothing was written the same segment is tried again, made anew if need be.
        self._at = job.at if isinstance(fault, _NotReady) else self._next_segment(job.at)
        if self._closing is not None:
            self._closing.set_result(None)
            return
        pause = _AGAIN_SECONDS[min(self._failures, len(_AGAIN_SECONDS) - 1)]
        self._failures += 1
        self._again = self._loop.call_later(pause, self._try_again)

    def _try_again(self) -> None:
        """Write what was kept, in a fresh segment; `_complete_write` says what becomes of it.

        Nothing else is taken before that is written, so that a disk on which only small writes
        succeed is not taken for a good one.
        """
        self._again, self._idle = None, False
        if self._entries:
            self._pack_entries()
        self._job = self._next_job(self._at)
        self._at = self._job.end
        os.write(self._pipes.wake, b"\0")

    def _write_on(self) -> None:
        """The writer's thread: one write at a time until it is told to end."""
        held = _OpenSegment()
        while os.read(self._pipes.wake_end, 1) and (job := self._job) is not None:
            try:
                # Held before it is written to: where the write fails the old one is closed already.
                held = self._hold_segment(job, held)
                if job.octets:
                    self._disk.write(held.fd, job.octets, job.at.offset)
                # Before anybody hears of it: behind it the lock would be taken from who answers.
                self._stated.state(job.statement, job.end.frame)
            except OSError as fault:
                self._fault = fault
            os.write(self._pipes.tell, b"\0")
        if held.fd >= 0:
            self._disk.close(held.fd)

    def _hold_segment(self, job: _SegmentWrite, held: "_OpenSegment") -> "_OpenSegment":
        """Go to the next segment when the job says so. Raises _NotReady: the old one is held."""
        if job.at.segment == held.segment:
            return held
        try:
            fd = self._segments.take(job.at.segment)
        except OSError as fault:
            raise _NotReady(fault.errno, os_error_text(fault)) from fault
        if held.fd >= 0:
            # What stands there is synced. Whatever this says, the number may be another's by now.
            with contextlib.suppress(OSError):
                self._disk.close(held.fd)
        return _OpenSegment(job.at.segment, fd)


class _NotReady(OSError):
    """The next segment could not be made ready: nothing was written to it."""


class _OpenSegment(Struct, frozen=True):
    """The segment that is open for writing."""

    segment: int = -1
    fd: int = -1
