"""How far the journal was durable, stated beside it: what a killed process had acknowledged."""

import os
from hashlib import blake2b
from pathlib import Path
from struct import Struct

_SLOT = Struct("<Q16s")
_SLOTS = 2


class DurableMark:
    """A small file with the number of the frame that is written next; two places, by turns.

    It is not synced. After the death of the process it is exact: nobody heard of more than it
    states; after a loss of power it is older, and says less. It is never ahead of what was
    durable, so a journal that ends before it has lost something. A crash in the middle of a write
    spoils one place, and the other one counts; a place that does not verify says nothing.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._key = key
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def next_frame(self) -> int:
        """The number that was stated; 0 when none was. Raises OSError."""
        octets = os.pread(self._fd, _SLOT.size * _SLOTS, 0)
        stated = 0
        for start in range(0, len(octets) - _SLOT.size + 1, _SLOT.size):
            number, tag = _SLOT.unpack_from(octets, start)
            if tag == self._tag_of_frame_number(number):
                stated = max(stated, number)
        return stated

    def statement(self, number: int) -> bytes:
        """What `state` writes once everything below this frame is durable."""
        return _SLOT.pack(number, self._tag_of_frame_number(number))

    def state(self, statement: bytes, number: int) -> None:
        """Everything below this frame is durable. Where it cannot be written, less is known."""
        at = number % _SLOTS * _SLOT.size
        try:  # noqa: SIM105 - for each write; a context manager costs more than the write does
            os.pwrite(self._fd, statement, at)
        except OSError:
            pass

    def close(self) -> None:
        """Release the file."""
        os.close(self._fd)

    def _tag_of_frame_number(self, number: int) -> bytes:
        octets = number.to_bytes(8, "little")
        return blake2b(octets, digest_size=16, key=self._key, person=b"durable").digest()
