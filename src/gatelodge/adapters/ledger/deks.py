"""Data keys of openings: one a member a quarter, wrapped at rest, destroyed to erase a person.

Quarters bound what one lost key opens, and let retention destroy old openings without the new
ones. The wrapped key is bound to its id, so that a row cannot be passed off as another.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from sqlalchemy import Connection, bindparam, select, update

from gatelodge.adapters.ledger.ledger import Session
from gatelodge.adapters.ledger.tables import dek as _dek
from gatelodge.core.errors import KeyMismatch
from gatelodge.core.ids import Instant
from gatelodge.ports.journal import DataKey, SealedOpening
from gatelodge.ports.world import Clock, FreshIds, KeyWrap

_KEY_BYTES = 32
_KEPT = 4096
"""Unwrapped keys kept in memory; those kept longest are dropped."""

_OF_MEMBER = select(_dek).where(_dek.c.member == bindparam("member"))
_OF_PERIOD = _OF_MEMBER.where(_dek.c.period == bindparam("period"), _dek.c.wrapped.is_not(None))
_BY_ID = select(_dek).where(_dek.c.id.in_(bindparam("ids", expanding=True)))


class _KeptDek(Struct, frozen=True):
    """A key in memory; not used for sealing from `until` on."""

    dek: DataKey
    until: Instant


class SqlDeks:
    """The port `Deks`; `sessions` are the write and the read transaction.

    Only keys for sealing stay in memory (`_current`, owned by the event loop); those for reading
    are unwrapped for each question, so that an erasure leaves nothing behind.
    """

    def __init__(
        self, sessions: tuple[Session, Session], wrap: KeyWrap, clock: Clock, ids: FreshIds
    ) -> None:
        self._write, self._read = sessions
        self._wrap, self._clock, self._ids = wrap, clock, ids
        self._current: dict[str, _KeptDek] = {}
        self._making = anyio.CapacityLimiter(1)

    def current(self, member: str) -> DataKey | None:
        """The key of the present quarter when it is in memory."""
        kept = self._current.get(member)
        if kept is None or self._clock.now() >= kept.until:
            return None
        return kept.dek

    async def ensure(self, member: str) -> DataKey:
        """The key of the present quarter, made when there is none. Raises StoreDown.

        Two nodes may each make one; both stay good, since a sealed opening names its key.
        """
        found = self.current(member)
        if found is not None:
            return found
        period, until = _quarter_name_and_end(self._clock.now())

        def make() -> DataKey:
            with self._write() as connection:
                return self._find_or_make_dek(connection, member, period)

        # One at a time: a member's first calls, which come together, make one key and not one each.
        dek = await anyio.to_thread.run_sync(make, limiter=self._making)
        while len(self._current) >= _KEPT:
            del self._current[next(iter(self._current))]
        self._current[member] = _KeptDek(dek, until)
        return dek

    async def unseal(self, sealed: Sequence[tuple[SealedOpening, bytes]]) -> list[bytes | None]:
        """Salt + opening of each (sealed opening, associated data); None when it cannot be opened.

        Its key was destroyed, or it was changed or moved from another leaf.
        """

        def open_all() -> list[bytes | None]:
            ciphers = self._for_reading({each.dek for each, _ in sealed})
            return [_decrypted_opening(ciphers.get(each.dek), each, aad) for each, aad in sealed]

        return await anyio.to_thread.run_sync(open_all)

    async def ids_of(self, member: str) -> frozenset[str]:
        """The ids of all of a member's keys, destroyed ones too."""

        def look() -> frozenset[str]:
            with self._read() as connection:
                rows = connection.execute(_OF_MEMBER, {"member": member}).all()
            return frozenset(row.id for row in rows)

        return await anyio.to_thread.run_sync(look)

    async def destroy(self, member: str) -> int:
        """Destroy every key of the member; returns how many.

        The rows stay without their keys, so that an opening under one of them is known to be
        erased. Nothing in memory outlives this call on this node.
        """

        def erase() -> int:
            with self._write() as connection:
                rows = connection.execute(_OF_MEMBER, {"member": member}).all()
                live = [row.id for row in rows if row.wrapped is not None]
                connection.execute(
                    update(_dek)
                    .where(_dek.c.id.in_(live))
                    .values(wrapped=None, destroyed_at=self._clock.now())
                )
            return len(live)

        gone = await anyio.to_thread.run_sync(erase, limiter=self._making)
        # After the commit: what was sealed until now names a destroyed key, and is erased too.
        self._current.pop(member, None)
        return gone

    def _find_or_make_dek(self, connection: Connection, member: str, period: str) -> DataKey:
        given = {"member": member, "period": period}
        row = connection.execute(_OF_PERIOD.limit(1), given).one_or_none()
        if row is not None:
            # Only `encrypt` is handed out: whoever seals has no means to open.
            return DataKey(row.id, self._unwrapped_cipher(row).encrypt)
        key, name = self._ids.random(_KEY_BYTES), self._ids.new("dek")
        wrapped = self._wrap.wrap(key, name.encode())
        connection.execute(_dek.insert(), {"id": name, "wrapped": wrapped, **given})
        return DataKey(name, AESGCM(key).encrypt)

    def _unwrapped_cipher(self, row: Any) -> AESGCM:
        return AESGCM(self._wrap.unwrap(bytes(row.wrapped), row.id.encode()))

    def _for_reading(self, wanted: set[str]) -> dict[str, AESGCM]:
        ids = sorted(wanted)
        found: dict[str, AESGCM] = {}
        # An engine limits how many values one statement may bind.
        for start in range(0, len(ids), 500):
            with self._read() as connection:
                rows = connection.execute(_BY_ID, {"ids": ids[start : start + 500]}).all()
            for row in rows:
                with suppress(KeyMismatch, InvalidTag, ValueError):  # a changed row opens nothing
                    if row.wrapped is not None:
                        found[row.id] = self._unwrapped_cipher(row)
        return found


def _decrypted_opening(
    cipher: AESGCM | None, sealed: SealedOpening, associated: bytes
) -> bytes | None:
    if cipher is None:
        return None
    try:
        return cipher.decrypt(sealed.nonce, sealed.ciphertext, associated)
    except (InvalidTag, ValueError):
        return None


def _quarter_name_and_end(now: Instant) -> tuple[str, Instant]:
    """The name of the quarter, such as `2026-4`, and when it ends."""
    # In UTC, so that nodes of several time zones are in the same quarter.
    at = datetime.fromtimestamp(now / 1_000_000, UTC)
    quarter = (at.month - 1) // 3
    year, month = (at.year + 1, 1) if quarter == 3 else (at.year, quarter * 3 + 4)
    end = datetime(year, month, 1, tzinfo=UTC)
    return f"{at.year}-{quarter + 1}", Instant(int(end.timestamp()) * 1_000_000)
