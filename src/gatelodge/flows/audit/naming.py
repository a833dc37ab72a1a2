"""Who was behind records: their openings, believed only where they fit the leaf they stand beside.

An opening that cannot be opened is erased when the gov log says so, and damaged otherwise: what
somebody took away is never passed off as what a person was promised.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from gatelodge.core.records.opening import ActDigest, Opening, act_of, opened
from gatelodge.flows.audit.reading import FoundRecords, ever_in_gov, fields
from gatelodge.ports.journal import DataKeys, LeafAt, Ledger, SealedOpening

_ERASED = '"t":"member.erased"'
_EVER = 100_000


class NamedOpening(Struct, frozen=True):
    """What came of one opening: who it was, or why nobody knows ("erased", "damaged")."""

    who: Opening | None = None
    gone: str = ""
    salted: bytes = b""


class OpeningReader:
    """Opens openings. Whoever calls it has written down that names were read."""

    def __init__(self, ledger: Ledger, deks: DataKeys) -> None:
        self._ledger = ledger
        self._deks = deks

    async def with_names(self, found: Iterable[FoundRecords]) -> tuple[FoundRecords, ...]:
        """The same records with who was behind them, or why that cannot be said."""
        rows = list(found)
        origins = await self.origins()
        named = list(rows)
        for log in sorted({row.log for row in rows}):
            places = [at for at, row in enumerate(rows) if row.log == log]
            read = await self._ledger.leaves_at(log, [rows[at].index for at in places])
            by_index = {leaf.index: leaf for leaf in read}
            leaves = [by_index[rows[at].index] for at in places]
            seen = await self.open(leaves, origins[log], frozenset())
            # Whether somebody was erased takes a walk through the gov log: only a gap is worth it.
            if any(each.gone for each in seen):
                erased = await self.erased()
                seen = await self.open(leaves, origins[log], erased)
            for at, each in zip(places, seen, strict=True):
                named[at] = msgspec.structs.replace(rows[at], who=each.who, gone=each.gone)
        return tuple(named)

    async def open(
        self, leaves: Sequence[LeafAt], origin: str, erased: frozenset[str]
    ) -> list[NamedOpening]:
        """What came of the opening of each leaf; nothing for a leaf that commits to nobody."""
        acts = [act_of(origin, leaf.body) for leaf in leaves]
        sealed = [
            (leaf.opening, act.associated)
            for leaf, act in zip(leaves, acts, strict=True)
            if act is not None and leaf.opening is not None
        ]
        plain = iter(await self._deks.unseal(sealed))
        found: list[NamedOpening] = []
        for leaf, act in zip(leaves, acts, strict=True):
            if act is None:
                found.append(NamedOpening())
            elif leaf.opening is None:
                found.append(NamedOpening(gone="damaged"))
            else:
                found.append(_named_opening(next(plain), act, leaf.opening, erased))
        return found

    async def erased(self) -> frozenset[str]:
        """The data keys that were destroyed to erase somebody, as the gov log states."""
        told = await ever_in_gov(self._ledger, _ERASED, _EVER, None)
        subjects = [fields(leaf).get("subject") for leaf in told]
        keys = [each.get("keys") for each in subjects if isinstance(each, Mapping)]
        return frozenset(str(key) for each in keys if isinstance(each, list) for key in each)

    async def origins(self) -> dict[str, str]:
        """The origin of each log."""
        return {head.log: head.origin for head in await self._ledger.heads()}


def _named_opening(
    salted: bytes | None, act: ActDigest, sealed: SealedOpening, erased: frozenset[str]
) -> NamedOpening:
    # Only a word in the gov log makes it an erasure: damage cannot pass for one (decision 0016).
    if salted is None:
        return NamedOpening(gone="erased" if sealed.dek in erased else "damaged")
    # That it decrypts shows who held the data key; the commitment shows that it is this leaf's.
    who = opened(salted, act)
    return NamedOpening(gone="damaged") if who is None else NamedOpening(who, "", salted)
