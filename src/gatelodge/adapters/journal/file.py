"""The journal of one node: zero-filled files, one writer thread, one sync for many appends.

The event loop gathers what is appended during one turn, frames it and hands it over through a pipe;
the thread writes (O_DSYNC: write and sync in one call, so it takes the interpreter's lock once) and
answers through a second pipe. While a write runs the next batch gathers. Measured against an
executor, a queue with call_soon_threadsafe and two system calls, this was the quickest hand-over.
"""

import asyncio
import logging
import os
from collections import deque
from pathlib import Path
from threading import Thread

from msgspec import Struct

from gatelodge.adapters.journal.disk import Disk
from gatelodge.adapters.journal.durable import Durable
from gatelodge.adapters.journal.frame import HEAD, framed, payloads
from gatelodge.adapters.journal.reader import Reader
from gatelodge.adapters.journal.recovery import Recovered
from gatelodge.adapters.journal.segments import Segments
from gatelodge.core.errors import LedgerDown, LogForked
from gatelodge.ports.journal import Batch, Entry, Inventory, Position

log = logging.getLogger(__name__)

_Waiting = asyncio.Future[None] | None

_LINGER_SECONDS = 0.002
"""How long a record that nobody waits for may wait for others."""
_FEW, _ROUNDS = 2, 8
"""Behind a write for which more than a few waited, the next one is put off by so many rounds of the
loop: some 0.05 ms when nothing happens in them, and far fewer syncs when much does."""
_AGAIN_SECONDS = (0.25, 0.5, 1.0, 2.0, 5.0)
"""How long after a failure a fresh segment is tried, and after the next one."""
_MOST_KEPT = 10_000
"""Records that nobody waits for, kept while none can be written."""


class _Job(Struct, frozen=True):
    """One durable write: whole frames at one place; none, to try whether one could be made."""

    octets: bytes
    at: Position
    waiting: list[_Waiting]
    end: Position


class FileJournal:
    """A Journal (port) in `directory`; made by `open`, used on one event loop.

    Everything but `_job` and `_fault` belongs to the event loop's thread. Those two are handed
    back and forth by the pipes: the loop touches them only while the thread waits.

    After a failed write the page cache may show what the disk does not have, so nothing is written
    to that segment again: it ends where it was durable, everybody who waits is refused, and
    `failed` is true until a fresh segment could be made, whose frames go on with the next number.
    """

    def __init__(self, segments: Segments, disk: Disk, durable: Durable, begin: Recovered) -> None:
        self._segments, self._disk, self._stated = segments, disk, durable
        self._reader = Reader(segments)
        self._loop = asyncio.get_running_loop()
        self._entries: list[Entry] = []
        self._futures: list[_Waiting] = []
        self._packed: deque[tuple[bytes, list[_Waiting]]] = deque()
        self._idle = True
        self._closing: asyncio.Future[None] | None = None
        self._at = Position(begin.segment, segments.begin_of(begin.segment), begin.frame)
        self._durable = self._at
        self._first = self._read_at = begin.read_from
        self._again: asyncio.TimerHandle | None = None
        self._failures = 0
        self._job: _Job | None = None
        self._fault: OSError | None = None
        self._failed = False
        self._wake_end, self._wake = os.pipe()
        self._told, self._tell = os.pipe()
        self._loop.add_reader(self._told, self._written)
        self._thread = Thread(target=self._write_on, name="journal", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls,
        directory: Path,
        key: bytes,
        start: Position | None = None,
        *,
        segment_bytes: int = 8 * 1024 * 1024,
        disk: Disk | None = None,
        inventory: Inventory | None = None,
    ) -> "FileJournal":
        """Read what a dead process left from `start` on, and begin a new segment behind it.

        `key` (16 to 64 bytes) tags every frame; `start` is what the ledger has sequenced, and
        `inventory` states which segments there are. Raises LedgerDown when the disk refuses,
        LogForked when durable records are gone.
        """
        disk = disk or Disk()
        segments = Segments(disk, directory, segment_bytes, key, inventory)

        def recover() -> tuple[Durable, Recovered]:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            durable = Durable(directory / "durable", key)
            try:
                found = segments.recover(start, durable.next_frame())
            except BaseException:
                durable.close()
                raise
            segments.prepare(found.segment)
            return durable, found

        try:
            return cls(segments, disk, *await asyncio.to_thread(recover))
        except OSError as fault:
            raise _down(fault) from fault

    def append(self, entry: Entry, durable: _Waiting) -> None:
        """Queue an entry; see the port."""
        refused = self._failed and (durable is not None or len(self._entries) >= _MOST_KEPT)
        if refused or self._closing is not None:
            if durable is not None:
                durable.set_exception(LedgerDown("the journal takes no records now"))
            return
        self._entries.append(entry)
        self._futures.append(durable)
        if not self._idle or self._failed:
            return
        if durable is not None:
            self._idle = False
            self._loop.call_soon(self._hand_over)
        elif len(self._entries) == 1:
            # Nobody waits for it: let a few gather before the thread is woken.
            self._loop.call_later(_LINGER_SECONDS, self._gathered)

    def _gathered(self) -> None:
        if self._idle and self._entries and not self._failed:
            self._idle = False
            self._hand_over()

    @property
    def failed(self) -> bool:
        """True from a failed write on until a fresh segment could be made."""
        return self._failed

    async def read(self, limit: int) -> Batch:
        """The next durable entries; whole frames, at most `limit` entries."""
        start = self._read_at
        try:
            entries, end = await self._reader.read(start, self._durable, limit)
        except (OSError, ValueError) as fault:
            raise LedgerDown(f"the journal cannot be read back ({fault})") from fault
        self._read_at = end
        return Batch(tuple(entries), start, end)

    async def rewind(self, to: Position | None) -> None:
        """Read again from there, or from where a new process began."""
        self._read_at = to if to is not None and to.frame else self._first

    async def examine(self, mark: Position | None) -> list[str]:
        """What is wrong with what is durable and not in the log yet; nothing when all is there."""
        at = mark if mark is not None and mark.frame else self._first
        try:
            await asyncio.to_thread(self._segments.examine, at, self._durable)
        except (OSError, LogForked) as fault:
            return [str(fault)]
        return []

    async def forget(self, end: Position) -> None:
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
            os.write(self._wake, b"\0")
            await asyncio.to_thread(self._thread.join)
            await asyncio.to_thread(self._segments.settle)
            self._stated.close()
            self._loop.remove_reader(self._told)
            for fd in (self._wake_end, self._wake, self._told, self._tell):
                os.close(fd)

    async def rest(self, mark: Position | None) -> None:
        """After `close`: state that nothing is left, where the log stands at the very end.

        A crash before it leaves files that the next start wants to see, though it needs none.
        """
        if mark is not None and not await self._reader.holds(mark, self._durable):
            await asyncio.to_thread(self._segments.rest, mark.segment)

    def _hand_over(self) -> None:
        """Pack what was gathered and give the thread as much as fits in the segment."""
        if self._entries and not self._failed:
            entries, futures = self._entries, self._futures
            self._entries, self._futures = [], []
            taken = 0
            for payload, count in payloads(entries):
                self._packed.append((payload, futures[taken : taken + count]))
                taken += count
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
        os.write(self._wake, b"\0")

    def _next_segment(self, at: Position) -> Position:
        self._segments.ended(at.segment, at.offset)
        following = at.segment + 1
        return Position(following, self._segments.begin_of(following), at.frame)

    def _next_job(self, at: Position) -> _Job:
        octets: list[bytes] = []
        waiting: list[_Waiting] = []
        key, settled, frame = self._segments.key_of(at.segment), at.frame, at.frame
        room = self._segments.size - at.offset
        while self._packed and HEAD.size + len(self._packed[0][0]) <= room:
            payload, futures = self._packed.popleft()
            octets.append(framed(payload, frame, settled, key))
            room -= len(octets[-1])
            waiting += futures
            frame += 1
        end = Position(at.segment, self._segments.size - room, frame)
        return _Job(b"".join(octets), at, waiting, end)

    def _written(self) -> None:
        """The thread is done: answer everyone who waited, then hand over what gathered."""
        os.read(self._told, 1)
        job = self._job
        assert job is not None
        if self._fault is not None:
            fault, self._fault = self._fault, None
            self._fail(job, fault)
            return
        if self._failed:
            log.warning("the journal is written again")
        self._failed, self._failures = False, 0
        self._durable = job.end
        for future in job.waiting:
            if future is not None and not future.done():
                future.set_result(None)
        # Not at once: whoever was just answered appends first, and shares the next sync.
        if len(job.waiting) > _FEW:
            self._gather(len(job.waiting), _ROUNDS)
        else:
            self._loop.call_soon(self._hand_over)

    def _gather(self, expected: int, rounds: int) -> None:
        """Hand over once as many came as were answered, or after so many rounds of the loop."""
        if rounds and len(self._entries) < expected:
            self._loop.call_soon(self._gather, expected, rounds - 1)
        else:
            self._loop.call_soon(self._hand_over)

    def _fail(self, job: _Job, fault: OSError) -> None:
        """Refuse everyone who waits, and try a fresh segment after a while.

        A crash before that leaves what the disk has of the failed write: the next start may find
        records in it whose callers were refused, and closes them.
        """
        if not self._failed:
            log.error("the journal cannot be written (%s): no call is forwarded", _why(fault))
        self._failed = True
        waiting = [*job.waiting, *(f for _, futures in self._packed for f in futures)]
        waiting += self._futures
        self._packed.clear()
        gathered = zip(self._entries, self._futures, strict=True)
        self._entries = [entry for entry, future in gathered if future is None]
        self._futures = [None] * len(self._entries)
        self._idle = True
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(_down(fault))
        # Where nothing was written the same segment is tried again, made anew if need be.
        self._at = job.at if isinstance(fault, _NotReady) else self._next_segment(job.at)
        if self._closing is not None:
            self._closing.set_result(None)
            return
        pause = _AGAIN_SECONDS[min(self._failures, len(_AGAIN_SECONDS) - 1)]
        self._failures += 1
        self._again = self._loop.call_later(pause, self._try_again)

    def _try_again(self) -> None:
        """See whether a fresh segment can be made; see `_written` for what becomes of it."""
        self._again, self._idle = None, False
        self._job = _Job(b"", self._at, [], self._at)
        os.write(self._wake, b"\0")

    def _write_on(self) -> None:
        """The writer's thread: one write at a time until it is told to end."""
        held = _Held()
        while os.read(self._wake_end, 1) and (job := self._job) is not None:
            end = job.end
            try:
                held = self._write(job, held)
            except OSError as fault:
                self._fault, end = fault, job.at
            os.write(self._tell, b"\0")
            # Behind the answer, so that nobody waits for it.
            self._stated.state(end.frame)
        if held.fd >= 0:
            self._disk.close(held.fd)

    def _write(self, job: _Job, held: "_Held") -> "_Held":
        """Write durably; goes to the next segment when the job says so. Raises OSError."""
        if job.at.segment != held.segment:
            try:
                fd = self._segments.take(job.at.segment)
            except OSError as fault:
                raise _NotReady(fault.errno, _why(fault)) from fault
            if held.fd >= 0:
                self._disk.close(held.fd)
            held = _Held(job.at.segment, fd)
        if job.octets:
            self._disk.write(held.fd, job.octets, job.at.offset)
        return held


class _NotReady(OSError):
    """The next segment could not be made ready: nothing was written to it."""


class _Held(Struct, frozen=True):
    """The segment that is open for writing."""

    segment: int = -1
    fd: int = -1


def _why(fault: OSError) -> str:
    return os.strerror(fault.errno) if fault.errno else str(fault.args[-1])


def _down(fault: OSError) -> LedgerDown:
    return LedgerDown(f"the journal could not be written ({_why(fault)})", retry_after=1.0)
