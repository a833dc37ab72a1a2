"""The layers of this machine's own programs: they run where nothing else is, and come out equal."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.images.layers_of import store_in

from gatelodge.adapters.runtime.packages.tools import compile_bytecode
from gatelodge.ports.images import ImageRecipe, KeptImage

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PROGRAMS = {
    "python": (
        ["/opt/python/bin/python3", "-I", "-c"],
        "import ssl, sqlite3, ctypes, asyncio, bz2, lzma, zoneinfo, json; print(json.__cached__)",
        "/opt/python/lib/",
    ),
    "node": (
        ["/opt/node/bin/node", "-e"],
        "require('crypto').randomBytes(3); console.log('runs')",
        "runs",
    ),
    "git": (["/usr/bin/git"], "--version", "git version"),
}


async def _image_with(directory: Path, *runtimes: str) -> KeptImage:
    app = directory / "app"
    app.mkdir(parents=True)
    recipe = ImageRecipe(
        source="pypi:one@1",
        wish="pypi:one@1",
        runtimes=runtimes,
        folder=app,
        command=("/bin/one",),
        env={},
        lock=b"",
        materials=(),
    )
    return await store_in(directory).build(recipe, compile_bytecode)


@pytest.mark.parametrize("runtime", PROGRAMS)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the root directory")
async def test_a_program_of_this_machine_runs_where_nothing_else_is(tmp_path: Path, runtime: str):
    command, text, says = PROGRAMS[runtime]
    if runtime != "python" and shutil.which(runtime) is None:
        pytest.skip(f"{runtime} is not on this machine")
    store, image = store_in(tmp_path), await _image_with(tmp_path, runtime)
    root = await store.root(image.image)
    assert not list(root.glob("usr/bin/*sh"))
    assert not [each for each in root.rglob("*") if each.lstat().st_mode & 0o6000]
    # git wants /dev/null; the mount ends with the namespace.
    enter = 'mount --bind /dev "$0/dev" && exec chroot --userspec=10001:10001 "$0" "$@"'
    inside = ["unshare", "-m", "sh", "-c", enter, str(root), *command, text]
    done = await asyncio.to_thread(_run_inside, inside)
    assert says in done.stdout, done.stderr


def _run_inside(command: list[str]) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


async def test_the_layer_of_python_comes_out_the_same_each_time(tmp_path: Path):
    first = await _image_with(tmp_path / "1", "python")
    second = await _image_with(tmp_path / "2", "python")
    assert first.image == second.image


async def test_a_layer_of_this_machine_is_made_once_for_all_images(tmp_path: Path):
    await _image_with(tmp_path / "a", "python")
    layers = tmp_path / "a" / "images" / "host.json"
    made = layers.read_bytes()
    (tmp_path / "a" / "app").rmdir()
    await _image_with(tmp_path / "a", "python")
    assert layers.read_bytes() == made
