"""What every leaf type of a `calls` log is made of."""

from itertools import repeat
from typing import Annotated, ClassVar, TypeVar

import msgspec
from msgspec import Meta, Struct

Value = TypeVar("Value", str, int)

Later = Annotated[str, Meta(extra={"always": True})]
"""A text that the recorder fills in, whoever makes the leaf."""


def always(value: Value) -> Value:
    """What each leaf of a type says; a plain default would not be written."""
    # Not a lambda: this runs for each record of a call, and here no Python code does.
    made: Value = msgspec.field(default_factory=repeat(value).__next__)
    return made


class LogLeaf(Struct, omit_defaults=True, gc=False):
    """What a leaf type is to others: the field that names the pair which it opens or closes.

    `late` is what a closer is called when its pair was closed before.
    """

    opens: ClassVar[str] = ""
    closes: ClassVar[str] = ""
    late: ClassVar[str] = ""
