"""The Merkle tree: hashes of leaves and nodes, roots, and the right edge that grows.

Words as in RFC 9162 clause 2.1 (the same tree as RFC 6962). Leaves and nodes are hashed under
different first bytes, so that no node can be shown as a leaf.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.strict import HASH_BYTES

EMPTY_ROOT: bytes = sha256(b"").digest()
"""The root of the tree without leaves (RFC 9162 clause 2.1.1)."""


def leaf_hash(body: bytes) -> bytes:
    """Return the hash under which these leaf bytes stand in the tree."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two hashes."""
    return sha256(b"\x01" + left + right).digest()


def row_above(row: Iterable[bytes]) -> list[bytes]:
    """Return the nodes above an even number of neighbouring hashes.

    Written out in one expression: a growing log spends most of its time here.
    """
    pairs = iter(row)
    # Without `strict` the last hash of an odd row would be lost in silence.
    return [
        sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)
    ]


def joined(subtrees: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees, largest and leftmost first; empty root for none."""
    if not subtrees:
        return EMPTY_ROOT
    *lefts, top = subtrees
    # RFC 9162 clause 2.1.1 splits at the largest power of two: all smaller trees stand to the
    # right, so they are joined from there.
    for left in reversed(lefts):
        top = node_hash(left, top)
    return top


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes, in linear time."""
    return TreeFrontier().extended(hashes).root()


@dataclass(frozen=True, slots=True)
class TreeFrontier:
    """The right edge of a tree: all that is needed to grow it and to name its root.

    `edges` are the roots of the complete subtrees that the tree of `size` leaves falls into, one
    for each set bit of `size`, largest and leftmost first. Raises Malformed when they cannot be.
    """

    size: int = 0
    edges: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.edges) != self.size.bit_count():
            raise MalformedValue("a frontier has one edge for each set bit of its size")
        _check_row(self.edges)

    def extended(self, leaf_hashes: Iterable[bytes]) -> "TreeFrontier":
        """Return the frontier after these leaves; this one stays as it was.

        An addition with carry, a whole row at a time: an edge waiting at a level joins the row
        from its left, and a hash left over at the right becomes the edge of that level.
        Raises Malformed when a leaf hash is not 32 bytes.
        """
        row = list(leaf_hashes)
        _check_row(row)
        size = self.size + len(row)
        waiting = list(self.edges)
        grown: list[bytes] = []
        level = self.size
        while row:
            if level & 1:
                row.insert(0, waiting.pop())
            if len(row) & 1:
                grown.append(row.pop())
            row = row_above(row)
            level >>= 1
        return TreeFrontier(size, (*waiting, *reversed(grown)))

    def root(self) -> bytes:
        """Return the root of the tree that ends at this edge."""
        return joined(self.edges)


def _check_row(row: Sequence[bytes]) -> None:
    # Two hashes of other lengths could be the same bytes as another pair, and hash alike.
    if not set(map(len, row)) <= {HASH_BYTES}:
        raise MalformedValue("a hash is not 32 bytes long")
