"""Reads back what is durable in the segments: entries for the logs, in the order of the frames."""

import asyncio

from gatelodge.adapters.journal.frame import MAX_ENTRIES, frame_at, unpacked
from gatelodge.adapters.journal.segments import SegmentDirectory
from gatelodge.ports.journal import JournalEntry, JournalPosition

_AT_ONCE = 16 * 1024
"""Bytes of frames that are taken apart between two pauses, if they are several: some 0.1 ms."""
_WINDOW = 1024 * 1024
"""How much of a segment one read takes; several times the largest frame."""


class JournalReader:
    """Reads segments while the writer goes on behind; keeps nothing."""

    def __init__(self, segments: SegmentDirectory) -> None:
        self._segments = segments

    async def read(
        self, start: JournalPosition, durable: JournalPosition, limit: int
    ) -> tuple[list[JournalEntry], JournalPosition]:
        """Whole frames between two places, at most `limit` entries, and the place behind them.

        Raises OSError, and ValueError when what was durable does not verify any more.
        """
        at = start
        entries: list[JournalEntry] = []
        while at.segment <= durable.segment and len(entries) < limit:
            last = at.segment == durable.segment
            stop = durable.offset if last else self._segments.end_of(at.segment)
            while at.offset < stop:
                taken, end = await self._read_frames(at, stop, limit - len(entries))
                entries += taken
                if end == at:
                    return entries, at
                at = end
            if last:
                break
            # The end of one segment and the start of the next are one place; it is called by the
            # first name until something was read behind it, so that `forget` keeps the segment.
            following = at.segment + 1
            if not await self._holds_from(following, durable):
                break
            at = JournalPosition(following, self._segments.begin_of(following), at.frame)
        return entries, at

    async def _holds_from(self, segment: int, durable: JournalPosition) -> bool:
        """True when something durable stands in that segment or behind it."""
        begins = self._segments.begin_of
        while segment < durable.segment:
            if self._segments.end_of(segment) > begins(segment):
                return True
            segment += 1
        return segment == durable.segment and durable.offset > begins(segment)

    async def _read_frames(
        self, at: JournalPosition, stop: int, limit: int
    ) -> tuple[list[JournalEntry], JournalPosition]:
        """Whole frames from a place on, at most `limit` entries; and the place behind them.

        Only the reading is done on a thread: frames are taken apart here with a pause now and then,
        as a thread that computes would take the interpreter from the calls beside it.
        """
        seen = min(stop, at.offset + _WINDOW)
        octets = await asyncio.to_thread(self._segments.read, at.segment, at.offset, seen)
        key, frame = self._segments.key_of(at.segment), at.frame
        entries: list[JournalEntry] = []
        done = 0
        # Nothing at all is no end either: these bytes were durable once, so that is told as damage.
        while done < len(octets) or not octets:
            found = frame_at(octets, done, key)
            # A place that the first version marked has frame 0: there any number may come next.
            if found is None or found.sequence != (frame or found.sequence):
                if done and seen < stop:
                    break  # the window ends inside a frame
                path = self._segments.path(at.segment)
                raise ValueError(f"a durable frame of {path} does not verify any more")
            taken = unpacked(found.payload)
            if len(entries) + len(taken) > limit:
                break
            entries += taken
            if found.end // _AT_ONCE != done // _AT_ONCE:
                await asyncio.sleep(0)
            done, frame = found.end, found.sequence + 1
        return entries, JournalPosition(at.segment, at.offset + done, frame)

    async def holds(self, start: JournalPosition, durable: JournalPosition) -> bool:
        """True when there is an entry between these places."""
        entries, _ = await self.read(start, durable, MAX_ENTRIES)
        return bool(entries)
