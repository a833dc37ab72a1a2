"""A journal's directory, read and ready to be written on: all of it is open, or nothing."""

from contextlib import ExitStack, closing
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.journal.durable import DurableMark
from gatelodge.adapters.journal.pipes import WriterPipes
from gatelodge.adapters.journal.recovery import RecoveredJournal
from gatelodge.adapters.journal.segments import SegmentDirectory
from gatelodge.ports.journal import JournalPosition


class BegunJournal(Struct, frozen=True):
    """What the writer of a file journal stands on; `found` is where it goes on."""

    segments: SegmentDirectory
    durable: DurableMark
    pipes: WriterPipes
    found: RecoveredJournal

    def close(self) -> None:
        """Release all of it, once the writer has ended. Blocks."""
        with closing(self.durable), closing(self.pipes):
            self.segments.settle()


def begin_journal(
    directory: Path, key: bytes, start: JournalPosition | None, segments: SegmentDirectory
) -> BegunJournal:
    """Read what a dead process left, and begin a segment behind it. Blocks.

    Nothing stays open when it raises: OSError (the disk refuses), LogForked (records are gone).
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as opened:
        durable = opened.enter_context(closing(DurableMark(directory / "durable", key)))
        found = segments.recover(start, durable.next_frame())
        pipes = opened.enter_context(closing(WriterPipes()))
        # Behind the last good frame of the old segment may stand half of another.
        segments.prepare(found.segment)
        opened.pop_all()
    return BegunJournal(segments, durable, pipes, found)
