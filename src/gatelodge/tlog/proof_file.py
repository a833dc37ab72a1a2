"""Proof files: all that shows one leaf in a signed tree, in one text that needs no network.

    c2sp.org/tlog-proof@v1
    extra base64            (may be absent)
    index decimal
    base64 of a hash        (one line each, the leaf's sibling first)
    (an empty line)
    the signed checkpoint, verbatim

Reading one proves nothing yet: check the note's signatures, then the inclusion of the leaf. The
extra bytes are covered by neither. Source: C2SP tlog-proof.
"""

from dataclasses import dataclass

from gatelodge.tlog import checkpoint, note
from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.strict import (
    checked_hash,
    format_base64,
    format_decimal,
    parse_base64,
    parse_decimal,
    parse_hash,
)

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63
"""The longest path in a tree of fewer than 2^63 leaves."""
MAX_EXTRA_BYTES = 1024 * 1024
MAX_FILE_BYTES = 2 * 1024 * 1024

_EXTRA = "extra "
_INDEX = "index "


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A leaf's index, its inclusion proof, the signed checkpoint as bytes, and opaque extra bytes.

    `extra` is None when there are none; it is not authenticated.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint_note: bytes
    extra: bytes | None = None


def parse(raw: bytes) -> ProofFile:
    """Return the proof file in these bytes; nothing of it is verified.

    Raises Malformed unless every line has its one spelling and the rest is a note whose text is a
    checkpoint; also above 2 MiB, or with more than 63 hashes.
    """
    # Before anything is split: a proof file comes from whoever wants to be believed.
    if len(raw) > MAX_FILE_BYTES:
        raise MalformedValue("a proof file is longer than 2 MiB")
    # The first empty line: those after it belong to the note, whose text may hold some.
    head, blank, checkpoint_note = raw.partition(b"\n\n")
    if not blank or not head.isascii():
        raise MalformedValue("a proof file lacks an ASCII head and the empty line after it")
    first, *lines = head.decode("ascii").split("\n")
    if first != HEADER:
        raise MalformedValue("not a proof file of version 1")
    extra = None
    if lines and lines[0].startswith(_EXTRA):
        extra = parse_base64(lines.pop(0).removeprefix(_EXTRA))
    if not lines or not lines[0].startswith(_INDEX):
        raise MalformedValue("a proof file lacks its index")
    index = parse_decimal(lines[0].removeprefix(_INDEX))
    proof = tuple(map(parse_hash, lines[1:]))
    return _checked_proof_file(ProofFile(index, proof, checkpoint_note, extra))


def format(file: ProofFile) -> bytes:  # noqa: A001 - read with its module: proof_file.format
    """Return the bytes of a proof file that `parse` gives back; raises Malformed where it would."""
    _checked_proof_file(file)
    lines = [HEADER]
    if file.extra is not None:
        lines.append(_EXTRA + format_base64(file.extra))
    lines.append(_INDEX + format_decimal(file.index))
    lines += (format_base64(checked_hash(each)) for each in file.proof)
    return "".join(f"{line}\n" for line in [*lines, ""]).encode("ascii") + file.checkpoint_note


def _checked_proof_file(file: ProofFile) -> ProofFile:
    if file.extra is not None and not 1 <= len(file.extra) <= MAX_EXTRA_BYTES:
        raise MalformedValue("extra bytes are absent, or between 1 byte and 1 MiB")
    if len(file.proof) > MAX_PATH:
        raise MalformedValue("a proof has more than 63 hashes")
    # Also before writing: a file without a checkpoint in it would prove nothing to anybody.
    checkpoint.parse(note.parse(file.checkpoint_note).text)
    return file
