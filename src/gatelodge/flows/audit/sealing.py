"""Openings made: salt drawn, commitment in the leaf, ciphertext beside it; nothing waits here."""

from collections.abc import Callable
from functools import cache

import msgspec

from gatelodge.core.errors import KeyUnreachable
from gatelodge.core.records.opening import SALT_BYTES, committed
from gatelodge.ports.journal import DataKeys, SealedOpening
from gatelodge.ports.world import FreshIds

_NONCE_BYTES = 12
_DRAW = SALT_BYTES + _NONCE_BYTES
_BLOCK = 4096 // _DRAW * _DRAW

_pack = msgspec.msgpack.Encoder().encode


class OpeningSealer:
    """Binds who called to what was done. Random bytes are drawn in blocks, on one thread."""

    def __init__(self, ids: FreshIds, deks: DataKeys, origin: Callable[[str], str]) -> None:
        self._random = ids.random
        self._key_of = deks.current
        self._origin = cache(lambda log: origin(log).encode())
        self._block = b""
        self._drawn = _BLOCK

    def sealed(self, log: str, member: str, opening: bytes, rest: bytes) -> tuple[bytes, bytes]:
        """The leaf whose part after `actor_c` is `rest`, and its packed, encrypted opening.

        Raises KeyUnreachable when the member's data key is not in memory.
        """
        key = self._key_of(member)
        if key is None:
            raise KeyUnreachable("the member's data key is not in memory")
        start = self._drawn
        if start >= _BLOCK:
            self._block, start = self._random(_BLOCK), 0
        # This moves on before anything can fail: under AES-GCM no nonce may ever be used twice.
        self._drawn = start + _DRAW
        salted = self._block[start : start + SALT_BYTES] + opening
        body, associated = committed(self._origin(log), salted, rest)
        nonce = self._block[start + SALT_BYTES : start + _DRAW]
        ciphertext = key.seal(nonce, salted, associated)
        return body, _pack(SealedOpening(key.id, nonce, ciphertext))
