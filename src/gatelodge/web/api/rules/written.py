"""Large answers as JSON, written in parts: beside the loop, none of which it waits for long.

Written at once a million lines would hold the interpreter for seconds, in whatever thread.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

PART = 500
"""Lines that are written together: some milliseconds."""
_encode = msgspec.json.Encoder().encode


def in_parts(whole: msgspec.Struct, name: str, lines: Iterable[Any]) -> bytes:
    """The JSON of `whole`, whose last member `name` is an empty list here, with these lines."""
    opening = _encode(whole)
    assert opening.endswith(b'"%b":[]}' % name.encode())
    # Whole before the first byte is sent: a line that cannot be written is an error and no half of
    # an answer.
    return b"".join((opening[:-2], b",".join(_encoded_parts(iter(lines))), b"]}"))


def _encoded_parts(lines: Iterator[Any]) -> Iterator[bytes]:
    while part := list(islice(lines, PART)):
        yield _encode(part)[1:-1]
