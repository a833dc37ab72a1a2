"""The opening: who was behind a record. Kept encrypted and erasable, committed to by the leaf.

act        = SHA-256(origin of the log || 0x00 || what follows `actor_c` in the leaf)
commitment = "sha256:" + hex SHA-256("dev.gatelodge/actor/v2" || 0x00 || act || salt || opening)

The act is the whole rest of the leaf (time, call, kind, server, tool ...) and its log, so an
opening fits one leaf of one log and no other: copied elsewhere, with its commitment, it opens
nothing. The salt is 16 random bytes, so that a leaf links to nobody once salt and opening are gone
(the idea of RFC 9901's digests, one per record).
"""

from hashlib import sha256

import msgspec
from msgspec import Struct

DOMAIN = b"dev.gatelodge/actor/v2\x00"
SALT_BYTES = 16
_HEAD = b'{"actor_c":"'
_NONE = b'{"actor_c":"",'


class Opening(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who called, fields in the order of their names (canonical JSON, RFC 8785)."""

    agent: str = ""
    client: str = ""
    cred: str = ""
    member: str = ""
    request: str = ""


class Act(Struct, frozen=True, gc=False):
    """What a leaf says that somebody did: its digest, and the commitment that the leaf bears."""

    digest: bytes
    actor_c: str

    @property
    def associated(self) -> bytes:
        """The associated data under which the opening of this leaf is encrypted."""
        return self.digest + self.actor_c.encode()


_encode = msgspec.json.Encoder().encode


def opening_bytes(opening: Opening) -> bytes:
    """The canonical bytes that are committed to and encrypted."""
    return _encode(opening)


def unsigned_rest(body: bytes) -> bytes:
    """What follows `actor_c` in a leaf in which it is still empty or absent."""
    return body.removeprefix(_NONE) if body.startswith(_NONE) else body[1:]


def with_actor(actor_c: str, rest: bytes) -> bytes:
    """The leaf that bears this commitment: `actor_c` is the first of its fields by name."""
    return b'%b%b",%b' % (_HEAD, actor_c.encode(), rest)


def act_digest(origin: str, rest: bytes) -> bytes:
    """The digest of an act: the log's origin and all that follows `actor_c` in the leaf."""
    return sha256(b"%b\x00%b" % (origin.encode(), rest)).digest()


def act_of(origin: str, body: bytes) -> Act | None:
    """The act of a leaf of the log with this origin; None when the leaf commits to nobody."""
    end = body.find(b'",', len(_HEAD)) if body.startswith(_HEAD) else -1
    if end <= len(_HEAD):
        return None
    actor = body[len(_HEAD) : end].decode("ascii", "replace")
    return Act(act_digest(origin, body[end + 2 :]), actor)


def commitment(act: bytes, salted: bytes) -> str:
    """The `actor_c` of a leaf, 7 + 64 characters; `salted` is salt || opening."""
    return "sha256:" + sha256(DOMAIN + act + salted).hexdigest()


def opened(salted: bytes, act: Act) -> Opening | None:
    """The opening in salt + opening bytes, if it is the one that this very leaf commits to."""
    if len(salted) < SALT_BYTES or commitment(act.digest, salted) != act.actor_c:
        return None
    try:
        return msgspec.json.decode(salted[SALT_BYTES:], type=Opening)
    except msgspec.MsgspecError:
        return None
