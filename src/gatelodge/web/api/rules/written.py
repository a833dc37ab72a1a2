"""Large answers as JSON, written in parts: beside the loop, none of which it waits for long.

Written at once a million lines would hold the interpreter for seconds, in whatever thread.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

PART = 500
"""Lines that are written together: some milliseconds."""
_encoder = msgspec.json.Encoder()
_encode = _encoder.encode


def in_parts(whole: msgspec.Struct, name: str, lines: Iterable[Any]) -> bytes:
    """The JSON of `whole`, whose last member `name` is an empty list here, with these lines."""
    opening = _encode(whole)
    assert opening.endswith(b'"%b":[]}' % name.encode())
    # Whole before the first byte is sent: a line that cannot be written is an error and no half of
    # an answer.
    return b"".join((opening[:-2], b",".join(parts_in_json(lines)), b"]}"))


def parts_in_json(lines: Iterable[Any]) -> Iterator[bytes]:
    """The lines as the inside of a JSON list, so many at a time."""
    left = iter(lines)
    while part := list(islice(left, PART)):
        yield _encode(part)[1:-1]


def parts_as_lines(lines: Iterable[Any]) -> Iterator[bytes]:
    """The lines as JSON, each on a line of its own, so many at a time."""
    left = iter(lines)
    while part := list(islice(left, PART)):
        yield _encoder.encode_lines(part)
