"""Places within a chunk of a log, as bits in memory and as few bytes at rest.

A chunk is 4,096 leaves. Few places are two bytes each, many are a bitmap; which of the two it is
follows from the length. The ends of openers are records of six bytes, in the order of the openers.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

CHUNK: Final = 4_096
"""Leaves that the index takes up together."""
_BITMAP: Final = CHUNK // 8
_FEW: Final = _BITMAP // 2
_END: Final = struct.Struct("<HI")
_FARTHEST: Final = (1 << 32) - 1


def packed_places(places: Sequence[int]) -> bytes:
    """Offsets within a chunk, in rising order, as bytes."""
    if len(places) < _FEW:
        return struct.pack(f"<{len(places)}H", *places)
    bits = bytearray(_BITMAP)
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


def packed_bits(bits: int) -> bytes:
    """The same of a bitmap."""
    return packed_places([*falling_places(bits)][::-1])


def bits_of(kept: bytes) -> int:
    """The bitmap in these bytes; what is no such form has no place that is out of the chunk."""
    if len(kept) >= _BITMAP:
        return int.from_bytes(kept[:_BITMAP], "little")
    bits = 0
    for (place,) in struct.iter_unpack("<H", kept[: len(kept) & ~1]):
        bits |= 1 << (place % CHUNK)
    return bits


def falling_places(bits: int) -> Iterator[int]:
    """Each place of a bitmap, the largest first."""
    while bits:
        place = bits.bit_length() - 1
        yield place
        bits ^= 1 << place


def packed_ends(ends: Iterable[tuple[int, int]]) -> bytes:
    """Where what was opened at each offset ended: so many leaves behind it, 0 = not yet."""
    # What ended further away than can be told is looked for when it is asked for.
    return b"".join(_END.pack(place, min(behind, _FARTHEST)) for place, behind in ends)


def end_behind(kept: bytes, place: int) -> int | None:
    """How many leaves behind the opener at this offset its end stands, 0 = none; None = unknown."""
    at = _place_of_end(kept, place)
    if at is None:
        return None
    behind: int = _END.unpack_from(kept, at)[1]
    return None if behind == _FARTHEST else behind


def with_end(kept: bytes, place: int, behind: int) -> bytes:
    """The same ends with that one known."""
    at = _place_of_end(kept, place)
    if at is None:
        return kept
    return kept[:at] + packed_ends([(place, behind)]) + kept[at + _END.size :]


def _place_of_end(kept: bytes, place: int) -> int | None:
    low, high = 0, len(kept) // _END.size
    while low < high:
        middle = (low + high) // 2
        found = _END.unpack_from(kept, middle * _END.size)[0]
        if found == place:
            return middle * _END.size
        low, high = (middle + 1, high) if found < place else (low, middle)
    return None
