"""The journal: where a record becomes durable first, before it is sequenced into a Merkle log."""

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class SealedOpening(Struct, frozen=True, array_like=True):
    """An encrypted opening: the data key's id, and salt + opening under AES-256-GCM.

    Associated data is log id || 0x00 || actor_c, so that it fits its own leaf only (decision 0006).
    """

    dek: str
    nonce: bytes
    ciphertext: bytes


class Entry(Struct, frozen=True, array_like=True):
    """One record on its way into a log."""

    log: str
    body: bytes
    opening: SealedOpening | None = None


class Position(Struct, frozen=True, array_like=True):
    """A place in a journal; everything before it may be forgotten once it is sequenced."""

    segment: int
    offset: int


class Batch(Struct, frozen=True):
    """Durable entries in order, and where the next read begins."""

    entries: tuple[Entry, ...]
    end: Position


class Journal(Protocol):
    """An ordered, durable queue with group commit: many appends, one sync."""

    def append(self, entry: Entry, durable: "Future[None] | None") -> None:
        """Queue an entry; `durable` is resolved when it is on disk, or failed with LedgerDown.

        Entries become durable in the order of their appends. Never blocks.
        """
        ...

    async def read(self, limit: int) -> Batch:
        """The next durable entries after the last `read`, at most `limit`; empty when none."""
        ...

    async def forget(self, end: Position) -> None:
        """Everything before `end` is sequenced; its room may be used again."""
        ...

    @property
    def failed(self) -> bool:
        """True once a write or sync failed: nothing is admitted until a restart."""
        ...

    async def close(self) -> None:
        """Make what is queued durable, then release the files."""
        ...


class Appended(Struct, frozen=True):
    """Where leaves landed: the first index, and the log's size and root after them."""

    first: int
    size: int
    root: bytes


class Head(Struct, frozen=True):
    """A log's present end."""

    log: str
    origin: str
    size: int
    root: bytes


class LeafAt(Struct, frozen=True):
    """A leaf and its place, with its sealed opening if it has one that still exists."""

    index: int
    body: bytes
    opening: SealedOpening | None = None


class Ledger(Protocol):
    """The Merkle logs. One writer; readers see only whole batches."""

    async def open_log(self, log: str, origin: str) -> Head:
        """Create the log when it is not there yet; returns its head."""
        ...

    async def append(
        self, batch: Sequence[Entry], journal_end: Position | None
    ) -> dict[str, Appended]:
        """Append entries to their logs in one transaction, and note how far the journal is used."""
        ...

    async def journal_end(self) -> Position | None:
        """How far the journal was sequenced at the last append."""
        ...

    async def heads(self) -> tuple[Head, ...]:
        """Every log's head."""
        ...

    async def leaves(self, log: str, start: int, stop: int) -> list[LeafAt]:
        """Leaves with start <= index < stop."""
        ...

    async def inclusion(self, log: str, index: int, size: int) -> list[bytes]:
        """The inclusion proof of `index` in the tree of `size` (RFC 9162 2.1.3)."""
        ...

    async def consistency(self, log: str, old: int, new: int) -> list[bytes]:
        """The consistency proof between two sizes (RFC 9162 2.1.4)."""
        ...

    async def seek(self, log: str, at: str) -> int:
        """An index at or before the first leaf whose time is `at` or later (bundle-wide steps)."""
        ...

    async def save_checkpoint(self, log: str, size: int, note: bytes) -> None:
        """Keep a signed checkpoint."""
        ...

    async def checkpoint(self, log: str) -> bytes | None:
        """The newest signed checkpoint of a log."""
        ...
