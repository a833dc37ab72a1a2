"""Checkpoints: what a log commits to at one size.

    origin
    size, decimal
    root, base64
    (extension lines, read and never written)

This is the text alone; the note around it carries the signatures. Source: C2SP tlog-checkpoint.
"""

from dataclasses import dataclass

from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.strict import (
    checked_hash,
    checked_text,
    format_base64,
    format_decimal,
    parse_decimal,
    parse_hash,
)

_FIXED_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's name, the number of its leaves and the 32-byte root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def parse(text: str) -> Checkpoint:
    """Return the checkpoint in a note's text; extension lines are kept as they stand.

    Raises Malformed for an empty or missing line, a size with a sign or leading zeros, a root that
    is not canonical base64 of 32 bytes, and control characters.
    """
    if not checked_text(text).endswith("\n"):
        raise MalformedValue("a checkpoint lacks its final newline")
    # Not `splitlines`: an origin may hold characters at which that splits as well.
    lines = text[:-1].split("\n")
    if len(lines) < _FIXED_LINES or not all(lines):
        raise MalformedValue("a checkpoint has at least three lines and none is empty")
    origin, size, root, *extensions = lines
    return Checkpoint(origin, parse_decimal(size), parse_hash(root), tuple(extensions))


def format(checkpoint: Checkpoint) -> str:  # noqa: A001 - read with its module: checkpoint.format
    """Return the three lines of a checkpoint that `parse` gives back.

    Raises Malformed for values without a spelling, and for extensions: monitors cannot audit them,
    so this log writes none, and leaving them out in silence would change what was signed.
    """
    if checkpoint.extensions:
        raise MalformedValue("extension lines are not written")
    origin = checked_text(checkpoint.origin)
    # An origin of two lines would push size and root to where a reader sees extensions.
    if not origin or "\n" in origin:
        raise MalformedValue("an origin is one line and not empty")
    root = format_base64(checked_hash(checkpoint.root))
    return f"{origin}\n{format_decimal(checkpoint.size)}\n{root}\n"
