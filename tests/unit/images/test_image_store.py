"""An image is what its digest says, on the disk and unpacked, or it is not used."""

import asyncio
import json
import os
import tarfile
import threading
from pathlib import Path

import pytest
from tests.unit.images.layers_of import entry, keep, layer, store_in

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.materials import ImageMaterial, changed_materials
from gatelodge.ports.images import ImageRecipe, KeptImage

pytestmark = pytest.mark.anyio

ONE = ImageMaterial(name="one", version="1", purl="pkg:pypi/one@1", digests=("sha256:" + "a" * 64,))


async def _no_compiler(directory: Path, named: str) -> None:
    """There is nothing to compile."""


async def _built(directory: Path, content: str = "print(1)") -> KeptImage:
    app = directory / "app"
    app.mkdir(parents=True)
    (app / "main.py").write_text(content)
    (app / "link").symlink_to("main.py")
    os.utime(app / "main.py", (1, 1))
    recipe = ImageRecipe(
        source="pypi:one@1",
        wish="pypi:one@1",
        runtimes=(),
        folder=app,
        command=("/bin/one",),
        env={"B": "2", "A": "1"},
        lock=b"one==1\n",
        materials=(ONE,),
    )
    return await store_in(directory).build(recipe, _no_compiler)


async def test_the_same_files_give_the_same_image(tmp_path: Path):
    first, second = await _built(tmp_path / "1"), await _built(tmp_path / "2")
    assert first.image == second.image
    assert (await _built(tmp_path / "3", "print(2)")).image != first.image


async def test_an_image_tells_how_it_is_started_and_what_it_is_made_of(tmp_path: Path):
    built, store = await _built(tmp_path), store_in(tmp_path)
    config = await store.config(built.image)
    assert config.command == ("/bin/one",)
    assert config.env == {"A": "1", "B": "2"}
    assert (config.source, config.cwd) == ("pypi:one@1", "/app")
    assert await store.images() == (built,)
    assert await store.document(built.lock) == b"one==1\n"
    bill = json.loads(await store.document(built.sbom))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert "pkg:pypi/one@1" in {each.get("purl") for each in bill["components"]}


async def test_equal_files_of_two_images_are_there_once(tmp_path: Path):
    store = store_in(tmp_path)
    low = layer(entry("same", b"the same"))
    one = await store.root(keep(tmp_path, low))
    two = await store.root(keep(tmp_path, low, layer(entry("more", b""))))
    assert (one / "same").samefile(two / "same")


async def test_of_many_images_that_are_due_at_once_few_are_compared_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = store_in(tmp_path)
    images = [keep(tmp_path, layer(entry(f"own{n}", b""))) for n in range(6)]
    compare, under_way, most, lock = store._ready_root, 0, 0, threading.Lock()
    others = threading.Event()

    def watched(image: str) -> Path:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if under_way > 1:
                others.set()
        others.wait(5)  # until a second one is under way too
        found = compare(image)
        with lock:
            under_way -= 1
        return found

    monkeypatch.setattr(store, "_ready_root", watched)
    roots = await asyncio.gather(*(store.root(each) for each in images))
    assert [(root / f"own{n}").exists() for n, root in enumerate(roots)] == [True] * 6
    assert most == 2


@pytest.mark.slow
async def test_images_that_are_unpacked_together_have_all_their_files(tmp_path: Path):
    same = [entry(f"f{n}", f"{n % 50}".encode()) for n in range(400)]
    images = [keep(tmp_path, layer(*same, entry(f"own{n}", b""))) for n in range(6)]
    store = store_in(tmp_path)
    roots = await asyncio.gather(*map(store.root, images))
    assert {sum(1 for _ in each.glob("f*")) for each in roots} == {400}


SPOILT = [
    "content",
    "link",
    *(pytest.param(n, marks=pytest.mark.slow) for n in ("more", "less", "mode")),
]


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_root_that_was_changed_is_not_used_by_the_next_gate(tmp_path: Path, spoilt: str):
    built = await _built(tmp_path)
    root = await store_in(tmp_path).root(built.image)
    app, main = root / "app", root / "app" / "main.py"
    app.chmod(0o755)
    if spoilt == "content":
        main.chmod(0o644)
        main.write_text("print(9)")
        main.chmod(0o444)
    elif spoilt == "more":
        (app / "sitecustomize.py").write_text("")
    elif spoilt == "less":
        main.unlink()
    elif spoilt == "mode":
        main.chmod(0o4555)
    else:
        (app / "link").unlink()
        (app / "link").symlink_to("/etc/passwd")
    app.chmod(0o555)
    with pytest.raises(UpstreamUnreachable, match="were changed on this machine"):
        await store_in(tmp_path).root(built.image)


async def test_a_file_that_was_changed_is_not_used_for_another_image(tmp_path: Path):
    store, low = store_in(tmp_path), layer(entry("same", b"the same"))
    spoilt = (await store.root(keep(tmp_path, low))) / "same"
    spoilt.chmod(0o644)
    spoilt.write_bytes(b"another!")
    spoilt.chmod(0o444)
    other = keep(tmp_path, low, layer(entry("more", b"")))
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable, match="changed"):
            await store.root(other)


@pytest.mark.parametrize("what", ["manifest", "layer"])
async def test_a_blob_that_was_changed_is_not_used(tmp_path: Path, what: str):
    built, blobs = await _built(tmp_path), tmp_path / "images" / "blobs" / "sha256"
    manifest = json.loads((blobs / built.image[7:]).read_text())
    digest = built.image if what == "manifest" else manifest["layers"][-1]["digest"]
    path = blobs / digest[7:]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UpstreamUnreachable, match="was changed on this machine"):
        await store_in(tmp_path).root(built.image)


async def test_an_archive_is_a_layout_and_what_docker_loads(tmp_path: Path):
    built = await _built(tmp_path)
    path = await store_in(tmp_path).archive(built.image)
    with tarfile.open(path) as archive:
        texts = {each.name: archive.extractfile(each) for each in archive}
        index = json.load(texts["index.json"])  # type: ignore[arg-type]
        loads = json.load(texts["manifest.json"])[0]  # type: ignore[arg-type]
    assert index["manifests"][0]["digest"] == built.image
    assert {loads["Config"], *loads["Layers"]} < texts.keys()


async def test_what_no_image_has_any_more_is_removed_with_it(tmp_path: Path):
    store = store_in(tmp_path)
    low = layer(entry("same", b"the same"))
    keep(tmp_path, low)
    two = keep(tmp_path, low, layer(entry("more", b"much more")))
    root = await store.root(two)
    assert await store.remove(two) > 0
    assert not root.exists()
    assert [each.image for each in await store.images()] == [keep(tmp_path, low)]
    with pytest.raises(UpstreamUnreachable, match="not here"):
        await store.config(two)


def test_what_changed_between_two_images_is_told_by_name():
    new = ImageMaterial(name="one", version="2", purl="pkg:pypi/one@2")
    more = ImageMaterial(name="more", version="3")
    changes = changed_materials((ONE,), (new, more))
    assert [(each.name, each.before, each.after) for each in changes] == [
        ("more", "", "3"),
        ("one", "1", "2"),
    ]
