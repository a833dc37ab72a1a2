"""Recovery: which frames of a dead process count, and whether any that was durable is missing.

It begins at the mark, up to which the log has the records, and takes frames in the order of their
numbers. Where the next number does not verify there are two readings. Either it was being written
when the process died: nobody was told that it is durable, so it is dropped. Or it was durable once,
which is seen by a later frame that was written after it, by the statement beside the journal, or by
a segment that was made and is gone: then a record that somebody relied on is lost, and nothing is
continued. What is there is never taken for what is missing, nor absence for emptiness.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.journal.frame import (
    LABEL_BYTES,
    ending_at,
    frame_at,
    labelled_size,
    later,
    segment_key,
)
from gatelodge.core.errors import LogForked
from gatelodge.ports.journal import JournalPosition, SegmentRange

Read = Callable[[Path], bytes]
"""The whole of a file; raises OSError."""


class JournalStatement(Struct, frozen=True):
    """What is said of the journal elsewhere.

    Where the log stands, which segments were made, and which frame would have been written next.
    `until` is where to end while somebody writes.
    """

    mark: JournalPosition | None = None
    made: SegmentRange | None = None
    next_frame: int = 0
    until: JournalPosition | None = None


class RecoveredJournal(Struct, frozen=True):
    """What counts: where to begin to read, and the next segment and frame to write.

    `ends` maps each segment to where its frames end, 0 when it has none; `begins` to where its
    first frame stands.
    """

    read_from: JournalPosition
    segment: int
    frame: int
    ends: dict[int, int]
    begins: dict[int, int]


class _Segment(Struct, frozen=True):
    number: int
    path: Path
    octets: bytes
    key: bytes
    starts: int


class _FrameSpan(Struct, frozen=True):
    """Where a frame that counts begins and ends."""

    segment: int
    sequence: int
    start: int
    end: int


class JournalRecovery:
    """One look through the segments of a directory; changes nothing."""

    def __init__(self, directory: Path, read: Read, key: bytes, stated: JournalStatement) -> None:
        self._directory, self._read, self._key = directory, read, key
        self._mark, self._made = stated.mark, stated.made
        self._next_frame, self._until = stated.next_frame, stated.until
        self._sequence: int | None = None
        self._places: list[_FrameSpan] = []
        self._begins: dict[int, int] = {}
        self._used = 0

    def run(self) -> RecoveredJournal:
        """Look at everything from the mark on. Raises OSError, and LogForked for what is lost."""
        numbers = self._checked_segment_numbers()
        mark, made = self._mark, self._made
        lowest = 0 if mark is None else mark.segment
        self._used = lowest
        if mark is not None:
            self._sequence = mark.frame or None
        elif made is not None and min(numbers, default=made.first) >= made.first:
            self._sequence = 1  # the very first segment, and nothing of it is in the log yet
        read_from = mark
        for number in numbers:
            if number < lowest or (self._until is not None and number > self._until.segment):
                continue
            segment = self._load_segment(number)
            at = segment.starts
            if mark is not None and number == mark.segment:
                at = self._at_mark(segment, mark)
                read_from = JournalPosition(number, at, self._sequence or 0)
            self._collect_segment_frames(segment, at)
        frame = self._sequence or 1
        # The statement is made behind a durable write, so every frame below it must be here.
        if self._next_frame > frame:
            raise _lost_records_error(
                self._path_of_segment(self._last_used_segment(lowest)),
                f"ends before frame {self._next_frame}",
            )
        ends = dict.fromkeys(numbers, 0)
        ends.update({place.segment: place.end for place in self._places})
        return RecoveredJournal(
            read_from=read_from or self._position_of_oldest_frame(frame),
            segment=max(self._used, max((p.segment for p in self._places), default=0)) + 1,
            frame=frame,
            ends={
                number: end
                for number, end in ends.items()
                if number <= self._last_used_segment(lowest)
            },
            begins=self._begins,
        )

    def _checked_segment_numbers(self) -> list[int]:
        """The segments that are there. Raises LogForked when one that must be is not."""
        there = {int(path.stem) for path in self._directory.glob("*.seg") if path.stem.isdigit()}
        mark, made = self._mark, self._made
        wanted: set[int] = set() if mark is None else {mark.segment}
        if made is not None:
            # Segments below the mark are in the log, and may have been reused or removed.
            first = max(made.first, min(wanted, default=0))
            if mark is not None and mark.frame and mark.segment < made.first:
                wanted = set()  # it came to rest there
            wanted |= set(range(first, made.newest + 1))
        if wanted - there:
            raise _lost_records_error(self._path_of_segment(min(wanted - there)), "is missing")
        return sorted(there)

    def _path_of_segment(self, number: int) -> Path:
        return self._directory / f"{number:08d}.seg"

    def _load_segment(self, number: int) -> _Segment:
        path = self._path_of_segment(number)
        octets = self._read(path)
        if self._until is not None and number == self._until.segment:
            # The writer goes on behind that place, and may be in the middle of a frame.
            octets = octets[: self._until.offset].ljust(len(octets), b"\0")
        key = segment_key(number, self._key)
        size = labelled_size(octets, number, key)
        made = self._made
        if size is None and (made is None or number < made.first):
            self._begins[number] = 0
            self._used = max(self._used, number)  # made by the first version: not written to again
            return _Segment(number, path, octets, self._key, 0)
        if size is None:
            if made is not None and number > made.newest:
                size = len(octets)  # the process died while it made this one: it was not used
            else:
                raise _lost_records_error(path, "does not begin as it was made")
        if len(octets) < size:
            raise _lost_records_error(path, "is shorter than it was made")
        self._begins[number] = LABEL_BYTES
        return _Segment(number, path, octets, key, LABEL_BYTES)

    def _at_mark(self, segment: _Segment, mark: JournalPosition) -> int:
        """Where to go on in the segment of the mark. Raises LogForked when it ends before that."""
        octets, key = segment.octets, segment.key
        if mark.offset <= segment.starts:
            return segment.starts
        self._used = segment.number
        if mark.frame:
            # Only a frame at either side proves the place: a wrong place would skip records.
            next_one = frame_at(octets, mark.offset, key)
            if next_one is not None and next_one.sequence == mark.frame:
                return mark.offset
            if ending_at(octets, mark.offset, mark.frame - 1, key):
                return mark.offset
        else:
            # A mark of the first version names no frame, so the place is found from the beginning.
            at = segment.starts
            while at < mark.offset and (found := frame_at(octets, at, key)) is not None:
                at, self._sequence = found.end, found.sequence + 1
            if at == mark.offset:
                return at
        raise _lost_records_error(segment.path, "does not reach as far as the log has read it")

    def _collect_segment_frames(self, segment: _Segment, at: int) -> None:
        """Take the frames that come next, then look for any that should not stand behind them."""
        found = frame_at(segment.octets, at, segment.key)
        if found is not None and self._sequence is None:
            self._sequence = found.sequence
        elif found is not None and at == segment.starts:
            self._drop_superseded_frames(found.sequence)
        while found is not None and found.sequence == self._sequence:
            self._places.append(_FrameSpan(segment.number, found.sequence, at, found.end))
            at, self._sequence = found.end, found.sequence + 1
            found = frame_at(segment.octets, at, segment.key)
        if self._sequence is None and not segment.starts:
            return  # of a file without a label that holds nothing in order nothing is known
        expected = self._sequence or 1
        for other in later(segment.octets, at, expected, segment.key):
            if other.settled > expected:
                raise _lost_records_error(segment.path, f"has a damaged frame {expected}")
            self._used = max(self._used, segment.number)  # torn: written to, but not to the end

    def _drop_superseded_frames(self, sequence: int) -> None:
        """A segment begins with a number that was there already: a write that failed was repeated.

        Those who waited for the first one were refused, so only the second counts.
        """
        while self._places and self._places[-1].sequence >= sequence:
            self._sequence = self._places.pop().sequence

    def _position_of_oldest_frame(self, frame: int) -> JournalPosition:
        if self._places:
            first = self._places[0]
            return JournalPosition(first.segment, first.start, first.sequence)
        number = min(self._begins, default=self._used + 1)
        return JournalPosition(number, self._begins.get(number, LABEL_BYTES), frame)

    def _last_used_segment(self, lowest: int) -> int:
        return max(lowest, self._used, *(place.segment for place in self._places), 0)


def _lost_records_error(path: Path, what: str) -> LogForked:
    return LogForked(
        f"the journal file {path} {what}: records that were durable would be lost",
        remedy="Put the journal files back as they were at the last stop, from wherever they went."
        " Read 'Damaged journal' in docs/operations.md.",
    )
