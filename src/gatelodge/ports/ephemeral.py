"""Short-lived state that every node sees and no log keeps: codes, console sessions, parked calls.

An entry may be lost at any time: by a crash of the database, a restore, a step of its clock.
Whoever keeps something here is able to go on without it (the person signs in or asks again). An
entry is no right: its principal's access may have ended a moment ago, so whoever takes one up asks
the view. Source: decision 0023.
"""

from typing import Final, Protocol

from msgspec import Struct

LONGEST_SECONDS: Final = 86_400
"""No entry lives longer; what has to is put again, or is governance state."""


class EphemeralKind(Struct, frozen=True, kw_only=True):
    """One use of the store, with the bounds of what it may hold.

    `name` stands in the database and is shown to operators. At any moment there are at most `total`
    entries of the kind, of them `per_principal` of one principal, and `of_strangers` of nobody
    known, who therefore cannot take the room of those who are. `value_bytes` bounds one value.
    """

    name: str
    value_bytes: int
    per_principal: int
    of_strangers: int
    total: int


class Ephemeral(Protocol):
    """Entries with a time to live, shared by all nodes and recorded in no log.

    A key names one entry of its kind. Keys may be secrets (a code, a cookie): the database holds
    their SHA-256 only, which protects a key of at least 128 random bits. Values are opaque bytes,
    kept as they come: the caller seals those that are secret (`Sealer`) before they are put.

    An entry is there while the store's own clock says so, which is the same for all nodes. One that
    expired is never returned, whether it was swept yet or not. Every method raises StoreDown; after
    it a `take` counts as done.
    """

    async def put(
        self, kind: EphemeralKind, key: str, value: bytes, *, seconds: float, principal: str
    ) -> None:
        """Keep the value for that time, in place of what the key named before.

        `principal` is whose access it lives by: it goes when that ends; empty for a stranger.
        Raises LimitReached (then nothing changed), and Invalid where `seconds` is not above 0, or
        is more than LONGEST_SECONDS.
        """
        ...

    async def take(self, kind: EphemeralKind, key: str) -> bytes | None:
        """Read and remove; of all who ask, on whichever node, exactly one gets the value."""
        ...

    async def get(self, kind: EphemeralKind, key: str) -> bytes | None:
        """The value, which stays; None when there is none."""
        ...

    async def drop(self, kind: EphemeralKind, key: str) -> None:
        """Remove the entry, if there is one."""
        ...

    async def drop_of(self, principal: str) -> int:
        """Remove every entry of that principal; how many there were."""
        ...

    async def sweep(self, at_most: int) -> int:
        """Remove expired entries, no more than that; how many were removed.

        Nothing is written where nothing has expired. Where the store's clock was set back, every
        entry is removed: none may live on by time that has passed already.
        """
        ...

    async def counts(self) -> dict[str, int]:
        """How many entries there are, by the name of their kind; kinds without any are left out."""
        ...
