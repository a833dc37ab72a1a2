"""The segment files of a journal: their names, what is whole in them, and their reuse.

Files are named by number, `00000001.seg` on. A segment whose frames are all sequenced is not
thrown away but renamed to a coming number: its old frames have passed sequences and no longer
count. Only the newest one is written to.
"""

from pathlib import Path
from threading import Lock, Thread

from gatelodge.adapters.journal.disk import Disk
from gatelodge.adapters.journal.frame import HEAD, MAX_PAYLOAD, damaged, frame_at, scan
from gatelodge.core.errors import LogForked
from gatelodge.ports.journal import Position

_SMALLEST = HEAD.size + MAX_PAYLOAD
_SPARES = 1


class Segments:
    """Every segment of one directory. Methods block; they run on threads, each one at a time.

    `ends` maps each segment before the present one to where its whole frames end; the lock guards
    it. Spares are added by `forget` and taken by the preparing thread, one end of the list each.
    """

    def __init__(self, disk: Disk, directory: Path, size: int) -> None:
        self._disk = disk
        self._directory = directory
        self.size = max(size, _SMALLEST)
        self.ends: dict[int, int] = {}
        self._spares: list[Path] = []
        self._lock = Lock()
        self._preparing: Thread | None = None
        self._fault: OSError | None = None

    def recover(self, start: Position | None, key: bytes) -> tuple[int, int]:
        """Find what is whole from `start` on; returns the next segment and the next sequence.

        What does not verify at the end was being written when the process died: nobody was told
        that it is durable, so it is dropped. Raises LogForked when something that was settled does
        not verify, for then a record that somebody relied on is gone.
        """
        sequence: int | None = None
        newest, tail = 0, b""
        for number in sorted(int(path.stem) for path in self._directory.glob("*.seg")):
            if start is not None and number < start.segment:
                self.ends[number] = 0  # sequenced; the next `forget` takes it
                continue
            path = self.path(number)
            octets = self._disk.read(path, 0, path.stat().st_size)  # it may be of another size
            first = frame_at(octets, 0, key)
            if sequence is not None and first is not None and first.settled > sequence:
                raise _damage(number)
            for found in scan(octets, sequence, key):
                newest, tail, sequence = number, octets, found.sequence + 1
                self.ends[number] = found.end
        if sequence is None:
            return (0 if start is None else start.segment) + 1, 1
        if damaged(tail, self.ends[newest], sequence, key):
            raise _damage(newest)
        # A new process begins a new segment; one that was prepared and never used is taken as is.
        return newest + 1, sequence

    def path(self, number: int) -> Path:
        """Where that segment stands."""
        return self._directory / f"{number:08d}.seg"

    def prepare(self, number: int) -> None:
        """Begin to make the segment ready on a thread of its own; `take` waits for it."""
        self._fault = None
        self._preparing = Thread(target=self._make, args=(number,), name="journal-segment")
        self._preparing.start()

    def take(self, number: int) -> int:
        """Open the prepared segment for writing and prepare the one behind it. Raises OSError."""
        self.settle()
        if self._fault is not None:
            raise self._fault
        fd = self._disk.open(self.path(number))
        self.prepare(number + 1)
        return fd

    def settle(self) -> None:
        """Wait until nothing is being prepared."""
        if self._preparing is not None:
            self._preparing.join()

    def ended(self, number: int, end: int) -> None:
        """Nothing more will be written to that segment."""
        with self._lock:
            self.ends[number] = end

    def end_of(self, number: int) -> int | None:
        """Where the frames of a finished segment end; None when it is not finished."""
        with self._lock:
            return self.ends.get(number)

    def read(self, number: int, start: int, stop: int) -> bytes:
        """Bytes of a segment. Raises OSError."""
        return self._disk.read(self.path(number), start, stop)

    def forget(self, below: int) -> None:
        """Segments below that number are sequenced: keep one for reuse, remove the others.

        A crash here leaves a file that the ledger's mark has passed; the next `forget` takes it.
        """
        with self._lock:
            gone = [number for number in self.ends if number < below]
            for number in gone:
                del self.ends[number]
        for path in map(self.path, gone):
            if len(self._spares) < _SPARES and path.stat().st_size == self.size:
                self._spares.append(path)
            else:
                path.unlink(missing_ok=True)

    def _make(self, number: int) -> None:
        path = self.path(number)
        try:
            if path.exists() and path.stat().st_size == self.size:
                return
            if not self._spares:
                self._disk.make(path, self.size)
            else:
                self._disk.rename(self._spares.pop(), path)
        except OSError as fault:
            self._fault = fault


def _damage(number: int) -> LogForked:
    return LogForked(
        f"journal segment {number} lost a record that had been written durably",
        remedy="Keep the journal directory for inspection, read docs/operations.md.",
    )
