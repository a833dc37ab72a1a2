"""The log's signature: Ed25519 (RFC 8032), for checkpoints and nothing else."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class LogSigner:
    """The port `Signer` on a 32-byte seed; `name` stands in each signed note."""

    def __init__(self, seed: bytes, name: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._name = name
        self._public = self._key.public_key().public_bytes_raw()

    @property
    def name(self) -> str:
        """The key's name in a signed note."""
        return self._name

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A 64-byte signature."""
        return self._key.sign(message)
