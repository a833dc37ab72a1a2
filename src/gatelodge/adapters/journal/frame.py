"""Frames: how batches stand in a segment, and which bytes of one count after a crash.

    length u32 | sequence u64 | settled u64 | tag, 16 bytes | payload

Little-endian. The payload is the MessagePack array of the entries; the tag is keyed BLAKE2b-128
over sequence, settled and payload, the key one of the segment's own. Sequences rise by one from
frame to frame and from segment to segment. So a frame counts only if it was made for this segment
and is the next one: zeros, a torn write and what an earlier use left in the file do not. Every
frame below `settled` was on stable storage before this one was written, which tells a torn write
from a damaged file.

A segment begins with its label: a frame of sequence 0 that holds the segment's number and size, so
that an emptied, cut or exchanged file is none. Files of the first version have no label, and their
frames are tagged with the journal's key itself.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct, pack

import msgspec

from gatelodge.ports.journal import JournalEntry

HEAD = Struct("<IQQ16s")
MAX_ENTRIES = 256
"""Entries in one frame, so that a reader who asks for 256 always gets a whole one."""
MAX_PAYLOAD = 256 * 1024
"""Several entries are split above this; one entry alone always stays below it."""

_NUMBERS = Struct("<QQ")
_LABEL = Struct("<QQ")
LABEL_BYTES = HEAD.size + _LABEL.size
"""Where the first frame of a segment begins."""
_LENGTH_BYTES = 4
_NEAR_BITS = 24
"""No segment holds as many frames as these bits can count."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[JournalEntry, ...]).decode


class FoundFrame(msgspec.Struct, frozen=True):
    """A frame that verifies, and the offset behind it."""

    sequence: int
    settled: int
    payload: bytes
    end: int


def payloads(entries: Sequence[JournalEntry]) -> list[tuple[bytes, int]]:
    """The payloads that hold these entries, each with its number of entries."""
    if len(entries) <= MAX_ENTRIES:
        return _split_into_payloads(entries)
    return [
        each
        for first in range(0, len(entries), MAX_ENTRIES)
        for each in _split_into_payloads(entries[first : first + MAX_ENTRIES])
    ]


def framed(payload: bytes, sequence: int, settled: int, key: bytes) -> bytes:
    """The frame of a payload; every frame below `settled` is durable before it is written."""
    return (
        HEAD.pack(len(payload), sequence, settled, _tag_of_frame(sequence, settled, payload, key))
        + payload
    )


@lru_cache(maxsize=8)
def segment_key(number: int, key: bytes) -> bytes:
    """The key of one segment's tags: a frame of another segment does not verify in it."""
    return blake2b(pack("<Q", number), digest_size=32, key=key, person=b"segment").digest()


def label(number: int, size: int, key: bytes) -> bytes:
    """What a segment of this number and size begins with; `key` is the segment's own."""
    return framed(_LABEL.pack(number, size), 0, 0, key)


def labelled_size(octets: bytes, number: int, key: bytes) -> int | None:
    """The size that the label of this segment states; None when it does not bear its label."""
    found = frame_at(octets[:LABEL_BYTES], 0, key)
    if found is None or found.sequence or found.end != LABEL_BYTES:
        return None
    stated, size = _LABEL.unpack(found.payload)
    return int(size) if stated == number else None


def unpacked(payload: bytes) -> tuple[JournalEntry, ...]:
    """The entries of a frame's payload. Raises ValueError."""
    return _decode(payload)


def entries_in(frames: bytes) -> Iterator[JournalEntry]:
    """The entries of whole frames that were made here and are in memory still."""
    at = 0
    while at < len(frames):
        begin = at + HEAD.size
        at = begin + int(HEAD.unpack_from(frames, at)[0])
        yield from unpacked(frames[begin:at])


def frame_at(octets: bytes, at: int, key: bytes) -> FoundFrame | None:
    """The frame at this offset; None when none verifies there."""
    if at + HEAD.size > len(octets):
        return None
    length, sequence, settled, tag = HEAD.unpack_from(octets, at)
    end = at + HEAD.size + length
    payload = octets[at + HEAD.size : end]
    # Room that was never written is zeros, and reads as a length of zero.
    if (
        not length
        or len(payload) != length
        or tag != _tag_of_frame(sequence, settled, payload, key)
    ):
        return None
    return FoundFrame(sequence, settled, payload, end)


def ending_at(octets: bytes, end: int, sequence: int, key: bytes) -> bool:
    """True when the frame of this sequence verifies and ends there, wherever it begins."""
    wanted = pack("<Q", sequence)
    at = octets.find(wanted, 0, end)
    while at >= 0:
        found = frame_at(octets, at - _LENGTH_BYTES, key) if at >= _LENGTH_BYTES else None
        if found is not None and (found.sequence, found.end) == (sequence, end):
            return True
        at = octets.find(wanted, at + 1, end)
    return False


def later(octets: bytes, at: int, sequence: int, key: bytes) -> Iterator[FoundFrame]:
    """Every frame that verifies anywhere from `at` on, with a sequence near this one or above.

    The length of a damaged frame says nothing about where the next one begins, so each place is
    looked at whose bytes could be a head.
    """
    high = sequence >> _NEAR_BITS
    tops = b"|".join(re.escape(pack("<Q", (high + more) << _NEAR_BITS)[3:]) for more in (0, 1))
    head = re.compile(rb"(?s)(?=(?:[^\0]..|.[^\0].|..[^\0])\0...(?:" + tops + rb"))")
    # To hash at each place would take too long: only those are tried
    # where the bytes look like a length before a number near this one.
    for match in head.finditer(octets, at, len(octets.rstrip(b"\0"))):
        found = frame_at(octets, match.start(), key)
        if found is not None and found.sequence >= sequence:
            yield found


def _split_into_payloads(entries: Sequence[JournalEntry]) -> list[tuple[bytes, int]]:
    payload = _encode(entries)
    if len(payload) <= MAX_PAYLOAD or len(entries) == 1:
        return [(payload, len(entries))]
    middle = len(entries) // 2
    return _split_into_payloads(entries[:middle]) + _split_into_payloads(entries[middle:])


def _tag_of_frame(sequence: int, settled: int, payload: bytes, key: bytes) -> bytes:
    tag = blake2b(_NUMBERS.pack(sequence, settled), digest_size=16, key=key)
    tag.update(payload)
    return tag.digest()
