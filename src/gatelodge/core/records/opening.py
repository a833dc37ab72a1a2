"""The opening: who was behind a record. Kept encrypted and erasable, committed to by the leaf.

commitment = "sha256:" + hex SHA-256("dev.gatelodge/actor/v1" || 0x00 || salt || opening), with
a random 16-byte salt, so that a leaf links to nobody once salt and opening are gone (the idea of
RFC 9901's digests, one per record).
"""

from hashlib import sha256

import msgspec
from msgspec import Struct

DOMAIN = b"dev.gatelodge/actor/v1\x00"
SALT_BYTES = 16


class Opening(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
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
    return "sha256:" + sha256(DOMAIN + salt + opening).hexdigest()


def opened(salted: bytes, actor_c: str) -> Opening | None:
    """The opening in salt + opening bytes, if it is the one that the leaf commits to."""
    if commitment(salted[:SALT_BYTES], salted[SALT_BYTES:]) != actor_c:
        return None
    try:
        return msgspec.json.decode(salted[SALT_BYTES:], type=Opening)
    except msgspec.MsgspecError:
        return None


def associated(log: str, actor_c: str) -> bytes:
    """The associated data under which the opening of a leaf is encrypted."""
    return f"{log}\0{actor_c}".encode()
