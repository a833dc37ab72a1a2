"""How much work a JSON text is: how deep it nests and how many values it holds.

Whoever sends a message decides what it costs to read, on a loop that serves everybody. Bytes alone
say little: a megabyte of text is read in no time, a megabyte of empty arrays is half a million
objects. So a text is weighed before it is parsed, by a few passes that run at the speed of memory,
and what weighs too much is refused whole.
"""

from itertools import accumulate
from typing import Final

MOST_VALUES: Final = 150_000
"""The values of one message (each element, each member): read and passed on in some 40 ms."""
MOST_DEPTH: Final = 512
"""The depth of a message of an upstream."""
MOST_MEMBERS: Final = 1_000
"""The members of an object that the gate itself takes apart."""

_PART: Final = 1 << 20
"""Bytes of the beginning that is weighed first: what weighs too much tells it there already."""
_ALL_BUT_MARKS: Final = bytes(set(range(256)) - set(b'[]{},"'))
_STEPS: Final = bytes(1 if byte in b"[{" else 255 for byte in range(256))


def burden(text: bytes, depth: int, values: int = MOST_VALUES) -> str:
    """What is too much about this JSON, in words; empty when it may be parsed.

    Of what is no JSON anything may be said: its parser refuses it, in no more work than this
    allows.
    """
    if len(text) > 2 * _PART and (too_much := burden(text[:_PART], depth, values)):
        return too_much
    opened = text.count(b"[") + text.count(b"{")
    if opened <= depth and (len(text) <= values or opened + text.count(b",") < values):
        return ""  # marks inside strings were counted too: it is less than that
    marks = _marks_outside_strings(text, values)
    if marks is None:
        return f"the JSON holds more than {values} values"
    brackets = marks.translate(None, b",")
    if len(marks) - len(brackets) + len(brackets) // 2 >= values or len(brackets) > 2 * values:
        return f"the JSON holds more than {values} values"
    steps = memoryview(brackets.translate(_STEPS)).cast("b")
    if max(accumulate(steps), default=0) > depth:
        return f"the JSON nests deeper than {depth}"
    return ""


def _marks_outside_strings(text: bytes, values: int) -> bytes | None:
    """The brackets and commas outside strings; None when there are too many strings for that."""
    # A value has two quotes, and two more if it has a name; of those escaped none is missed here.
    most = 4 * values
    if (quotes := text.count(b'"')) > most and quotes - text.count(b'\\"') > most:
        return None
    # An escaped backslash or quote neither ends a string nor begins one.
    marks = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _ALL_BUT_MARKS)
    quotes = marks.count(b'"')
    if quotes > most:
        return None
    if quotes:
        # Two quotes in a row are a string without marks, or end one and begin the next: without
        # them each other mark is as far inside or outside of strings as it was.
        marks = marks.replace(b'""', b"")
        left = marks.count(b'"')
        if left > 2 * values:
            return None  # names that hold marks are rare; a value that is text has two quotes
        if left:
            marks = b"".join(marks.split(b'"')[::2])
    return marks
