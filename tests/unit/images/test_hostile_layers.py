"""What a hostile image says is never a place on this machine; what it takes is bounded."""

import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.images.layers_of import entry, keep, layer, link, store_in

from gatelodge.adapters.images import members
from gatelodge.core.errors import UpstreamUnreachable

pytestmark = pytest.mark.anyio

OUTSIDE = "outside of itself"
REFUSED: dict[str, tuple[bytes, str]] = {
    "an absolute path": (layer(entry("/etc/passwd", b"x")), OUTSIDE),
    "a path that climbs": (layer(entry("a/../../x", b"x")), OUTSIDE),
    "a hidden path that climbs": (layer(entry("a/.wh...", b"")), OUTSIDE),
    "a hard link that climbs": (layer(link("x", "../../etc/passwd", tarfile.LNKTYPE)), OUTSIDE),
    "a hard link to nothing": (layer(link("x", "nothing", tarfile.LNKTYPE)), "leads to nothing"),
    "an absolute hard link": (layer(link("x", "/etc/passwd", tarfile.LNKTYPE)), OUTSIDE),
    "a device": (layer(entry("sda", type=tarfile.BLKTYPE, devmajor=8)), "neither file"),
    "a terminal": (layer(entry("tty", type=tarfile.CHRTYPE, devmajor=5)), "neither file"),
    "a pipe": (layer(entry("pipe", type=tarfile.FIFOTYPE)), "neither file"),
    "a circle of links": (layer(link("a", "b"), link("b", "a"), entry("a/x", b"")), "circle"),
    "a file as a folder": (layer(entry("a", b""), entry("a/b", b"")), "stands where"),
    "a name with a control character": (layer(entry("a\x1bb", b"")), "no text"),
    "a name that is too long": (layer(entry("a" * 300, b"")), "too long"),
    "a path that is too deep": (layer(entry("a/" * 90 + "x", b"")), OUTSIDE),
    "no archive": (b"\1" * 2048, "cannot be read"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_layer_that_leads_out_is_refused(tmp_path: Path, what: str):
    hostile, why = REFUSED[what]
    image = keep(tmp_path, hostile)
    with pytest.raises(UpstreamUnreachable, match=why):
        await store_in(tmp_path).root(image)
    assert not list((tmp_path / "cache" / "images" / "roots").iterdir())


async def test_links_of_a_layer_are_followed_inside_the_image_only(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.mkdir()
    image = keep(
        tmp_path,
        layer(link("out", str(victim)), link("up", "../../../.."), entry("out/a", b"in")),
        layer(entry("up/b", b"in as well")),
    )
    root = await store_in(tmp_path).root(image)
    assert not list(victim.iterdir())
    assert (root / str(victim)[1:] / "a").read_bytes() == b"in"
    assert (root / "b").read_bytes() == b"in as well"


async def test_rights_and_writing_are_taken_away(tmp_path: Path):
    image = keep(tmp_path, layer(entry("su", b"x", mode=0o6777, uid=0), entry("d", mode=0o1777)))
    root = await store_in(tmp_path).root(image)
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o555
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o555


async def test_a_layer_hides_what_is_below_it_and_not_what_it_brings(tmp_path: Path):
    low = layer(entry("d/old", b""), entry("d/kept", b""), entry("e/old", b""))
    high = layer(entry("d/.wh.old", b""), entry("e/new", b""), entry("e/.wh..wh..opq", b""))
    root = await store_in(tmp_path).root(keep(tmp_path, low, high))
    assert {each.name for each in (root / "d").iterdir()} == {"kept"}
    assert {each.name for each in (root / "e").iterdir()} == {"new"}


@pytest.mark.parametrize(
    ("bound", "hostile"),
    [
        ("MOST_BYTES", lambda: layer(entry("zeros", bytes(3 << 20)))),
        ("MOST_MEMBERS", lambda: layer(*(entry(f"f{n}", b"") for n in range(64)))),
    ],
)
async def test_what_an_image_unpacks_to_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, hostile: Callable[[], bytes]
):
    monkeypatch.setattr(members, bound, {"MOST_BYTES": 1 << 20, "MOST_MEMBERS": 32}[bound])
    with pytest.raises(UpstreamUnreachable, match="than an image may have"):
        await store_in(tmp_path).root(keep(tmp_path, hostile()))


async def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path):
    huge = entry("x", bytes(2 << 20), type=tarfile.XHDTYPE)
    with pytest.raises(UpstreamUnreachable, match="header"):
        await store_in(tmp_path).root(keep(tmp_path, layer(huge)))
