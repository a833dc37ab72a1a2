"""Tiles: the tree cut into pieces of 256 hashes, and the bundles of entries beside them.

Tile n of level L holds, for i in 0..255, the root of the 256^L leaves from (n*256+i)*256^L on.
Only full tiles have a hash on the level above. Source: C2SP tlog-tiles.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct

from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.merkle import row_above
from gatelodge.tlog.strict import HASH_BYTES, MAX_COUNT, checked_hash, parse_decimal

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_LEVEL = 63
MAX_BODY = 0xFFFF

LoadTile = Callable[[int, int], bytes]
"""Gives the concatenated hashes of tile (level, n), as wide as it is stored."""

_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})/(?P<n>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[0-9]{1,3}))?"
)
_LENGTH = Struct(">H")


@dataclass(frozen=True, slots=True)
class TilePath:
    """What a path names: a tile of hashes, or a bundle of entries when `level` is None."""

    level: int | None
    n: int
    width: int


@dataclass(frozen=True, slots=True)
class HashTile:
    """A tile at one moment: `hashes` are its 1 to 256 hashes, 32 bytes each, end to end."""

    level: int
    n: int
    hashes: bytes

    @property
    def width(self) -> int:
        """The number of hashes in the tile; below 256 the tile is partial."""
        return len(self.hashes) // HASH_BYTES

    @property
    def path(self) -> str:
        """The path under which exactly these bytes are served."""
        return tile_path(self.level, self.n, self.width)


def tile_path(level: int, n: int, width: int = WIDTH) -> str:
    """Return the path of a tile of hashes, partial when the width is below 256.

    Raises Malformed for a level outside 0..63, a negative n, or a width outside 1..256.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise MalformedValue("a tile's level lies between 0 and 63")
    return f"tile/{level}/{_path_of_tile_number(n, width)}"


def entries_path(n: int, width: int = WIDTH) -> str:
    """Return the path of a bundle of entries; raises Malformed as `tile_path` does."""
    return f"tile/entries/{_path_of_tile_number(n, width)}"


def parse_path(path: str) -> TilePath:
    """Return what a path names; raises Malformed unless it is spelled in the one right way."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise MalformedValue("not the path of a tile")
    level = None if match["level"] == "entries" else parse_decimal(match["level"])
    n = int(match["n"].replace("x", "").replace("/", ""))
    width = WIDTH if match["width"] is None else parse_decimal(match["width"])
    spelled = entries_path(n, width) if level is None else tile_path(level, n, width)
    # The pattern lets leading zeros and `.p/256` pass; one tile has one path, also in a cache.
    if spelled != path:
        raise MalformedValue("not the one spelling of a tile's path")
    return TilePath(level, n, width)


def pack_entries(bodies: Iterable[bytes]) -> bytes:
    """Return a bundle: each body behind its length, a big-endian 16-bit number.

    Raises Malformed when a body is longer than 65,535 bytes.
    """
    parts: list[bytes] = []
    for body in bodies:
        # The length has 16 bits: packed all the same, every later entry would be misread.
        if len(body) > MAX_BODY:
            raise MalformedValue("an entry is longer than 65535 bytes")
        parts += (_LENGTH.pack(len(body)), body)
    return b"".join(parts)


def unpack_entries(packed: bytes) -> list[bytes]:
    """Return the bodies of a bundle, in order; raises Malformed when it ends inside an entry.

    How many there must be is told by the bundle's path, so the caller compares.
    """
    bodies: list[bytes] = []
    start = 0
    while start < len(packed):
        end = start + _LENGTH.size
        if end <= len(packed):
            start, end = end, end + _LENGTH.unpack_from(packed, start)[0]
        # A bundle that was cut off is damage: shorter bodies must not pass for whole ones.
        if end > len(packed):
            raise MalformedValue("a bundle ends inside an entry")
        bodies.append(packed[start:end])
        start = end
    return bodies


def new_tiles(old_size: int, leaf_hashes: Iterable[bytes], load: LoadTile) -> list[HashTile]:
    """Return every tile that these leaves add or widen, lowest level and leftmost first.

    `load` is asked at most once a level, for the tile that was partial at `old_size`. A stored tile
    may be wider than that (a crash between writing tiles and moving the size leaves it so): only
    its first hashes count. What is loaded is not proven here; the caller compares the root.
    Raises Malformed when the loaded tile is too narrow or a leaf hash is not 32 bytes.
    """
    row = [checked_hash(each) for each in leaf_hashes]
    changed: list[HashTile] = []
    level, before = 0, old_size
    while row:
        first, filled = divmod(before, WIDTH)
        # Only the tile at the right edge can be partial; a full one is never written again.
        held = loaded_tile(load, level, first, filled) if filled else b""
        whole = held + b"".join(row)
        span = WIDTH * HASH_BYTES
        tiles = [
            HashTile(level, first + i, whole[i * span : (i + 1) * span])
            for i in range(-(-len(whole) // span))
        ]
        changed += tiles
        # A partial tile has no hash above it: its root changes with each leaf.
        row = [subtree_root(each.hashes) for each in tiles if each.width == WIDTH]
        level, before = level + 1, first
    return changed


def loaded_tile(load: LoadTile, level: int, n: int, width: int) -> bytes:
    """Return the first `width` hashes of a stored tile; raises Malformed if it has fewer."""
    hashes = load(level, n)
    # Wider than asked is what a crash leaves; narrower is damage.
    if len(hashes) < width * HASH_BYTES:
        raise MalformedValue("a stored tile is narrower than its tree asks")
    return hashes[: width * HASH_BYTES]


def subtree_root(hashes: bytes) -> bytes:
    """Return the root over a power of two of concatenated hashes."""
    row = [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]
    while len(row) > 1:
        row = row_above(row)
    return row[0]


def _path_of_tile_number(n: int, width: int) -> str:
    if not 0 <= n <= MAX_COUNT:
        raise MalformedValue("a tile's number lies between 0 and 2^63-1")
    if not 1 <= width <= WIDTH:
        raise MalformedValue("a tile's width lies between 1 and 256")
    digits = str(n)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *upper, last = (digits[i : i + 3] for i in range(0, len(digits), 3))
    partial = "" if width == WIDTH else f".p/{width}"
    return "".join(f"x{each}/" for each in upper) + last + partial
