"""What the vault needs of the world: a root that wraps keys, and what seals values with it."""

from typing import Protocol

from msgspec import Struct


class SealedParts(Struct, frozen=True, kw_only=True):
    """A sealed value, and the wrapped key that opens it; `root` is what wrapped it."""

    root: str
    wrapped: str
    sealed: str


class VaultRoot(Protocol):
    """The key above all data keys of the vault: a file, a variable, or a service that keeps it."""

    @property
    def uri(self) -> str:
        """What names it in the settings and in each row."""
        ...

    async def wrap(self, key: bytes, context: bytes) -> str:
        """The wrapped key, bound to `context`. Raises KeyUnreachable."""
        ...

    async def unwrap(self, wrapped: str, context: bytes) -> bytes:
        """The key. Raises KeyUnreachable; KeyMismatch when this root did not wrap it so."""
        ...


class ValueSealer(Protocol):
    """Seals values under a key each, which the root wraps; nothing of either is kept."""

    @property
    def root(self) -> str:
        """The URI of the root that wraps new keys."""
        ...

    async def seal(self, value: str, context: bytes) -> SealedParts:
        """The value under a new key, bound to `context`. Raises KeyUnreachable."""
        ...

    async def open(self, parts: SealedParts, context: bytes) -> str:
        """The value. Raises KeyUnreachable; KeyMismatch for one that was moved or changed."""
        ...

    async def rewrap(self, parts: SealedParts, context: bytes) -> SealedParts:
        """The same value with its key under the present root. Raises as `open` does."""
        ...
