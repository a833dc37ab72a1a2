"""The segment files of a journal: how one is made ready ahead of its use, and its reuse.

Files are named by number, `00000001.seg` on, and begin with their label (`frame`). A segment whose
frames are all sequenced is not thrown away but renamed to a coming number: its old frames were made
for another segment and no longer count. Only the newest one is written to.
"""

import contextlib
import logging
from pathlib import Path
from threading import Lock, Thread

from msgspec import Struct

from gatelodge.adapters.journal.disk import JournalDisk
from gatelodge.adapters.journal.frame import HEAD, LABEL_BYTES, MAX_PAYLOAD, label, segment_key
from gatelodge.adapters.journal.recovery import JournalRecovery, JournalStatement, RecoveredJournal
from gatelodge.core.errors import StoreDown
from gatelodge.ports.journal import JournalPosition, SegmentInventory, SegmentRange

log = logging.getLogger(__name__)

_SMALLEST = LABEL_BYTES + HEAD.size + MAX_PAYLOAD
_SPARES = 1


class _PreparedSegment(Struct, frozen=True):
    """A segment that is open and was written to once, so that it can be written to."""

    number: int
    fd: int


class SegmentDirectory:
    """Every segment of one directory. Methods block; they run on threads, each one at a time.

    `_ends` maps each segment before the present one to where its whole frames end; the lock guards
    it. Spares are added by `forget` and taken by the preparing thread, one end of the list each.
    `_ready` and `_suspect` belong to whoever prepares: the preparing thread, or whoever waited for
    its end.
    """

    def __init__(
        self,
        disk: JournalDisk,
        directory: Path,
        size: int,
        key: bytes,
        inventory: SegmentInventory | None,
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._key = key
        self._inventory = inventory
        self.size = max(size, _SMALLEST)
        self._ends: dict[int, int] = {}
        self._begins: dict[int, int] = {}
        self._spares: list[Path] = []
        self._lock = Lock()
        self._preparing: Thread | None = None
        self._ready: _PreparedSegment | None = None
        self._suspect = 0

    def recover(self, mark: JournalPosition | None, next_frame: int) -> RecoveredJournal:
        """Find what counts from the mark on; see `JournalRecovery`. Raises OSError, LogForked."""
        found = self._looked_through(JournalStatement(mark, self._made_segments(), next_frame))
        self._ends, self._begins = found.ends, found.begins
        return found

    def examine(self, mark: JournalPosition, until: JournalPosition) -> None:
        """Look again at what is durable. Raises OSError, LogForked, StoreDown."""
        self._looked_through(JournalStatement(mark, self._made_segments(), until.frame, until))

    def _made_segments(self) -> SegmentRange | None:
        return None if self._inventory is None else self._inventory.made()

    def _looked_through(self, stated: JournalStatement) -> RecoveredJournal:
        return JournalRecovery(self._directory, self._read_whole_file, self._key, stated).run()

    def _read_whole_file(self, path: Path) -> bytes:
        return self._disk.read(path, 0, path.stat().st_size)  # it may be of another size than ours

    def path(self, number: int) -> Path:
        """Where that segment stands."""
        return self._directory / f"{number:08d}.seg"

    def key_of(self, number: int) -> bytes:
        """The key of the frames in that segment."""
        return segment_key(number, self._key) if self.begin_of(number) else self._key

    def begin_of(self, number: int) -> int:
        """Where its first frame stands."""
        return self._begins.get(number, LABEL_BYTES)

    def prepare(self, number: int) -> None:
        """Begin to make the segment ready on a thread of its own; `take` waits for it."""
        self._preparing = Thread(
            target=self._prepare_in_background, args=(number,), name="journal-segment"
        )
        self._preparing.start()

    def take(self, number: int) -> int:
        """A descriptor of the segment, open for writing; the one behind it is prepared then.

        What could not be made ready ahead is tried again now. Raises OSError: nothing was written.
        """
        self._wait_until_prepared()
        if self._ready is None or self._ready.number != number:
            self._close_ready_segment()
            self._make_segment_ready(number)
        assert self._ready is not None
        fd, self._ready = self._ready.fd, None
        # Now, while this one fills: nobody who waits for a write shall wait for a file of zeros.
        self.prepare(number + 1)
        return fd

    def rest(self, number: int) -> None:
        """Nothing is left, up to the end of that segment. Raises StoreDown."""
        if self._inventory is not None:
            self._inventory.rest(number)

    def settle(self) -> None:
        """Wait until nothing is being prepared, and let go of what was."""
        self._wait_until_prepared()
        self._close_ready_segment()

    def ended(self, number: int, end: int) -> None:
        """Nothing more will be written to that segment."""
        with self._lock:
            self._ends[number] = end

    def end_of(self, number: int) -> int:
        """Where the frames of a finished segment end; 0 when it has none or is not finished."""
        with self._lock:
            return self._ends.get(number, 0)

    def read(self, number: int, start: int, stop: int) -> bytes:
        """Bytes of a segment. Raises OSError."""
        return self._disk.read(self.path(number), start, stop)

    def forget(self, below: int) -> None:
        """Segments below that number are sequenced: keep one for reuse, remove the others.

        A crash here leaves a file that the ledger's mark has passed; the next `forget` takes it.
        """
        with self._lock:
            gone = [number for number in self._ends if number < below]
            for number in gone:
                del self._ends[number]
        for path in map(self.path, gone):
            with contextlib.suppress(FileNotFoundError):  # it was sequenced: nobody misses it
                # A file of another size, left from another setting, would belie its label.
                if len(self._spares) < _SPARES and path.stat().st_size == self.size:
                    self._spares.append(path)
                else:
                    path.unlink()

    def _wait_until_prepared(self) -> None:
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None

    def _close_ready_segment(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            self._disk.close(ready.fd)

    def _prepare_in_background(self, number: int) -> None:
        """Prepare; a fault is no fault yet, since `take` tries again."""
        try:
            self._make_segment_ready(number)
        except OSError as fault:
            log.warning("journal segment %d is not ready yet (%s)", number, fault.strerror)

    def _make_segment_ready(self, number: int) -> None:
        """Make, label, state, open: in this order, so that what is stated is there.

        A crash leaves a file that nothing was written to. The label is written through the
        descriptor that the frames will be written through: a disk that fails is met here. A file
        whose label could not be written is made anew next time, and not believed.
        """
        path, key = self.path(number), segment_key(number, self._key)
        if number == self._suspect or not (path.exists() and path.stat().st_size == self.size):
            spare = self._spares.pop() if self._spares and number != self._suspect else None
            if spare is not None and spare.exists():
                self._disk.rename(spare, path)
            else:
                self._disk.make(path, self.size)
        fd = self._disk.open(path)
        try:
            self._suspect = number
            self._disk.write(fd, label(number, self.size, key), 0)
            self._suspect = 0
            if self._inventory is not None:
                self._inventory.state(number)
        except StoreDown as fault:
            self._disk.close(fd)
            # The writer's thread knows OSError alone: any other error would end it.
            raise OSError(0, fault.detail) from fault
        except OSError:
            self._disk.close(fd)
            raise
        self._ready = _PreparedSegment(number, fd)
