"""Where records that match a question may stand, newest first, as the index has it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gatelodge.core.records.leaves import CLOSES, OPENS
from gatelodge.core.searching.places import CHUNK, falling_places
from gatelodge.flows.audit.reading import Fields, LogReading, fields, pair_of
from gatelodge.ports.journal import LeafAt, Ledger
from gatelodge.ports.search_index import IndexReach, SearchIndex, Terms

_FIRST_WIDTH: Final = 4
_WIDEST: Final = 256
_ROWS: Final = 1_024
"""Rows of the index that one look reads."""
_BUNDLE: Final = 256
_AT_ONCE: Final = 32
"""Places whose leaves are read together: each may bring the whole of its bundle along."""
_FEW: Final = 8


class PlacesFound(Struct, frozen=True):
    """Places that may match, newest first: all of those from `bottom` on."""

    places: tuple[int, ...]
    bottom: int


class IndexLookup:
    """One question to the index of one log, asked a window at a time."""

    def __init__(
        self, index: SearchIndex, reach: IndexReach, groups: Sequence[Terms], span: tuple[int, int]
    ) -> None:
        self._index, self._reach, self._groups = index, reach, groups
        self._low, self._high = span
        self._width = _FIRST_WIDTH
        most = max(1, _ROWS // max(1, sum(map(len, groups))))
        self._most = min(_WIDEST, most)

    async def next(self) -> PlacesFound | None:
        """What is found in the next window; None when the index is not there any more."""
        chunks = (self._low // CHUNK, (self._high - 1) // CHUNK)
        width = min(self._width, self._most)
        window = await self._index.window(self._reach, self._groups, chunks, width)
        if window is None:
            return None
        places = tuple(
            place
            for chunk, bits in window.found
            for offset in falling_places(bits)
            if self._low <= (place := chunk * CHUNK + offset) < self._high
        )
        # Few were found so far: the next look may go further back at once.
        self._width *= 4
        self._high = max(self._low, window.bottom * CHUNK)
        return PlacesFound(places, self._high)


class IndexedLeaves:
    """Leaves at single places and their ends; `read` counts the leaves that were read for them.

    The ends that the index names are looked at in the log: it may be wrong, and then is not used.
    """

    def __init__(
        self, ledger: Ledger, index: SearchIndex, reach: IndexReach, open_floor: int
    ) -> None:
        self._ledger, self._index, self._reach = ledger, index, reach
        self._floor = open_floor
        self._reading = LogReading(ledger)
        self.read = 0
        self._behind: Mapping[int, int] = {}
        self._closing: dict[int, Fields] = {}

    async def at(self, places: Sequence[int]) -> list[LeafAt]:
        """The leaves at these places, as far as they are there; in the order of the log.

        Their ends are read with them: mostly they stand in the same bundle.
        """
        self._behind = await self._index.ends(self._reach, places)
        ends = [index + far for index, far in self._behind.items() if far]
        every = {*places, *ends}
        self.read += _BUNDLE * len({place // _BUNDLE for place in every})
        read = await self._ledger.leaves_at(self._reach.log, sorted(every))
        wanted, closing = {*places}, {*ends}
        self._closing = {leaf.index: fields(leaf) for leaf in read if leaf.index in closing}
        return [leaf for leaf in read if leaf.index in wanted]

    async def ends_of(
        self, openers: Sequence[tuple[int, Fields]]
    ) -> list[tuple[int, Fields] | None]:
        """The place and fields of what closed each of these, as `at` read them; None: nothing."""
        found: list[tuple[int, Fields] | None] = []
        for index, here in openers:
            if here.get("t") not in OPENS:
                found.append(None)
                continue
            at = index + self._behind.get(index, 0)
            end = self._closing.get(at, {})
            if end.get("t") in CLOSES and pair_of(end) == pair_of(here):
                found.append((at, end))
            else:
                found.append(await self._look_for_end(index, here, self._behind.get(index)))
        return found

    async def _look_for_end(
        self, index: int, here: Fields, behind: int | None
    ) -> tuple[int, Fields] | None:
        # What was open when the index got there can have ended behind it only. Below the open floor
        # everything has ended, so there the index is wrong, or behind the log.
        open_then = behind == 0 and index >= self._floor
        start = self._reach.position if open_then else index + 1
        pair = (OPENS[str(here.get("t"))], pair_of(here))
        look = await self._reading.look_for_closer(self._reach.log, pair, start)
        self.read += look.read
        return None if look.closer is None else (look.closer.index, fields(look.closer))


def portions_of(places: Sequence[int], wanted: int) -> Iterator[list[int]]:
    """The places as they come, as many at a time as are wanted, up to what is read at once."""
    size = min(_AT_ONCE, max(_FEW, wanted))
    for start in range(0, len(places), size):
        yield [*places[start : start + size]]
