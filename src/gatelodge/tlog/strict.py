"""The small forms that every text of a log is made of, each with exactly one spelling.

A form that can be spelled in two ways lets one proof have two byte strings, so what is lenient in
the standard library (signs, leading zeros, stray base64 bits) is refused here.
"""

import re
from base64 import b64decode, b64encode

from gatelodge.tlog.errors import MalformedValue

HASH_BYTES = 32
MAX_COUNT = 2**63 - 1
"""The largest size or index: what a signed 64-bit column holds. RFC 6962 sizes are below 2^64."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def parse_decimal(text: str) -> int:
    """Return the whole number written in ASCII digits; raises Malformed on any other spelling."""
    # The pattern bounds the digits, for `int` takes long on very many of them.
    if _DECIMAL.fullmatch(text) is None or int(text) > MAX_COUNT:
        raise MalformedValue("not a plain decimal number below 2^63")
    return int(text)


def format_decimal(count: int) -> str:
    """Return the one spelling of a size or index; raises Malformed outside 0 .. 2^63-1."""
    if not 0 <= count <= MAX_COUNT:
        raise MalformedValue("not a count between 0 and 2^63-1")
    return str(count)


def parse_base64(text: str) -> bytes:
    """Return the bytes of canonical, padded, standard base64 (RFC 4648 clause 4).

    Raises Malformed on spaces, other alphabets, and padding bits that are not zero (clause 3.5).
    """
    try:
        octets = b64decode(text, validate=True)
    except ValueError:
        raise MalformedValue("not standard base64") from None
    # `b64decode` ignores the bits that padding leaves over, so two texts would be one value.
    if format_base64(octets) != text:
        raise MalformedValue("base64 is not in its canonical spelling")
    return octets


def format_base64(octets: bytes) -> str:
    """Return the canonical, padded, standard base64 of the bytes."""
    return b64encode(octets).decode("ascii")


def parse_hash(text: str) -> bytes:
    """Return the 32 bytes of a SHA-256 hash in base64; raises Malformed otherwise."""
    return checked_hash(parse_base64(text))


def checked_hash(octets: bytes) -> bytes:
    """Return the bytes if they can be a SHA-256 hash; raises Malformed if not 32 of them."""
    if len(octets) != HASH_BYTES:
        raise MalformedValue("a hash is not 32 bytes long")
    return octets


def checked_text(text: str) -> str:
    """Return the text if it may stand in a note: UTF-8, and no control character but newline.

    Raises Malformed. Source: C2SP signed-note, Format.
    """
    if _CONTROL.search(text) is not None:
        raise MalformedValue("text holds a control character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedValue("text cannot be written as UTF-8") from None
    return text
