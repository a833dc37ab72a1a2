"""The journal, where a record is durable first, and the ledger: the Merkle logs it moves to."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gatelodge.core.errors import LedgerDown


class SealedOpening(Struct, frozen=True, array_like=True, gc=False):
    """An encrypted opening: the data key's id, and salt + opening under AES-256-GCM.

    Associated data is that of the act, so that it fits its own leaf only (decision 0016).
    """

    dek: str
    nonce: bytes
    ciphertext: bytes


class JournalEntry(Struct, frozen=True, array_like=True, gc=False):
    """One record on its way into a log.

    `opening` is a SealedOpening in MessagePack, empty when nobody is behind the record; it stays
    packed until somebody asks who it was.
    """

    log: str
    body: bytes
    opening: bytes = b""


class RecordWrite(Future[None]):
    """Resolved when a record is durable; the journal's answer is kept though it was cancelled.

    Whoever gives a call up cancels what its task waits for, and has to know all the same whether
    the record stands. (A shield around a plain future costs a round of the loop for each record.)
    """

    answered = False
    fault: LedgerDown | None = None


def record_landed(written: "Future[None]") -> None:
    """Tell whoever waits that the record is durable."""
    if type(written) is RecordWrite:
        written.answered = True
    if not written.done():
        written.set_result(None)


def record_refused(written: "Future[None]", fault: LedgerDown) -> None:
    """Tell whoever waits why the record was not written, or may not have been."""
    if type(written) is RecordWrite:
        written.answered, written.fault = True, fault
    if not written.done():
        written.set_exception(fault)


class JournalPosition(Struct, frozen=True, array_like=True, order=True):
    """A place in a file journal; everything before it may be forgotten once it is sequenced.

    `frame` is the number of the frame that begins there: frames of lower numbers are in the log.
    0 = not known (a database of the first version).
    """

    segment: int
    offset: int
    frame: int = 0


class SegmentRange(Struct, frozen=True):
    """Which segments of a file journal were made: every one from `first` to `newest`.

    None, `newest` below `first`: it came to rest with everything in the log, and nobody misses it.
    """

    first: int
    newest: int


class SegmentInventory(Protocol):
    """Where it is stated, apart from the journal's own directory, which segments there are.

    A file that is gone can so be told from one that never was. Methods block.
    """

    def made(self) -> SegmentRange | None:
        """What was stated; None when nothing was. Raises StoreDown."""
        ...

    def state(self, number: int) -> None:
        """A segment of this number was made and is about to be used. Raises StoreDown."""
        ...

    def rest(self, number: int) -> None:
        """Everything up to the end of this segment is in the log, and no more will come."""
        ...


class JournalBatch(Struct, frozen=True):
    """Durable entries in order, and what marks them as used.

    A file journal marks by place: the entries stand between `start` and `end`. A journal in the
    ledger's own database marks by row: `rows` are deleted in the transaction that appends them.
    Either way the ledger takes a batch once or raises Conflict. Both empty = made by the caller.
    """

    entries: tuple[JournalEntry, ...]
    start: JournalPosition | None = None
    end: JournalPosition | None = None
    rows: tuple[int, ...] = ()


class JournalBacklog(Struct, frozen=True):
    """What a journal holds that is on its way: records not on disk yet, frames not in the logs.

    `frames` is None where nobody counts them: in a database they are rows of every node.
    """

    records: int
    frames: int | None


class Journal(Protocol):
    """An ordered, durable queue with group commit: many appends, one sync."""

    def append(self, entry: JournalEntry, durable: "Future[None] | None") -> None:
        """Queue an entry; `durable` is resolved when it is on disk, or failed with LedgerDown.

        Entries become durable in the order of their appends. Never blocks, never raises.
        """
        ...

    async def read(self, limit: int) -> JournalBatch:
        """The next durable entries, at most `limit` (256 or more); no entries when there are none.

        Fewer than `limit - 255` are all that were durable when it was called.
        A file journal reads on after the last `read`; a database shows every row not yet appended.
        Raises LedgerDown.
        """
        ...

    async def rewind(self, to: JournalPosition | None) -> None:
        """Read again from where the ledger says that it stands."""
        ...

    async def forget(self, end: JournalPosition) -> None:
        """Everything before `end` is sequenced; its room may be used again."""
        ...

    async def examine(self, mark: JournalPosition | None) -> list[str]:
        """What is wrong with what is durable and not in the log, which stands at `mark`.

        Nothing when all of it is there.
        """
        ...

    @property
    def failed(self) -> bool:
        """True when a record could not be made durable and nothing is admitted.

        It stays so until the journal can be written again.
        """
        ...

    @property
    def backlog(self) -> JournalBacklog:
        """What is on its way now; it looks at nothing but memory."""
        ...

    async def close(self) -> None:
        """Make what is queued durable, then release files and connections."""
        ...

    async def rest(self, mark: JournalPosition | None) -> None:
        """After `close`: state that nothing is left, where the log stands at the very end."""
        ...


class AppendedLeaves(Struct, frozen=True):
    """Where leaves landed: the first index, and the log's size and root after them."""

    first: int
    size: int
    root: bytes


class LedgerHead(Struct, frozen=True):
    """A log's present end. No call or stream opened below `open_floor` is still open.

    `sealed` is false when somebody else wrote it: the seal of size and root is not this house's.
    """

    log: str
    origin: str
    size: int
    root: bytes
    open_floor: int = 0
    sealed: bool = True


class LeafPlace(Struct, frozen=True):
    """Where the appender expects its first leaf, and the log's open floor after the batch."""

    first: int
    floor: int


class LeafAt(Struct, frozen=True, gc=False):
    """A leaf and its place, with its sealed opening if it has one that still exists."""

    index: int
    body: bytes
    opening: SealedOpening | None = None


class Ledger(Protocol):
    """The Merkle logs. One writer; readers see only whole batches. All raise StoreDown."""

    async def open_log(self, log: str, origin: str) -> LedgerHead:
        """Create the log when it is not there yet; returns its head. Conflict: another origin."""
        ...

    async def append(
        self, batch: JournalBatch, places: Mapping[str, LeafPlace]
    ) -> dict[str, AppendedLeaves]:
        """Append a batch to its logs, mark it as used and set their open floors: one transaction.

        Raises Conflict when the batch was used before or a log has another size than expected
        (nothing changes), NotFound for an unopened log.
        """
        ...

    async def journal_end(self) -> JournalPosition | None:
        """How far the file journal was sequenced at the last append."""
        ...

    async def heads(self) -> tuple[LedgerHead, ...]:
        """Every log's head."""
        ...

    async def leaves(self, log: str, start: int, stop: int) -> list[LeafAt]:
        """Leaves with start <= index < stop, as far as there are any."""
        ...

    async def leaves_at(self, log: str, places: Sequence[int]) -> list[LeafAt]:
        """The leaves at these places, as far as there are any, in the order of the log."""
        ...

    async def containing(
        self, log: str, text: str, span: tuple[int, int], limit: int
    ) -> list[LeafAt]:
        """The first leaves with start <= index < stop whose bytes hold this text."""
        ...

    async def tile(self, log: str, level: int, n: int) -> bytes:
        """The hashes of a tile, empty when it is not there (C2SP tlog-tiles)."""
        ...

    async def bundle(self, log: str, n: int) -> bytes:
        """The packed entries of a bundle, empty when it is not there (C2SP tlog-tiles)."""
        ...

    async def inclusion(self, log: str, index: int, size: int) -> list[bytes]:
        """The inclusion proof of `index` in the tree of `size` (RFC 9162 2.1.3)."""
        ...

    async def consistency(self, log: str, old: int, new: int) -> list[bytes]:
        """The consistency proof between two sizes (RFC 9162 2.1.4)."""
        ...

    async def root_at(self, log: str, size: int) -> bytes:
        """The root over the first `size` leaves, from the tiles. Raises LogForked: none such."""
        ...

    async def seek(self, log: str, at: str) -> int:
        """An index at or before every leaf whose time is `at` or later (bundle-wide steps)."""
        ...

    async def seek_end(self, log: str, at: str) -> int:
        """An index beyond every leaf whose time is before `at` (bundle-wide steps)."""
        ...

    async def times(self, log: str, n: int) -> tuple[str, str]:
        """The first and last time in a bundle as the ledger keeps them; empty: no such bundle."""
        ...

    async def save_checkpoint(self, log: str, size: int, note: bytes) -> None:
        """Keep a signed checkpoint."""
        ...

    async def checkpoint(self, log: str) -> bytes | None:
        """The newest signed checkpoint of a log."""
        ...

    async def checkpoints(self, log: str) -> list[bytes]:
        """Every signed checkpoint of a log, smallest first."""
        ...


class HeadGuard(Protocol):
    """What was signed last, kept on another path than the ledger: a restored database shows."""

    @property
    def logs(self) -> frozenset[str]:
        """The logs of which a checkpoint was about to be signed here."""
        ...

    def last(self, log: str) -> tuple[int, bytes] | None:
        """Size and root of the newest checkpoint of this log that was about to be signed here.

        Raises LogForked when the guard itself cannot be read.
        """
        ...

    async def advance(self, signing: Mapping[str, tuple[int, bytes]]) -> None:
        """Keep these sizes and roots durably, before the signatures are made. Raises LedgerDown."""
        ...


class LeaderElection(Protocol):
    """Which node sequences, where several share one database."""

    async def leads(self) -> bool:
        """True while this node holds the lead; takes it when it is free."""
        ...

    async def resign(self) -> None:
        """Give the lead up."""
        ...


class DataKey(Struct, frozen=True):
    """A member's data key of one quarter; `seal(nonce, plain, associated)` is AES-256-GCM."""

    id: str
    seal: Callable[[bytes, bytes, bytes], bytes]


class DataKeys(Protocol):
    """The data keys of openings: one a member a quarter. Destroying them erases the person."""

    def current(self, member: str) -> DataKey | None:
        """The key of the present quarter when it is in memory."""
        ...

    async def ensure(self, member: str) -> DataKey:
        """The key of the present quarter, made when there is none. Raises StoreDown."""
        ...

    async def unseal(self, sealed: Sequence[tuple[SealedOpening, bytes]]) -> list[bytes | None]:
        """Salt + opening of each (sealed opening, associated data).

        None where the key is gone or was changed, or the opening was changed or moved.
        """
        ...

    async def ids_of(self, member: str) -> frozenset[str]:
        """The ids of all of a member's keys, destroyed ones too."""
        ...

    async def destroy(self, member: str) -> int:
        """Destroy every key of the member; returns how many. Openings are unreadable from now."""
        ...
