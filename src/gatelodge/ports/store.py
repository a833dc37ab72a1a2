"""The governance store: rows of state that change only together with their `gov` leaves."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

from msgspec import Struct

from gatelodge.core.records.governance import GovFact
from gatelodge.core.state import GovernanceState, Row

R = TypeVar("R", bound=Row)
T = TypeVar("T")
Rank = Literal["first", "plain", "last"]
"""Who writes before whom: an end of access first, what a server caused last."""


class StoreTx(Protocol):
    """One governance transaction; it holds the lock of the gov log's head, so it is alone.

    It runs in a worker thread and must not wait for anything but the database. Rows are found by
    the values of their fields; `workspace` must be among them for every noun that has one.
    """

    def find(self, noun: type[R], **equals: object) -> list[R]:
        """The rows whose fields have these values, oldest first."""
        ...

    def put(self, row: Row) -> None:
        """Insert the row, or replace the one with the same key."""
        ...

    def remove(self, row: Row) -> None:
        """Delete the row."""
        ...

    def record(self, fact: GovFact) -> None:
        """Append a leaf to the gov log when this transaction commits."""
        ...


class CommittedChange(Struct, frozen=True):
    """A change is durable: the gov log's size after it, and when it was committed (boottime)."""

    gov: int
    at: float


class GovProgress(Struct, frozen=True):
    """What a poll saw: the head, the epoch, and the leaves after the applied size, in order."""

    gov: int
    epoch: str
    leaves: tuple[bytes, ...]


class FreshnessProof(Protocol):
    """What is known of the commits without asking, kept up to date whatever the loop does."""

    @property
    def turn(self) -> int:
        """Another number whenever `until` may say something else than it did."""
        ...

    def until(self, applied: int) -> float:
        """The moment (boottime) up to which a view of that size holds every commit.

        Without end where nobody else can commit. Nothing is proven for a size below 0.
        """
        ...


class Store(Protocol):
    """Where governance state lives: SQLite for one node, PostgreSQL for several."""

    async def change(
        self, work: Callable[[StoreTx], T], rank: Rank = "plain"
    ) -> tuple[T, CommittedChange]:
        """Run `work` in one transaction; its rows and leaves commit together or not at all.

        Among those that wait for their turn a better `rank` goes first; work of the last rank is
        short, because whoever comes then waits for it.

        Raises StoreDown, or whatever `work` raises (then nothing is kept).
        """
        ...

    async def read(self, work: Callable[[StoreTx], T]) -> T:
        """Run `work` on a consistent snapshot; writing raises."""
        ...

    async def load(
        self, nouns: frozenset[str] | None, previous: GovernanceState | None
    ) -> GovernanceState:
        """The state at the present head.

        With `nouns` (State field names) only those are read again, the rest is `previous`'s.
        """
        ...

    async def poll(self, applied: int) -> GovProgress:
        """The head and what came after `applied`. Bounded by 600 ms, else StoreDown."""
        ...

    @property
    def proof(self) -> FreshnessProof:
        """Up to when a view is known to hold every commit."""
        ...

    async def wait(self, seconds: float) -> None:
        """Return when a change was announced, or after that time (NOTIFY where there is one)."""
        ...


class NodeSeen(Struct, frozen=True):
    """A node as the others see it: how far it applied the gov log, and when (wall clock, us)."""

    node: str
    boot: str
    applied: int
    seen_at: int
    lease_ms: int
    cut_streams: int = 0
    cut_calls: int = 0


class NodeRegistry(Protocol):
    """The nodes that share a store, and what each has acknowledged."""

    async def acknowledge(self, seen: NodeSeen) -> None:
        """Write down how far this node is."""
        ...

    async def live(self, within_ms: int) -> tuple[NodeSeen, ...]:
        """Nodes seen within that time by the store's own clock."""
        ...

    async def known(self) -> tuple[NodeSeen, ...]:
        """Every node that has not left, whenever it was seen: any of them may hold a lease."""
        ...

    async def forget(self, seen: NodeSeen) -> None:
        """Strike out a node that died, unless it was seen again meanwhile."""
        ...

    async def leave(self, node: str) -> None:
        """This node is going; nobody waits for it any more."""
        ...
