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


class ActDigest(Struct, frozen=True, gc=False):
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


def committed(origin: bytes, salted: bytes, rest: bytes) -> tuple[bytes, bytes]:
    """A leaf that commits to who did what `rest` says, and its opening's associated data.

    `origin` is the log's; `actor_c` becomes the first of the leaf's fields by name (hot path).
    """
    # Bound to the whole act: an opening that is copied to another leaf opens nothing there
    # (decision 0016).
    act = sha256(b"%b\x00%b" % (origin, rest)).digest()
    actor_c = b"sha256:" + sha256(DOMAIN + act + salted).hexdigest().encode()
    # No field of any leaf sorts before `actor_c`, so the leaf stays canonical with it in front.
    return b'%b%b",%b' % (_HEAD, actor_c, rest), act + actor_c


def act_of(origin: str, body: bytes) -> ActDigest | None:
    """The act of a leaf of the log with this origin; None when the leaf commits to nobody."""
    # A commitment is hex behind its prefix and holds no quote, so the first one ends it.
    end = body.find(b'",', len(_HEAD)) if body.startswith(_HEAD) else -1
    if end <= len(_HEAD):
        return None
    actor = body[len(_HEAD) : end].decode("ascii", "replace")
    digest = sha256(b"%b\x00%b" % (origin.encode(), body[end + 2 :])).digest()
    return ActDigest(digest, actor)


def opened(salted: bytes, act: ActDigest) -> Opening | None:
    """The opening in salt + opening bytes, if it is the one that this very leaf commits to."""
    digest = sha256(DOMAIN + act.digest + salted).hexdigest()
    # The hash knows no border between salt and opening: too few bytes would be all salt.
    if len(salted) < SALT_BYTES or act.actor_c != "sha256:" + digest:
        return None
    try:
        return msgspec.json.decode(salted[SALT_BYTES:], type=Opening)
    # Whoever writes a proof file can commit to any bytes: those that are no opening name nobody.
    except (msgspec.MsgspecError, RecursionError):
        return None
