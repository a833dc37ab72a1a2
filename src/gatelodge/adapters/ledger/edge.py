"""The right edge of a log: all that has to be known to append to it, and the rows that this makes.

Pure arithmetic over bytes. Appending reads nothing but the edge, so a ledger that keeps it in
memory appends without a question to the database, and can do the hashing in small pieces.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from msgspec import Struct

from gatelodge.core.errors import LogForked
from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.merkle import joined
from gatelodge.tlog.strict import HASH_BYTES
from gatelodge.tlog.tile import HEIGHT, WIDTH, new_tiles, pack_entries, subtree_root

_AT = b'"at":"'
_AT_END = len(_AT) + len("2026-11-22T15:04:05.000123Z")

Row = dict[str, Any]


class PartialBundle(Struct, frozen=True):
    """A bundle that is not full: what it holds so far, packed, and its first and last time."""

    width: int = 0
    entries: bytes = b""
    openings: bytes = b""
    first_at: str = ""
    last_at: str = ""


class RightEdge(Struct, frozen=True):
    """A log's end: its size, its partial tiles by level, its partial bundle, and its origin."""

    size: int
    tiles: dict[int, bytes]
    bundle: PartialBundle
    origin: str = ""

    @property
    def root(self) -> bytes:
        """The root over the whole log: the partial tiles fall into its last complete subtrees."""
        edges: list[bytes] = []
        for level in range(-(-self.size.bit_length() // HEIGHT) - 1, -1, -1):
            hashes = self.tiles.get(level, b"")
            filled = (self.size >> (HEIGHT * level)) % WIDTH
            start = 0
            for bit in range(HEIGHT - 1, -1, -1):
                if filled >> bit & 1:
                    end = start + (HASH_BYTES << bit)
                    edges.append(subtree_root(hashes[start:end]))
                    start = end
        return joined(edges)


class PendingAppend:
    """A log on its way to a larger size; `take` leaves, then write the rows in one transaction."""

    def __init__(self, log: str, edge: RightEdge) -> None:
        self.log = log
        self.first = edge.size
        self._origin = edge.origin
        self._size = edge.size
        self._partial = dict(edge.tiles)
        self._bundle = edge.bundle
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._bundles: dict[int, PartialBundle] = {}

    def take(self, bodies: Sequence[bytes], openings: Sequence[bytes] | None = None) -> None:
        """Take up the next leaves; `openings` are packed SealedOpenings, empty for none.

        Raises Malformed (a leaf of more than 65,535 bytes; the growth is then useless) and
        LogForked (the edge's tiles do not belong to its size).
        """
        first = self._size
        # The zero byte keeps a leaf from passing for a node of the tree (RFC 9162, 2.1.1).
        hashes = [sha256(b"\x00" + body).digest() for body in bodies]
        try:
            tiles = new_tiles(first, hashes, lambda level, _: self._partial.get(level, b""))
        except MalformedValue as fault:
            # The tiles come from the database: what does not fit was changed there.
            raise LogForked(f"the stored tree of {self.log} does not fit its head") from fault
        self._size += len(hashes)
        for tile in tiles:
            self._tiles[tile.level, tile.n] = tile.hashes
            self._partial[tile.level] = b"" if tile.width == WIDTH else tile.hashes
        done = 0
        while done < len(bodies):
            n, filled = divmod(first + done, WIDTH)
            part = bodies[done : done + WIDTH - filled]
            # An empty place for each leaf without one: both lists are read by one index.
            sealed = openings[done : done + len(part)] if openings else [b""] * len(part)
            self._bundles[n] = widened = _widened_bundle(self._bundle, part, sealed)
            self._bundle = PartialBundle() if widened.width == WIDTH else widened
            done += len(part)

    @property
    def edge(self) -> RightEdge:
        """The log's end after what was taken."""
        return RightEdge(self._size, self._partial, self._bundle, self._origin)

    @property
    def tiles(self) -> list[Row]:
        """The rows of the tiles that are new or wider."""
        return [
            {
                "log": self.log,
                "level": level,
                "n": n,
                "width": len(hashes) // HASH_BYTES,
                "hashes": hashes,
            }
            for (level, n), hashes in self._tiles.items()
        ]

    @property
    def bundles(self) -> list[Row]:
        """The rows of the bundles that are new or wider."""
        return [
            {
                "log": self.log,
                "n": n,
                "width": each.width,
                "first_at": each.first_at,
                "last_at": each.last_at,
                "entries": each.entries,
                "openings": each.openings,
            }
            for n, each in self._bundles.items()
        ]


def _widened_bundle(
    held: PartialBundle, bodies: Sequence[bytes], openings: Sequence[bytes]
) -> PartialBundle:
    # All of them: clocks jump, so the first and the last leaf need not be the earliest and latest.
    times = list(map(_time_of_leaf, bodies))
    first_at, last_at = min(times).decode("ascii", "replace"), max(times).decode("ascii", "replace")
    return PartialBundle(
        width=held.width + len(bodies),
        entries=held.entries + pack_entries(bodies),
        openings=held.openings + pack_entries(openings),
        first_at=min(held.first_at, first_at) if held.width else first_at,
        last_at=max(held.last_at, last_at),
    )


def _time_of_leaf(body: bytes) -> bytes:
    """The leaf's time, cut out of its bytes: nothing before that key can hold a bare quote."""
    start = body.find(_AT)
    return body[start + len(_AT) : start + _AT_END] if start >= 0 else b""
