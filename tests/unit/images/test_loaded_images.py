"""Images that others made are taken as they are, and are what their digests say."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.unit.images.layers_of import entry, keep, layer, store_in

from gatelodge.adapters.images import manifest as form
from gatelodge.core.errors import Invalid, UpstreamUnreachable

pytestmark = pytest.mark.anyio


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, octets in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(octets)
            archive.addfile(info, io.BytesIO(octets))
    return path


def docker_archive(path: Path, plain: bytes, **more: bytes) -> Path:
    import hashlib

    config = {
        "architecture": form.machine_name(),
        "os": "linux",
        "config": {"Entrypoint": ["/serve"], "Cmd": ["now"], "Env": ["A=1"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
    }
    loads = [{"Config": "c.json", "RepoTags": None, "Layers": ["one/layer.tar"]}]
    files = {
        "c.json": json.dumps(config).encode(),
        "one/layer.tar": plain,
        "manifest.json": json.dumps(loads).encode(),
    }
    return archive_of(path, files | more)


async def test_an_archive_of_this_gate_is_the_same_image_in_another_one(tmp_path: Path):
    ours, theirs = store_in(tmp_path / "1"), store_in(tmp_path / "2")
    image = keep(tmp_path / "1", layer(entry("a", b"content")))
    kept = await theirs.load(await ours.archive(image), "oci:/a.tar", "oci:/a.tar")
    assert (kept.image, kept.source) == (image, "oci:/a.tar")
    assert ((await theirs.root(image)) / "a").read_bytes() == b"content"
    assert (await theirs.config(image)).source == "oci:/a.tar"


async def test_a_layout_that_is_a_folder_is_taken_too(tmp_path: Path):
    image = keep(tmp_path / "1", layer(entry("a", b"content")))
    theirs = store_in(tmp_path / "2")
    kept = await theirs.load(tmp_path / "1" / "images", "oci:/a", "oci:/a")
    assert kept.image == image


async def test_what_docker_saved_gets_a_manifest_that_is_always_the_same(tmp_path: Path):
    path = docker_archive(tmp_path / "saved.tar", layer(entry("serve", b"#!", mode=0o755)))
    first = await store_in(tmp_path / "1").load(path, "oci:/s", "oci:/s")
    store = store_in(tmp_path / "2")
    assert (await store.load(path, "oci:/s", "oci:/s")).image == first.image
    assert (await store.config(first.image)).command == ("/serve", "now")
    assert ((await store.root(first.image)) / "serve").stat().st_mode & 0o777 == 0o555


@pytest.mark.parametrize("what", ["layer", "nothing", "no image", "a link out"])
async def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, what: str):
    store, path = store_in(tmp_path / "2"), tmp_path / "file.tar"
    if what == "layer":
        image = keep(tmp_path / "1", layer(entry("a", b"content")))
        blobs = tmp_path / "1" / "images" / "blobs" / "sha256"
        manifest = json.loads((blobs / image[7:]).read_text())
        (blobs / manifest["layers"][0]["digest"][7:]).write_bytes(b"another")
        path = tmp_path / "1" / "images"
    elif what == "no image":
        archive_of(path, {"a": b""})
    elif what == "a link out":
        with tarfile.open(path, "w") as archive:
            archive.addfile(entry("manifest.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")[0])
    with pytest.raises(Invalid):
        await store.load(path, "oci:/s", "oci:/s")


@pytest.mark.parametrize("at", [("linux", "s390x"), ("windows", form.machine_name())])
async def test_an_image_for_another_machine_is_refused(tmp_path: Path, at: tuple[str, str]):
    other = form.ImageConfiguration(
        os=at[0], architecture=at[1], rootfs=form.LayerChain(diff_ids=())
    )
    keep(tmp_path / "1", configuration=form.encode_document(other))
    with pytest.raises(Invalid, match=f"is for {at[0]} on {at[1]}, and this machine is linux on"):
        await store_in(tmp_path / "2").load(tmp_path / "1" / "images", "oci:/s", "oci:/s")


@pytest.mark.parametrize("what", ["chain", "configuration"])
async def test_an_image_that_cannot_be_read_is_not_kept_and_hides_no_other(
    tmp_path: Path, what: str
):
    broken = {"architecture": form.machine_name(), "rootfs": {"type": "layers", "diff_ids": []}}
    loads = [{"Config": "c.json", "Layers": ["one/layer.tar"]}]
    files = {"c.json": json.dumps(broken).encode(), "one/layer.tar": layer(entry("a", b""))}
    files["manifest.json"] = json.dumps(loads).encode()
    path, store = archive_of(tmp_path / "bad.tar", files), store_in(tmp_path / "2")
    if what == "configuration":
        keep(tmp_path / "1", layer(entry("a", b"")), configuration=b"[]")
        path = tmp_path / "1" / "images"
    good = keep(tmp_path / "2", layer(entry("a", b"content")))
    with pytest.raises((Invalid, UpstreamUnreachable)):
        await store.load(path, "oci:/bad.tar", "oci:/bad.tar")
    assert [each.image for each in await store.images()] == [good]


async def test_an_image_of_others_cannot_say_that_it_was_built_of_a_package(tmp_path: Path):
    lie = {form.SOURCE: "pypi:trusted@1", form.WISH: "pypi:trusted@1"}
    keep(tmp_path / "1", layer(entry("a", b"")), annotations=lie)
    store = store_in(tmp_path / "2")
    kept = await store.load(tmp_path / "1" / "images", "oci:/s", "oci:/s")
    assert (kept.source, kept.wish) == ("oci:/s", "oci:/s")
    assert (await store.config(kept.image)).source == "oci:/s"


@pytest.mark.parametrize("named", ["sha256:/dev/zero", "sha256:../../index.json"])
async def test_a_bill_of_an_image_of_others_is_no_way_to_files_of_this_machine(
    tmp_path: Path, named: str
):
    keep(tmp_path / "1", layer(entry("a", b"")), annotations={form.SBOM: named})
    store = store_in(tmp_path / "2")
    kept = await store.load(tmp_path / "1" / "images", "oci:/s", "oci:/s")
    assert kept.sbom == ""
    assert await store.materials(kept.image) == ()
    with pytest.raises(UpstreamUnreachable):
        await store.document("sha256:/dev/zero")
