"""The text of a token: `gtl{kind}_`, 43 characters of secret, 6 of checksum, all base62.

The prefix tells secret scanners what was found; the checksum (CRC-32 of everything before it)
lets them and the gate drop a fake without a look-up. It is no protection: the secret is.
"""

import re
from typing import Final
from zlib import crc32

from gatelodge.core.people import CredentialKind

TOKEN_PATTERN: Final = r"\bgtl[psarcki]_[0-9A-Za-z]{49}\b"  # noqa: S105 - a pattern
"""What a token looks like in any text, reserved kinds included; for scanners and redaction."""

TOKEN: Final = re.compile(TOKEN_PATTERN)

SECRET_BYTES: Final = 32

_LETTERS: Final = {"personal": "p", "agent": "s"}
_KINDS: Final[dict[str, CredentialKind]] = {"gtlp_": "personal", "gtls_": "agent"}
_LENGTH: Final = 54
_BODY: Final = 48
_SECRET_DIGITS: Final = 43
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(high + low for high in _BASE62 for low in _BASE62)
"""Two digits at once, so that the checksum of each request's token costs three look-ups."""


def mint(kind: CredentialKind, secret: bytes) -> str:
    """The token of 54 characters around 32 random bytes. Raises ValueError on another size."""
    if len(secret) != SECRET_BYTES:
        raise ValueError("a token is made of 32 random bytes")
    number = int.from_bytes(secret, "big")
    digits = []
    # A fixed count, so that leading zeros stay and every token has the one length.
    for _ in range(_SECRET_DIGITS):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    body = f"gtl{_LETTERS[kind]}_{''.join(reversed(digits))}"
    return body + _base62_checksum(body)


def well_formed(text: str) -> CredentialKind | None:
    """The kind of a token whose shape and checksum are right, else None.

    Says nothing of whether it was ever issued. Reserved kinds are not well-formed yet.
    """
    # `isalnum` alone takes letters and digits of every script.
    if len(text) != _LENGTH or not text.isascii() or not text[5:].isalnum():
        return None
    kind = _KINDS.get(text[:5])
    return kind if kind is not None and text[_BODY:] == _base62_checksum(text[:_BODY]) else None


def _base62_checksum(body: str) -> str:
    rest, low = divmod(crc32(body.encode("ascii")), 3844)
    high, middle = divmod(rest, 3844)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]
