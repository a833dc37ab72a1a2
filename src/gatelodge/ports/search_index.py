"""The index that searches of records use: derived from the logs, thrown away and made anew at will.

It says at which places a term may stand and nothing of what is there: whoever asks reads the leaves
in the log and believes those alone.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

Terms = frozenset[str]


class IndexReach(Struct, frozen=True):
    """How far the index of a log has got: it holds what stands below `position`.

    `root` is the root over those leaves, so that an index of another history is known as such. An
    index that was dropped and begun anew has another `id`.
    """

    id: int
    log: str
    origin: str
    position: int
    root: bytes


class EndedLater(Struct, frozen=True):
    """The end of a pair that an earlier chunk opened: its place, and how it is found by now."""

    place: int
    terms: tuple[str, ...]


class IndexedChunk(Struct, frozen=True, kw_only=True):
    """What one chunk adds to the index.

    `postings` are the places of each term and `ends` those of the openers' ends
    (`core.searching.places`). `opened` are the pairs left open, by id, with their places. `ended`
    are ends whose openers stand in no leaf of this chunk.
    """

    number: int
    postings: Mapping[str, bytes]
    ends: bytes
    opened: Mapping[str, int]
    ended: Mapping[str, EndedLater]
    root: bytes


class IndexWindow(Struct, frozen=True):
    """Which chunks hold places that every group of terms names, newest first, as bitmaps.

    All of those from `bottom` on are here.
    """

    bottom: int
    found: tuple[tuple[int, int], ...]


class SearchIndex(Protocol):
    """Postings by log, term and chunk. All raise StoreDown."""

    async def reaches(self) -> tuple[IndexReach, ...]:
        """How far each log's index has got."""
        ...

    async def make(self, log: str, origin: str) -> IndexReach:
        """Begin the index of a log; the one that was begun, if there is one."""
        ...

    async def append(self, reach: IndexReach, chunk: IndexedChunk) -> IndexReach:
        """Take up the next chunk, all of it or nothing. Raises Conflict: it is at another place."""
        ...

    async def window(
        self, reach: IndexReach, groups: Sequence[Terms], chunks: tuple[int, int], width: int
    ) -> IndexWindow | None:
        """The newest places within these chunks, first and last, where each group has a term.

        At most `width` chunks are looked at. None: that index is not there any more.
        """
        ...

    async def ends(self, reach: IndexReach, openers: Sequence[int]) -> Mapping[int, int]:
        """How many leaves behind these openers their ends stand, 0 = not yet; as far as known."""
        ...

    async def chunk(self, reach: IndexReach, chunk: int) -> Mapping[str, bytes]:
        """The postings of a chunk, as they are kept."""
        ...

    async def drop(self, reach: IndexReach) -> None:
        """Forget it: from now on it is not found; its rows go with `sweep`."""
        ...

    async def sweep(self, limit: int) -> int:
        """Remove so many rows of what was dropped; how many there were."""
        ...
