import pytest
from tests.unit.tlog.naive_tree import CT_LEAVES, NaiveTree

from gatelodge.tlog.errors import MalformedValue, ProofFailed
from gatelodge.tlog.merkle import EMPTY_ROOT, leaf_hash
from gatelodge.tlog.proof import (
    consistency,
    inclusion,
    tile_reader,
    verify_consistency,
    verify_inclusion,
)

TREE = NaiveTree(CT_LEAVES)
HASHES = [leaf_hash(body) for body in CT_LEAVES]
ROOT = TREE.root(0, 8)

L0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
L1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
L4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
N01 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
N23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N0123 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
N4567 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"

INCLUSIONS = [
    (0, 1, []),
    (0, 8, [L1, N23, N4567]),
    (5, 8, [L4, N67, N0123]),
    (2, 3, [N01]),
    (4, 5, [N0123]),
]
CONSISTENCIES = [
    (0, 8, []),
    (1, 1, []),
    (1, 8, [L1, N23, N4567]),
    (6, 8, [N45, N67, N0123]),
    (2, 5, [N23, L4]),
    (4, 8, [N4567]),
]


def as_bytes(hashes):
    return [bytes.fromhex(each) for each in hashes]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSIONS)
def test_the_published_leaves_have_their_inclusion_proofs(index, size, path):
    made = inclusion(index, size, TREE.node)
    assert made == as_bytes(path)
    verify_inclusion(HASHES[index], index, size, made, TREE.root(0, size))


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCIES)
def test_the_published_trees_have_their_consistency_proofs(old, new, path):
    made = consistency(old, new, TREE.node)
    assert made == as_bytes(path)
    verify_consistency(old, TREE.root(0, old), new, TREE.root(0, new), made)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (9, 8), (-1, 8)])
def test_a_leaf_outside_the_tree_has_no_proof(index, size):
    with pytest.raises(ProofFailed):
        inclusion(index, size, TREE.node)
    with pytest.raises(ProofFailed):
        verify_inclusion(HASHES[0], index, size, [], ROOT)


@pytest.mark.parametrize(("old", "new"), [(8, 7), (-1, 8), (1, 0)])
def test_a_tree_never_begins_with_a_larger_one(old, new):
    with pytest.raises(ProofFailed):
        consistency(old, new, TREE.node)
    with pytest.raises(ProofFailed):
        verify_consistency(old, ROOT, new, ROOT, [])


@pytest.mark.parametrize("index", range(8))
def test_an_inclusion_proof_is_refused_when_a_hash_is_missing_added_or_moved(index):
    path = inclusion(index, 8, TREE.node)
    wrong = [path[1:], path[:-1], [*path, ROOT], [ROOT, *path], [], path[::-1]]
    for each in wrong:
        with pytest.raises(ProofFailed):
            verify_inclusion(HASHES[index], index, 8, each, ROOT)


@pytest.mark.parametrize("old", range(1, 8))
def test_a_consistency_proof_is_refused_when_a_hash_is_missing_or_added(old):
    path = consistency(old, 8, TREE.node)
    for each in [path[1:], path[:-1], [*path, ROOT], [ROOT, *path], []]:
        with pytest.raises(ProofFailed):
            verify_consistency(old, TREE.root(0, old), 8, ROOT, each)


def test_a_proof_for_one_place_shows_no_other():
    path = inclusion(5, 8, TREE.node)
    for index in set(range(8)) - {5}:
        with pytest.raises(ProofFailed):
            verify_inclusion(HASHES[5], index, 8, path, ROOT)


def test_from_the_empty_tree_only_the_empty_proof_and_root_pass():
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 8, ROOT, [])
    for old_root, new, new_root, path in [
        (ROOT, 8, ROOT, []),
        (EMPTY_ROOT, 8, ROOT, [ROOT]),
        (EMPTY_ROOT, 0, ROOT, []),
        (ROOT, 0, ROOT, []),
    ]:
        with pytest.raises(ProofFailed):
            verify_consistency(0, old_root, new, new_root, path)


def test_one_size_has_one_root_and_needs_no_proof():
    verify_consistency(8, ROOT, 8, ROOT, [])
    with pytest.raises(ProofFailed):
        verify_consistency(8, ROOT, 8, HASHES[0], [])
    with pytest.raises(ProofFailed):
        verify_consistency(8, ROOT, 8, ROOT, [ROOT])


@pytest.mark.parametrize("wrong", [b"", b"x" * 31, b"x" * 33])
def test_a_hash_of_the_wrong_length_fails_every_proof(wrong):
    path = inclusion(5, 8, TREE.node)
    step = consistency(6, 8, TREE.node)
    old_root = TREE.root(0, 6)
    for leaf, proof, root in [
        (wrong, path, ROOT),
        (HASHES[5], [wrong, *path[1:]], ROOT),
        (HASHES[5], path, wrong),
    ]:
        with pytest.raises(ProofFailed):
            verify_inclusion(leaf, 5, 8, proof, root)
    for old, new, proof in [
        (wrong, ROOT, step),
        (old_root, wrong, step),
        (old_root, ROOT, [wrong, *step[1:]]),
    ]:
        with pytest.raises(ProofFailed):
            verify_consistency(6, old, 8, new, proof)


def test_a_reader_gives_complete_subtrees_and_nothing_beyond_the_tree():
    node = tile_reader(lambda _level, _n: b"".join(HASHES), 7)
    assert node(0, 6) == HASHES[6]
    assert node(2, 0).hex() == N0123
    for level, index in [(0, 7), (1, 3), (3, 0), (8, 0), (-1, 0), (0, -1)]:
        with pytest.raises(ProofFailed):
            node(level, index)


def test_a_reader_refuses_a_tile_narrower_than_its_tree():
    node = tile_reader(lambda _level, _n: b"".join(HASHES[:6]), 7)
    with pytest.raises(MalformedValue):
        node(0, 0)


def test_a_reader_loads_each_tile_of_one_proof_once():
    asked = []

    def load(level, n):
        asked.append((level, n))
        return b"".join(HASHES)

    inclusion(5, 8, tile_reader(load, 8))
    assert asked == [(0, 0)]


def test_a_node_is_never_shown_as_a_leaf_by_a_shorter_path():
    verify_inclusion(HASHES[0], 0, 8, as_bytes([L1, N23, N4567]), ROOT)
    for node, path in [(ROOT, []), (bytes.fromhex(N0123), as_bytes([N4567]))]:
        with pytest.raises(ProofFailed):
            verify_inclusion(node, 0, 8, path, ROOT)


def test_a_smaller_tree_is_never_shown_as_a_larger_one_by_a_shorter_path():
    first, pair = TREE.root(0, 1), TREE.root(0, 2)
    verify_consistency(1, first, 2, pair, as_bytes([L1]))
    with pytest.raises(ProofFailed):
        verify_consistency(1, first, 8, pair, as_bytes([L1]))


def test_each_root_of_a_consistency_proof_is_compared():
    path = as_bytes([N45, N67, N0123])
    for old_root, new_root in [(ROOT, ROOT), (TREE.root(0, 6), TREE.root(0, 7))]:
        with pytest.raises(ProofFailed):
            verify_consistency(6, old_root, 8, new_root, path)


def test_a_byte_moved_over_the_border_of_two_hashes_fails_the_proof():
    left, right = bytes.fromhex(L0 + L1)[:33], bytes.fromhex(L1)[1:]
    pair = bytes.fromhex(N01)
    with pytest.raises(ProofFailed):
        verify_inclusion(left, 0, 2, [right], pair)
    with pytest.raises(ProofFailed):
        verify_consistency(1, left, 2, pair, [right])
