"""The journal of one node: zero-filled files, one writer thread, one sync for many appends.

The event loop gathers what is appended during one turn, frames it and hands it over through a pipe;
the thread writes (O_DSYNC: write and sync in one call, so it takes the interpreter's lock once) and
answers through a second pipe. While a write runs the next batch gathers. Measured against an
executor, a queue with call_soon_threadsafe and two system calls, this was the quickest hand-over.
"""

import asyncio
import os
from collections import deque
from pathlib import Path
from threading import Thread

from msgspec import Struct

from gatelodge.adapters.journal.disk import Disk
from gatelodge.adapters.journal.frame import frame_at, frames, unpacked
from gatelodge.adapters.journal.segments import Segments
from gatelodge.core.errors import LedgerDown
from gatelodge.ports.journal import Batch, Entry, Position

_Waiting = asyncio.Future[None] | None

_WINDOW = 1024 * 1024
"""How much of a segment one read takes; several times the largest frame."""


_LINGER_SECONDS = 0.002
"""How long a record that nobody waits for may wait for others."""


class _Job(Struct, frozen=True):
    """One durable write: whole frames at one place."""

    octets: bytes
    at: Position
    waiting: list[_Waiting]

    @property
    def end(self) -> Position:
        return Position(self.at.segment, self.at.offset + len(self.octets))


class FileJournal:
    """A Journal (port) in `directory`; made by `open`, used on one event loop.

    Everything but `_job` and `_fault` belongs to the event loop's thread. Those two are handed
    back and forth by the pipes: the loop touches them only while the thread waits.
    """

    def __init__(self, segments: Segments, disk: Disk, key: bytes, begin: "_Begin") -> None:
        self._segments, self._disk, self._key = segments, disk, key
        self._loop = asyncio.get_running_loop()
        self._entries: list[Entry] = []
        self._futures: list[_Waiting] = []
        self._framed: deque[tuple[bytes, list[_Waiting]]] = deque()
        self._idle = True
        self._closing: asyncio.Future[None] | None = None
        self._sequence = begin.sequence
        self._at = self._durable = Position(begin.segment, 0)
        self._read_at = begin.read_from
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
    ) -> "FileJournal":
        """Read what a dead process left from `start` on, and begin a new segment behind it.

        `key` (16 to 64 bytes) tags every frame; `start` is what the ledger has sequenced. Raises
        LedgerDown when the disk refuses, LogForked when durable records are gone.
        """
        disk = disk or Disk()
        segments = Segments(disk, directory, segment_bytes)

        def recover() -> _Begin:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            segment, sequence = segments.recover(start, key)
            segments.prepare(segment)
            oldest = min(segments.ends, default=segment)
            return _Begin(segment, sequence, start or Position(oldest, 0))

        try:
            return cls(segments, disk, key, await asyncio.to_thread(recover))
        except OSError as fault:
            raise _down(fault) from fault

    def append(self, entry: Entry, durable: _Waiting) -> None:
        """Queue an entry; see the port."""
        if self._failed or self._closing is not None:
            if durable is not None:
                durable.set_exception(LedgerDown("the journal takes no more records"))
            return
        self._entries.append(entry)
        self._futures.append(durable)
        if not self._idle:
            return
        if durable is not None:
            self._idle = False
            self._loop.call_soon(self._hand_over)
        elif len(self._entries) == 1:
            # Nobody waits for it: let a few gather before the thread is woken.
            self._loop.call_later(_LINGER_SECONDS, self._gathered)

    def _gathered(self) -> None:
        if self._idle and self._entries:
            self._idle = False
            self._hand_over()

    @property
    def failed(self) -> bool:
        """True once a write or sync failed: nothing is admitted until a restart."""
        return self._failed

    async def read(self, limit: int) -> Batch:
        """The next durable entries; whole frames, at most `limit` entries."""
        start = self._read_at
        try:
            entries, end = await self._read(start, self._durable, limit)
        except (OSError, ValueError) as fault:
            raise LedgerDown("the journal cannot be read back") from fault
        self._read_at = end
        return Batch(tuple(entries), start, end)

    async def rewind(self, to: Position | None) -> None:
        """Read again from there, or from the oldest segment."""
        oldest = min(self._segments.ends, default=self._at.segment)
        self._read_at = to or Position(oldest, 0)

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
            if self._idle:
                self._idle = False
                self._hand_over()
        await asyncio.shield(self._closing)
        if self._thread.is_alive():
            self._job = None
            os.write(self._wake, b"\0")
            await asyncio.to_thread(self._thread.join)
            await asyncio.to_thread(self._segments.settle)
            self._loop.remove_reader(self._told)
            for fd in (self._wake_end, self._wake, self._told, self._tell):
                os.close(fd)

    def _hand_over(self) -> None:
        """Frame what was gathered and give the thread as much as fits in the segment."""
        if self._entries:
            entries, futures = self._entries, self._futures
            self._entries, self._futures = [], []
            taken = 0
            for framed, count in frames(entries, self._sequence, self._key):
                self._framed.append((framed, futures[taken : taken + count]))
                taken += count
                self._sequence += 1
        if not self._framed:
            self._idle = True
            if self._closing is not None:
                self._closing.set_result(None)
            return
        at = self._at
        if at.offset + len(self._framed[0][0]) > self._segments.size:
            self._segments.ended(at.segment, at.offset)
            at = Position(at.segment + 1, 0)
        self._job = self._next_job(at)
        self._at = self._job.end
        os.write(self._wake, b"\0")

    def _next_job(self, at: Position) -> _Job:
        octets: list[bytes] = []
        waiting: list[_Waiting] = []
        room = self._segments.size - at.offset
        while self._framed and len(self._framed[0][0]) <= room:
            framed, futures = self._framed.popleft()
            room -= len(framed)
            octets.append(framed)
            waiting += futures
        return _Job(b"".join(octets), at, waiting)

    def _written(self) -> None:
        """The thread is done: answer everyone who waited, then hand over what gathered."""
        os.read(self._told, 1)
        job = self._job
        assert job is not None
        if self._fault is not None:
            self._fail(job, self._fault)
            return
        self._durable = job.end
        for future in job.waiting:
            if future is not None and not future.done():
                future.set_result(None)
        # Not at once: whoever was just answered appends first, and shares the next sync.
        self._loop.call_soon(self._hand_over)

    def _fail(self, job: _Job, fault: OSError) -> None:
        """Refuse everything from now on.

        After a failed sync the page cache cannot be believed, so nothing is tried again; what the
        disk holds is found at the next start.
        """
        self._failed = True
        waiting = [*job.waiting, *(f for _, futures in self._framed for f in futures)]
        waiting += self._futures
        self._framed.clear()
        self._entries, self._futures = [], []
        self._idle = True
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(_down(fault))
        if self._closing is not None:
            self._closing.set_result(None)

    def _write_on(self) -> None:
        """The writer's thread: one write at a time until it is told to end, or fails."""
        held = _Held()
        while os.read(self._wake_end, 1) and (job := self._job) is not None:
            try:
                if self._fault is None:
                    held = self._write(job, held)
            except OSError as fault:
                self._fault = fault
            os.write(self._tell, b"\0")
        if held.fd >= 0:
            self._disk.close(held.fd)

    def _write(self, job: _Job, held: "_Held") -> "_Held":
        """Write durably; goes to the next segment when the job says so. Raises OSError."""
        if job.at.segment != held.segment:
            fd = self._segments.take(job.at.segment)
            if held.fd >= 0:
                self._disk.close(held.fd)
            held = _Held(job.at.segment, fd)
        self._disk.write(held.fd, job.octets, job.at.offset)
        return held

    async def _read(
        self, start: Position, durable: Position, limit: int
    ) -> tuple[list[Entry], Position]:
        at = start
        entries: list[Entry] = []
        while at.segment <= durable.segment and len(entries) < limit:
            last = at.segment == durable.segment
            stop = durable.offset if last else self._segments.end_of(at.segment) or 0
            while at.offset < stop:
                taken, offset = await self._read_frames(at, stop, limit - len(entries))
                entries += taken
                if offset == at.offset:
                    return entries, at
                at = Position(at.segment, offset)
            if last:
                break
            # The end of one segment and the start of the next are one place; it is called by the
            # first name until something was read behind it, so that `forget` keeps the segment.
            following = Position(at.segment + 1, 0)
            if not await self._holds(following, durable):
                break
            at = following
        return entries, at

    async def _holds(self, at: Position, durable: Position) -> bool:
        """True when something durable stands at or behind that segment."""
        segment = at.segment
        while segment < durable.segment:
            if self._segments.end_of(segment):
                return True
            segment += 1
        return segment == durable.segment and durable.offset > 0

    async def _read_frames(self, at: Position, stop: int, limit: int) -> tuple[list[Entry], int]:
        """Whole frames from a place on, at most `limit` entries; and the offset behind them.

        Only the reading is done on a thread: frames are taken apart here with a pause after each,
        as a thread that computes would take the interpreter from the calls beside it.
        """
        seen = min(stop, at.offset + _WINDOW)
        octets = await asyncio.to_thread(self._segments.read, at.segment, at.offset, seen)
        entries: list[Entry] = []
        done = 0
        while done < len(octets):
            found = frame_at(octets, done, self._key)
            if found is None:
                if done and seen < stop:
                    break  # the window ends inside a frame
                raise ValueError("a durable frame does not verify any more")
            taken = unpacked(found.payload)
            if len(entries) + len(taken) > limit:
                break
            entries += taken
            done = found.end
            await asyncio.sleep(0)
        return entries, at.offset + done


class _Held(Struct, frozen=True):
    """The segment that is open for writing."""

    segment: int = -1
    fd: int = -1


class _Begin(Struct, frozen=True):
    """Where a new process goes on."""

    segment: int
    sequence: int
    read_from: Position


def _down(fault: OSError) -> LedgerDown:
    return LedgerDown(f"the journal could not be written ({os.strerror(fault.errno or 0)})")
