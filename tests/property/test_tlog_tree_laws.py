import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tlog.naive_tree import NaiveTree, bodies

from gatelodge.tlog.errors import ProofFailed
from gatelodge.tlog.merkle import TreeFrontier, leaf_hash, root
from gatelodge.tlog.proof import (
    consistency,
    inclusion,
    tile_reader,
    verify_consistency,
    verify_inclusion,
)
from gatelodge.tlog.tile import HashTile, new_tiles, parse_path

ALL = 300
BODIES = bodies(2_000)
TREE = NaiveTree(BODIES)
HASHES = [leaf_hash(body) for body in BODIES]
WIDE = 66_100  # a second hash on level 1's second tile, and a first on level 2
half = settings(max_examples=settings().max_examples // 2)


@pytest.mark.slow
def test_every_leaf_of_every_tree_up_to_300_is_shown_as_the_naive_tree_shows_it():
    for size in range(1, ALL + 1):
        top = TREE.root(0, size)
        for index in range(size):
            path = inclusion(index, size, TREE.node)
            assert path == TREE.path(index, 0, size)
            verify_inclusion(HASHES[index], index, size, path, top)


@pytest.mark.slow
def test_every_tree_up_to_300_is_shown_to_begin_with_every_smaller_one():
    for new in range(ALL + 1):
        top = TREE.root(0, new)
        for old in range(new + 1):
            path = consistency(old, new, TREE.node)
            assert path == (TREE.subproof(old, 0, new, True) if old else [])
            verify_consistency(old, TREE.root(0, old), new, top, path)


def test_the_root_of_every_tree_up_to_300_is_the_naive_root():
    frontier = TreeFrontier()
    for size in range(ALL + 1):
        assert frontier.root() == root(HASHES[:size]) == TREE.root(0, size)
        frontier = frontier.extended(HASHES[size : size + 1])


@half
@given(st.lists(st.integers(0, 400), max_size=5))
def test_a_frontier_grown_in_any_steps_is_the_one_grown_at_once(steps):
    grown = TreeFrontier()
    for step in steps:
        grown = grown.extended(HASHES[grown.size : grown.size + step])
    assert grown == TreeFrontier().extended(HASHES[: sum(steps)])
    assert grown.root() == TREE.root(0, sum(steps))


class Shelf:
    """Tiles under their paths, partial ones kept beside the full, as a log serves them."""

    def __init__(self, hashes: list[bytes]) -> None:
        self.hashes = hashes
        self.size = 0
        self.tiles: dict[str, HashTile] = {}
        self.widest: dict[tuple[int, int], bytes] = {}

    def load(self, level: int, n: int) -> bytes:
        return self.widest[level, n]

    def grow(self, by: int) -> None:
        added = self.hashes[self.size : self.size + by]
        for each in new_tiles(self.size, added, self.load):
            assert each.path not in self.tiles, "a path is never written twice"
            self.tiles[each.path] = each
            self.widest[each.level, each.n] = each.hashes
        self.size += len(added)


@half
@given(st.lists(st.integers(1, 600), min_size=1, max_size=3), st.data())
def test_tiles_grown_in_any_steps_serve_every_proof_of_every_size_they_passed(steps, data):
    shelf = Shelf(HASHES)
    for step in steps:
        shelf.grow(step)
    size = data.draw(st.integers(1, shelf.size))
    node = tile_reader(shelf.load, size)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    top = TREE.root(0, size)
    verify_inclusion(HASHES[index], index, size, inclusion(index, size, node), top)
    verify_consistency(old, TREE.root(0, old), size, top, consistency(old, size, node))
    assert inclusion(index, size, node) == TREE.path(index, 0, size)


@half
@given(st.lists(st.integers(1, 600), min_size=1, max_size=3))
def test_tiles_grown_in_any_steps_are_those_grown_at_once(steps):
    stepped, at_once = Shelf(HASHES), Shelf(HASHES)
    for step in steps:
        stepped.grow(step)
    at_once.grow(stepped.size)
    assert stepped.widest == at_once.widest
    assert at_once.tiles.items() <= stepped.tiles.items()
    for path, each in stepped.tiles.items():
        named = parse_path(path)
        assert (named.level, named.n, named.width) == (each.level, each.n, each.width)


def test_the_tiles_of_three_levels_reproduce_the_root_and_serve_proofs():
    hashes = [leaf_hash(body) for body in bodies(WIDE)]
    shelf = Shelf(hashes)
    for step in (65_535, 2, WIDE):
        shelf.grow(step)
    assert {level for level, _ in shelf.widest} == {0, 1, 2}
    top = root(hashes)
    node = tile_reader(shelf.load, WIDE)
    for index in (0, 255, 256, 65_535, 65_536, 65_800, WIDE - 1):
        verify_inclusion(hashes[index], index, WIDE, inclusion(index, WIDE, node), top)
    for old in (1, 256, 300, 65_536, 65_537, WIDE - 1, WIDE):
        path = consistency(old, WIDE, node)
        verify_consistency(old, root(hashes[:old]), WIDE, top, path)


def flipped(octets: bytes, bit: int) -> bytes:
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def refused(check, *claim) -> None:
    with pytest.raises(ProofFailed):
        check(*claim)


@half
@given(st.data())
def test_one_flipped_bit_anywhere_fails_an_inclusion_proof(data):
    size = data.draw(st.integers(1, ALL))
    index = data.draw(st.integers(0, size - 1))
    bit = data.draw(st.integers(0, 255))
    leaf, top = HASHES[index], TREE.root(0, size)
    path = inclusion(index, size, TREE.node)
    verify_inclusion(leaf, index, size, path, top)
    refused(verify_inclusion, flipped(leaf, bit), index, size, path, top)
    refused(verify_inclusion, leaf, index, size, path, flipped(top, bit))
    for at, each in enumerate(path):
        changed = [*path[:at], flipped(each, bit), *path[at + 1 :]]
        refused(verify_inclusion, leaf, index, size, changed, top)


@half
@given(st.data())
def test_one_flipped_bit_anywhere_fails_a_consistency_proof(data):
    new = data.draw(st.integers(1, ALL))
    old = data.draw(st.integers(1, new))
    bit = data.draw(st.integers(0, 255))
    before, after = TREE.root(0, old), TREE.root(0, new)
    path = consistency(old, new, TREE.node)
    verify_consistency(old, before, new, after, path)
    refused(verify_consistency, old, flipped(before, bit), new, after, path)
    refused(verify_consistency, old, before, new, flipped(after, bit), path)
    for at, each in enumerate(path):
        changed = [*path[:at], flipped(each, bit), *path[at + 1 :]]
        refused(verify_consistency, old, before, new, after, changed)


def test_every_single_bit_of_one_proof_counts():
    path, top = inclusion(211, ALL, TREE.node), TREE.root(0, ALL)
    whole = b"".join([HASHES[211], *path, top])
    for bit in range(len(whole) * 8):
        claim = flipped(whole, bit)
        leaf, *changed, end = (claim[i : i + 32] for i in range(0, len(claim), 32))
        refused(verify_inclusion, leaf, 211, ALL, changed, end)


hashes = st.binary(min_size=32, max_size=32)
counts = st.integers(-1, 2**63)


@half
@given(hashes, counts, counts, st.lists(st.binary(max_size=33) | hashes, max_size=70), hashes)
def test_a_made_up_proof_fails_and_breaks_nothing(first, small, large, path, top):
    refused(verify_inclusion, first, small, large, path, top)
    if (small, first) != (large, top):
        refused(verify_consistency, small, first, large, top, path)
