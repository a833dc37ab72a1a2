"""Frames: how batches stand in a segment, and which bytes of one count after a crash.

    length u32 | sequence u64 | settled u64 | tag, 16 bytes | payload

Little-endian. The payload is the MessagePack array of the entries; the tag is keyed BLAKE2b-128
over sequence, settled and payload. Sequences rise by one from frame to frame and from segment to
segment. So a frame counts only if it was made with this key and is the next one: zeros, a torn
write and what an earlier use left in the file all read as the end. Every frame below `settled` was
on stable storage before this one was written, which tells a torn write from a damaged file.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from struct import Struct

import msgspec

from gatelodge.ports.journal import Entry

HEAD = Struct("<IQQ16s")
MAX_ENTRIES = 256
"""Entries in one frame, so that a reader who asks for 256 always gets a whole one."""
MAX_PAYLOAD = 256 * 1024
"""Several entries are split above this; one entry alone always stays below it."""

_NUMBERS = Struct("<QQ")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Entry, ...]).decode


class Found(msgspec.Struct, frozen=True):
    """A frame that verifies, and the offset behind it."""

    sequence: int
    settled: int
    payload: bytes
    end: int


def frames(entries: Sequence[Entry], sequence: int, key: bytes) -> list[tuple[bytes, int]]:
    """The frames that hold these entries, each with its number of entries.

    The first has this sequence, and everything before it is settled.
    """
    framed: list[tuple[bytes, int]] = []
    for first in range(0, len(entries), MAX_ENTRIES):
        for payload, count in _payloads(entries[first : first + MAX_ENTRIES]):
            numbers = (sequence + len(framed), sequence)
            head = HEAD.pack(len(payload), *numbers, _tag(*numbers, payload, key))
            framed.append((head + payload, count))
    return framed


def unpacked(payload: bytes) -> tuple[Entry, ...]:
    """The entries of a frame's payload. Raises ValueError."""
    return _decode(payload)


def scan(octets: bytes, sequence: int | None, key: bytes) -> Iterator[Found]:
    """Yield each frame that counts, until one does not.

    `sequence` is what the first one must have; None takes any.
    """
    at = 0
    while (found := frame_at(octets, at, key)) is not None:
        if sequence is not None and found.sequence != sequence:
            return
        yield found
        at, sequence = found.end, found.sequence + 1


def frame_at(octets: bytes, at: int, key: bytes) -> Found | None:
    """The frame at this offset; None when none verifies there."""
    if at + HEAD.size > len(octets):
        return None
    length, sequence, settled, tag = HEAD.unpack_from(octets, at)
    end = at + HEAD.size + length
    payload = octets[at + HEAD.size : end]
    if not length or len(payload) != length or tag != _tag(sequence, settled, payload, key):
        return None
    return Found(sequence, settled, payload, end)


def damaged(octets: bytes, at: int, sequence: int, key: bytes) -> bool:
    """True when the frame of this sequence at `at` was settled, yet does not verify any more.

    The frame behind it says so. Such a frame may have been acknowledged; a torn one never was.
    """
    if at + HEAD.size > len(octets):
        return False
    behind = frame_at(octets, at + HEAD.size + HEAD.unpack_from(octets, at)[0], key)
    return behind is not None and behind.settled > sequence


def _payloads(entries: Sequence[Entry]) -> list[tuple[bytes, int]]:
    payload = _encode(entries)
    if len(payload) <= MAX_PAYLOAD or len(entries) == 1:
        return [(payload, len(entries))]
    middle = len(entries) // 2
    return _payloads(entries[:middle]) + _payloads(entries[middle:])


def _tag(sequence: int, settled: int, payload: bytes, key: bytes) -> bytes:
    tag = blake2b(_NUMBERS.pack(sequence, settled), digest_size=16, key=key)
    tag.update(payload)
    return tag.digest()
