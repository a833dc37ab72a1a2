"""Time, ids and keys."""

from collections.abc import Hashable, Mapping
from typing import Protocol

from gatelodge.core.catalog.server import Transport
from gatelodge.core.ids import Instant, Kind


class Clock(Protocol):
    """Two clocks: one that people read, one that leases count on."""

    def now(self) -> Instant:
        """The wall clock, microseconds UTC."""
        ...

    def boottime(self) -> float:
        """Seconds that never step and do not stop while the machine sleeps (CLOCK_BOOTTIME)."""
        ...


class FreshIds(Protocol):
    """Fresh names and salts, from the system's random source."""

    def new(self, kind: Kind) -> str:
        """`{kind}_` and 22 characters of base62."""
        ...

    def call(self) -> str:
        """`c_` and 22 characters of base64url: 6 bytes of milliseconds, 10 random ones."""
        ...

    def random(self, size: int) -> bytes:
        """That many random bytes."""
        ...


class CheckpointSigner(Protocol):
    """The log key: signs checkpoints and nothing else."""

    @property
    def name(self) -> str:
        """The key's name in a signed note."""
        ...

    @property
    def public(self) -> bytes:
        """The 32-byte Ed25519 public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """A 64-byte Ed25519 signature. Raises KeyUnreachable."""
        ...


class TokenPeppers(Protocol):
    """The keys that turn tokens into digests; they never stand in the database."""

    @property
    def current(self) -> str:
        """The id of the pepper that new credentials use."""
        ...

    def digest(self, token: str) -> str:
        """Hex HMAC-SHA256 of the token under the current pepper."""
        ...

    def digests(self, token: str) -> tuple[str, ...]:
        """The digests under every active pepper, current first (two during a rotation)."""
        ...


class StringSealer(Protocol):
    """Opaque, tamper-proof strings for clients to carry: sessions and cursors."""

    def seal(self, plain: bytes, context: bytes) -> str:
        """AES-256-GCM, URL-safe, bound to `context`."""
        ...

    def open(self, sealed: str, context: bytes) -> bytes | None:
        """The plain bytes, or None when it was not made here for this context."""
        ...


class KeyWrap(Protocol):
    """The key-encryption key: wraps the per-member data keys of openings."""

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """The wrapped key (AES-256-GCM, nonce first)."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The key. Raises KeyMismatch when it was wrapped under another key or context."""
        ...


class SecretResolver(Protocol):
    """Secret references resolved when they are needed, never kept."""

    def resolve(self, value: str) -> str:
        """The secret behind `file:/PATH` or `env:NAME` (perhaps after a word); else the text.

        Raises KeyUnreachable with the reference (never the value) in its detail, also for
        `vault:NAME`, which only `resolve_all` reads.
        """
        ...

    async def resolve_all(
        self, values: Mapping[str, str], workspace: str, owner: str
    ) -> dict[str, str]:
        """The same of values by name, `vault:NAME` too: those of a workspace, for this owner.

        `owner` is the principal whose instance it is, "" = shared. Raises KeyUnreachable.
        """
        ...

    def edition(self, transport: Transport, workspace: str) -> Hashable:
        """Another value whenever what a definition names of the vault is another for everybody."""
        ...
