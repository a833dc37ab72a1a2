import pytest
from tests.unit.tlog.naive_tree import CT_LEAVES

from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.merkle import EMPTY_ROOT, TreeFrontier, leaf_hash, node_hash, root, row_above

CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(body) for body in CT_LEAVES]


@pytest.mark.parametrize("size", range(9))
def test_the_published_leaves_have_the_published_root(size):
    assert root(HASHES[:size]).hex() == CT_ROOTS[size]


@pytest.mark.parametrize("size", range(9))
def test_a_frontier_grown_leaf_by_leaf_has_the_published_root(size):
    frontier = TreeFrontier()
    for each in HASHES[:size]:
        frontier = frontier.extended([each])
    assert frontier.size == size
    assert frontier.root().hex() == CT_ROOTS[size]


def test_a_record_keeps_its_known_leaf_hash():
    assert (
        leaf_hash(b'{"t":"log.opened","v":1}').hex()
        == "cb760abc6b8dc4ced69c80a12d930778aa790f62bd5446badeffc30f4ecbff93"
    )


def test_a_leaf_is_never_taken_for_a_node():
    left, right = HASHES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


def test_the_empty_tree_has_the_hash_of_nothing():
    assert TreeFrontier().root() == root([]) == EMPTY_ROOT


def test_growing_leaves_the_old_frontier_as_it_was():
    old = TreeFrontier().extended(HASHES[:3])
    grown = old.extended(iter(HASHES[3:]))
    assert (old.size, old.root().hex()) == (3, CT_ROOTS[3])
    assert (grown.size, grown.root().hex()) == (8, CT_ROOTS[8])
    assert grown.edges == (grown.root(),)


def test_growing_by_nothing_changes_nothing():
    old = TreeFrontier().extended(HASHES[:5])
    assert old.extended([]) == old


@pytest.mark.parametrize(
    ("size", "edges"),
    [(0, (HASHES[0],)), (1, ()), (3, (HASHES[0],)), (-1, (HASHES[0],)), (1, (HASHES[0][:31],))],
)
def test_a_frontier_that_cannot_be_is_refused(size, edges):
    with pytest.raises(MalformedValue):
        TreeFrontier(size, edges)


@pytest.mark.parametrize("wrong", [b"", b"x" * 31, b"x" * 33])
def test_a_leaf_hash_of_the_wrong_length_is_refused(wrong):
    with pytest.raises(MalformedValue):
        TreeFrontier().extended([HASHES[0], wrong])


def test_a_row_of_odd_width_has_no_row_above():
    with pytest.raises(ValueError):
        row_above(HASHES[:3])
