"""The opening: who was behind a record. Kept encrypted and erasable, committed to by the leaf.

commitment = "sha256:" + hex SHA-256("dev.gatelodge/actor/v1" || 0x00 || salt || opening), with
a random 16-byte salt, so that a leaf links to nobody once salt and opening are gone (the idea of
RFC 9901's digests, one per record).
"""

from hashlib import sha256

import msgspec
from msgspec import Struct

_DOMAIN = b"dev.gatelodge/actor/v1\x00"


class Opening(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who called, fields in the order of their names (canonical JSON, RFC 8785)."""

    agent: str = ""
    client: str = ""
    cred: str = ""
    member: str = ""
    request: str = ""


_encode = msgspec.json.Encoder().encode


def opening_bytes(opening: Opening) -> bytes:
    """The canonical bytes that are committed to and encrypted."""
    return _encode(opening)


def commitment(salt: bytes, opening: bytes) -> str:
    """The `actor_c` of a leaf: 7 + 64 characters."""
    return "sha256:" + sha256(_DOMAIN + salt + opening).hexdigest()
