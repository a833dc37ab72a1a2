"""Inclusion and consistency: proofs made from stored nodes, and checked without them.

A node callable gives the hash of a complete subtree: `node(level, index)` covers the 2^level
leaves from index * 2^level on. Clauses are those of RFC 9162; RFC 6962 clause 2.1 says the same.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from gatelodge.tlog.errors import ProofFailed
from gatelodge.tlog.merkle import EMPTY_ROOT, joined, node_hash
from gatelodge.tlog.strict import HASH_BYTES
from gatelodge.tlog.tile import HEIGHT, WIDTH, LoadTile, loaded_tile, subtree_root

Node = Callable[[int, int], bytes]

_TILES_KEPT = 64
"""Half a megabyte: one proof crosses at most eight levels, two tiles in each."""


def inclusion(index: int, size: int, node: Node) -> list[bytes]:
    """Return the path that shows leaf `index` in the tree of `size`, its sibling first.

    Raises ProofFailed when the leaf is not in the tree (clause 2.1.3.1).
    """
    if not 0 <= index < size:
        raise ProofFailed("the index lies outside the tree")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_width(end - start)
        if index < middle:
            path.append(_hash_of_range(middle, end, node))
            end = middle
        else:
            path.append(_hash_of_range(start, middle, node))
            start = middle
    path.reverse()
    return path


def consistency(old: int, new: int, node: Node) -> list[bytes]:
    """Return the nodes that show the tree of `new` to begin with the tree of `old`.

    Empty when the sizes are equal or `old` is 0. Raises ProofFailed when `old` is the larger
    (clause 2.1.4.1).
    """
    if not 0 <= old <= new:
        raise ProofFailed("the old size lies outside the new tree")
    path: list[bytes] = []
    start, end = 0, new
    while old and end != old:
        middle = start + _left_width(end - start)
        if old <= middle:
            path.append(_hash_of_range(middle, end, node))
            end = middle
        else:
            path.append(_hash_of_range(start, middle, node))
            start = middle
    if start:
        # The old tree's last piece; when the old tree is one whole piece the verifier has it.
        path.append(_hash_of_range(start, end, node))
    path.reverse()
    return path


def tile_reader(load_tile: LoadTile, size: int) -> Node:
    """Return a node callable that reads the tree of `size` from its tiles.

    The reader keeps the last tiles it loaded, so make one for each tree. Tiles are believed:
    check what is made of them. The callable raises ProofFailed for a subtree that is not complete
    in the tree, and Malformed for a stored tile that is too narrow.
    """

    @lru_cache(maxsize=_TILES_KEPT)
    def tile(level: int, n: int) -> bytes:
        # A stored tile may be wider than this tree: only what the tree had counts.
        width = min(WIDTH, (size >> (HEIGHT * level)) - n * WIDTH)
        return loaded_tile(load_tile, level, n, width)

    def node(level: int, index: int) -> bytes:
        # The hash of a subtree that still grows is in no proof: it would be another one tomorrow.
        if level < 0 or index < 0 or (index + 1) << level > size:
            raise ProofFailed("the subtree is not complete in the tree")
        tile_level, inner = divmod(level, HEIGHT)
        n, first = divmod(index << inner, WIDTH)
        hashes = tile(tile_level, n)
        return subtree_root(hashes[first * HASH_BYTES : (first + (1 << inner)) * HASH_BYTES])

    return node


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Return if the leaf stands at `index` under the root of the tree of `size`.

    Raises ProofFailed otherwise (clause 2.1.3.2).
    """
    if not 0 <= index < size:
        raise ProofFailed("the index lies outside the tree")
    # Else bytes moved from one hash to its neighbour would hash to the same node.
    _check_hashes((leaf_hash, root, *proof))
    at, last, top = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise ProofFailed("the inclusion proof is too long")
        if at & 1 or at == last:
            top = node_hash(sibling, top)
            climb = _trailing_zeros(at)  # levels at which the right edge has no sibling
            at, last = at >> climb, last >> climb
        else:
            top = node_hash(top, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofFailed("the inclusion proof is too short")
    # Compared last: a path of the wrong length is refused even where it leads to this root.
    if top != root:
        raise ProofFailed("the inclusion proof leads to another root")


def verify_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the tree of `new` begins with the tree of `old`, leaf for leaf.

    The empty tree begins every tree: from size 0 only the empty proof and the empty root pass.
    Raises ProofFailed otherwise (clause 2.1.4.2).
    """
    if not 0 <= old <= new:
        raise ProofFailed("the old size lies outside the new tree")
    _check_hashes((old_root, new_root, *proof))
    # No hash is compared with it otherwise: every tree begins with the empty one.
    if old == 0 and old_root != EMPTY_ROOT:
        raise ProofFailed("a tree without leaves has another root")
    if old in (0, new):
        _check_without_proof(old, old_root, new, new_root, proof)
        return
    whole = old & (old - 1) == 0  # then the old tree is one piece, and its root the first node
    path = (old_root, *proof) if whole else tuple(proof)
    if not path:
        raise ProofFailed("the consistency proof is too short")
    climb = _trailing_zeros(old)
    at, last = (old - 1) >> climb, (new - 1) >> climb
    old_top = new_top = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofFailed("the consistency proof is too long")
        if at & 1 or at == last:
            old_top = node_hash(sibling, old_top)
            new_top = node_hash(sibling, new_top)
            climb = _trailing_zeros(at)
            at, last = at >> climb, last >> climb
        else:
            new_top = node_hash(new_top, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofFailed("the consistency proof is too short")
    # Both: a proof that leads to the new root alone says nothing of the old tree.
    if old_top != old_root or new_top != new_root:
        raise ProofFailed("the consistency proof leads to another root")


def _check_without_proof(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    if proof:
        raise ProofFailed("the consistency proof is too long")
    # The mark of a log that forked: one size, and two trees under it.
    if old == new and old_root != new_root:
        raise ProofFailed("two roots are claimed for one size")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofFailed("a hash is not 32 bytes long")


def _left_width(width: int) -> int:
    """Return the leaves of the left child: the largest power of two below the width."""
    return 1 << ((width - 1).bit_length() - 1)


def _trailing_zeros(number: int) -> int:
    """Return the zero bits below the lowest set bit of a number above 0."""
    return (number & -number).bit_length() - 1


def _hash_of_range(start: int, end: int, node: Node) -> bytes:
    """Return the hash over [start, end), where start is a multiple of a power of two >= its width.

    The range falls into complete subtrees, one for each set bit of its width, largest first.
    """
    pieces: list[bytes] = []
    while start < end:
        level = (end - start).bit_length() - 1
        pieces.append(node(level, start >> level))
        start += 1 << level
    return joined(pieces)
