"""AES-256-GCM (NIST SP 800-38D) twice: for what clients carry, and for data keys at rest."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatelodge.core.errors import KeyMismatch

_NONCE = 12
_TAG = 16


class AesSealer:
    """The port `Sealer`. A random 96-bit nonce for each seal; keep below 2^32 seals for a key."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, context: bytes) -> str:
        """The sealed bytes as URL-safe base64 without padding, bound to `context`."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._aead.encrypt(nonce, plain, context)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, sealed: str, context: bytes) -> bytes | None:
        """The plain bytes, or None when it was not made here for this context."""
        try:
            # Bad characters would be dropped in silence, so the one spelling is insisted on.
            raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            if urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != sealed:
                return None
            if len(raw) < _NONCE + _TAG:
                return None
            return self._aead.decrypt(raw[:_NONCE], raw[_NONCE:], context)
        except (ValueError, InvalidTag):
            return None


class DiskKeyWrap:
    """The port `KeyWrap` on a key-encryption key held in memory."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """The wrapped key: nonce, then ciphertext and tag."""
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key. Raises KeyMismatch when it was wrapped under another key or context."""
        try:
            return self._aead.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
        except (ValueError, InvalidTag):
            raise KeyMismatch("a data key was not wrapped under this key") from None
