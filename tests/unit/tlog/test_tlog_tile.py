import pytest
from tests.unit.tlog.naive_tree import bodies

from gatelodge.tlog.errors import MalformedValue
from gatelodge.tlog.merkle import leaf_hash, root
from gatelodge.tlog.tile import (
    HashTile,
    TilePath,
    entries_path,
    new_tiles,
    pack_entries,
    parse_path,
    subtree_root,
    tile_path,
    unpack_entries,
)

HASHES = [leaf_hash(body) for body in bodies(70_000)]


def shape(tiles):
    return [(each.level, each.n, each.width) for each in tiles]


def never(level, n):
    raise AssertionError(f"tile {level}/{n} need not be loaded")


PATHS = [
    ("tile/0/000", TilePath(0, 0, 256)),
    ("tile/0/001.p/5", TilePath(0, 1, 5)),
    ("tile/1/999", TilePath(1, 999, 256)),
    ("tile/0/x001/000", TilePath(0, 1000, 256)),
    ("tile/0/x001/x234/067", TilePath(0, 1_234_067, 256)),
    ("tile/63/x999/999.p/255", TilePath(63, 999_999, 255)),
    ("tile/entries/000.p/1", TilePath(None, 0, 1)),
    ("tile/entries/x001/x234/067", TilePath(None, 1_234_067, 256)),
    ("tile/0/x009/x223/x372/x036/x854/x775/807", TilePath(0, 2**63 - 1, 256)),
]


@pytest.mark.parametrize(("path", "meant"), PATHS)
def test_a_path_is_written_and_read_in_one_way(path, meant):
    assert parse_path(path) == meant
    if meant.level is None:
        assert entries_path(meant.n, meant.width) == path
    else:
        assert tile_path(meant.level, meant.n, meant.width) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000\n",
        "tile/0/../000",
        "tile/entries/0",
        "tile/data/000",
        "tile/0/٣٣٣",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
    ],
)
def test_any_other_spelling_of_a_path_is_refused(path):
    with pytest.raises(MalformedValue):
        parse_path(path)


@pytest.mark.parametrize(
    ("level", "n", "width"), [(-1, 0, 256), (64, 0, 256), (0, -1, 256), (0, 0, 0), (0, 0, 257)]
)
def test_a_tile_that_cannot_be_has_no_path(level, n, width):
    with pytest.raises(MalformedValue):
        tile_path(level, n, width)


def test_a_bundle_gives_its_entries_back():
    kept = [b"", b"one", b"\x00" * 65_535]
    packed = pack_entries(kept)
    assert packed[:7] == b"\x00\x00\x00\x03one"
    assert unpack_entries(packed) == kept
    assert unpack_entries(b"") == []


def test_an_entry_too_long_for_its_length_is_refused():
    with pytest.raises(MalformedValue):
        pack_entries([b"x" * 65_536])


@pytest.mark.parametrize("cut", [1, 4, 5])
def test_a_bundle_that_ends_inside_an_entry_is_refused(cut):
    whole = pack_entries([b"four", b"four"])
    with pytest.raises(MalformedValue):
        unpack_entries(whole[:-cut])


def test_no_leaves_make_no_tiles():
    assert new_tiles(1000, [], never) == []


def test_the_first_leaves_make_one_partial_tile():
    tiles = new_tiles(0, HASHES[:3], never)
    assert tiles == [HashTile(0, 0, b"".join(HASHES[:3]))]
    assert tiles[0].path == "tile/0/000.p/3"


def test_a_full_tile_puts_its_root_on_the_level_above():
    tiles = new_tiles(0, HASHES[:256], never)
    assert shape(tiles) == [(0, 0, 256), (1, 0, 1)]
    assert tiles[1].hashes == root(HASHES[:256]) == subtree_root(tiles[0].hashes)
    assert tiles[0].path == "tile/0/000"


def test_seventy_thousand_leaves_fall_into_the_tiles_of_the_specification():
    tiles = new_tiles(0, HASHES, never)
    assert [each.width for each in tiles if each.level == 0] == [256] * 273 + [112]
    assert [each.width for each in tiles if each.level == 1] == [256, 17]
    assert [each.width for each in tiles if each.level == 2] == [1]
    assert tiles[-1].hashes == root(HASHES[:65_536])


def test_growing_asks_only_for_the_partial_tiles_it_widens():
    asked = []
    stored = {(each.level, each.n): each.hashes for each in new_tiles(0, HASHES[:600], never)}

    def load(level, n):
        asked.append((level, n))
        return stored[level, n]

    tiles = new_tiles(600, HASHES[600:1100], load)
    assert asked == [(0, 2), (1, 0)]
    assert shape(tiles) == [(0, 2, 256), (0, 3, 256), (0, 4, 76), (1, 0, 4)]


def test_a_wider_tile_left_by_a_crash_counts_only_as_far_as_the_tree_had_grown():
    left_behind = b"".join(HASHES[:200])
    tiles = new_tiles(100, HASHES[100:300], lambda _level, _n: left_behind)
    assert tiles == new_tiles(0, HASHES[:300], never)


def test_a_stored_tile_narrower_than_the_tree_is_refused():
    with pytest.raises(MalformedValue):
        new_tiles(100, HASHES[100:101], lambda _level, _n: b"".join(HASHES[:99]))


def test_a_leaf_hash_of_the_wrong_length_makes_no_tile():
    with pytest.raises(MalformedValue):
        new_tiles(0, [HASHES[0], b"short"], never)
