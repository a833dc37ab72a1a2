"""What is wanted of JSON that somebody else wrote; of another shape, or broken, it is nothing."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

Shape = TypeVar("Shape")

_decoder: Callable[[Any], "msgspec.json.Decoder[Any]"] = cache(msgspec.json.Decoder)
"""The decoder of a shape; shapes are few, and stand in the code."""


def read_as(raw: bytes | Raw, shape: type[Shape]) -> Shape | None:
    """The value in this JSON if it has this shape, None for any other, and for what is no JSON."""
    try:
        found: Shape = _decoder(shape).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found
