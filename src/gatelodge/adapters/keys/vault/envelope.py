"""Envelopes: each value under a key of its own, and that key under the root.

Both are AES-256-GCM (NIST SP 800-38D) and bound to the place of the value, so that a row which was
moved to another secret, holder or workspace opens nothing.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatelodge.core.errors import KeyMismatch, KeyUnreachable
from gatelodge.ports.vault import SealedParts, VaultRoot

_NONCE = 12
_KEY = 32


class EnvelopeSealer:
    """The port `ValueSealer`. `former` are roots that wrapped keys before, and only unwrap now."""

    def __init__(self, root: VaultRoot, former: Iterable[VaultRoot] = ()) -> None:
        self._root = root
        self._roots = {each.uri: each for each in (*former, root)}

    @property
    def root(self) -> str:
        """The URI of the root that wraps new keys."""
        return self._root.uri

    async def seal(self, value: str, context: bytes) -> SealedParts:
        """The value under a new key. Raises KeyUnreachable."""
        key, nonce = os.urandom(_KEY), os.urandom(_NONCE)
        sealed = nonce + AESGCM(key).encrypt(nonce, value.encode(), context)
        return SealedParts(
            root=self._root.uri,
            wrapped=await self._root.wrap(key, context),
            sealed=b64encode(sealed).decode("ascii"),
        )

    async def open(self, parts: SealedParts, context: bytes) -> str:
        """The value. Raises KeyUnreachable, KeyMismatch."""
        key = await self._unwrapped_key(parts, context)
        try:
            octets = b64decode(parts.sealed, validate=True)
            return AESGCM(key).decrypt(octets[:_NONCE], octets[_NONCE:], context).decode()
        except (ValueError, InvalidTag):
            raise KeyMismatch("a value of the vault was not sealed for this place") from None

    async def rewrap(self, parts: SealedParts, context: bytes) -> SealedParts:
        """The same value with its key under the present root. Raises as `open` does."""
        # Opened whole: a value that cannot be read must not seem to have moved well.
        await self.open(parts, context)
        key = await self._unwrapped_key(parts, context)
        wrapped = await self._root.wrap(key, context)
        # The old form is given up for the new one, so that has to open first.
        moved = SealedParts(root=self._root.uri, wrapped=wrapped, sealed=parts.sealed)
        await self.open(moved, context)
        return moved

    async def _unwrapped_key(self, parts: SealedParts, context: bytes) -> bytes:
        # A row names its root, and whoever writes rows must not choose who is shown our token: only
        # roots of the settings are asked.
        root = self._roots.get(parts.root)
        if root is None:
            raise KeyUnreachable(
                "a value of the vault is under a root that the settings do not name",
                remedy="Name it in keys.former_vault_roots, then: gatelodge secret rewrap",
            )
        key = await root.unwrap(parts.wrapped, context)
        if len(key) != _KEY:
            raise KeyMismatch("the root of the vault gave no key back")
        return key
