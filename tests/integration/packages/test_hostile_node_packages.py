"""What a package of Node asks for beside packages is neither fetched nor run while it is built."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.packages.registry import NodeRegistry, registry

from gatelodge.adapters.runtime.packages.npm import ALONE, NpmInstaller
from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.workshop import BuildLimits
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.core.errors import Invalid
from gatelodge.core.hosting.source import read_source

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine"),
]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeRegistry]:
    with registry() as made:
        monkeypatch.setenv("npm_config_registry", made.url)
        yield made


async def lay_out(tmp_path: Path, name: str, *, whole: bool = False) -> bytes:
    """The lock of the package of that name; `whole` = and every file that was laid out."""
    sandbox = ToolSandbox(tmp_path, UidAllocator(310_000))
    installer = NpmInstaller(tmp_path / "builds", BuildLimits(seconds=60, bytes=1 << 30), sandbox)

    async def report(_stage: str) -> None:
        """Nobody waits for it."""

    async with installer.laid_out(read_source(f"npm:{name}@1.0.0"), "", report) as package:
        if whole:
            files = [each for each in package.folder.rglob("*") if each.is_file()]
            return b"".join(each.read_bytes() for each in files) + package.lock
        return package.lock


def repository(tmp_path: Path, marker: Path) -> str:
    """One whose settings name a program as its git, which leaves a mark; its address."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git = folder / "git.sh"
    git.write_text(f"#!/bin/sh\necho x > {marker}\nexit 1\n")
    git.chmod(0o755)
    (folder / ".npmrc").write_text("git=./git.sh\n")
    (folder / "package.json").write_text(
        '{"name": "inner", "version": "1.0.0", "scripts": {"prepare": "true"},'
        '"devDependencies": {"more": "git+file:///nonexistent.git"}}'
    )
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.test"}
    who |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.test"}
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run(("git", *words), cwd=folder, check=True, env={**os.environ, **who})
    return f"git+file://{folder}"


async def test_packages_of_the_registry_alone_are_laid_out(place: NodeRegistry, tmp_path: Path):
    place.publish("words", {})
    place.publish("tool", {"words": "1.0.0"})
    assert b"node_modules/words" in await lay_out(tmp_path, "tool")


async def test_what_opens_a_registry_is_in_no_image(place: NodeRegistry, tmp_path: Path):
    # Some registries answer with addresses that bear a login of their own.
    place.url = place.url.replace("://", "://robot:hunter2@")
    place.publish("tool", {})
    assert b"hunter2" not in await lay_out(tmp_path, "tool", whole=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not on this machine")
@pytest.mark.parametrize("npm", ["this one", "an older one"])
async def test_a_package_has_no_repository_cloned_and_none_of_its_programs_run(
    place: NodeRegistry, tmp_path: Path, npm: str, monkeypatch: pytest.MonkeyPatch
):
    if npm != "this one":
        for each in [name for name in ALONE if "allow" in name]:
            monkeypatch.delitem(ALONE, each)
    marker = tmp_path / "ran"
    place.publish("tool", {"inner": repository(tmp_path, marker)})
    with pytest.raises(Invalid, match="no package"):
        await lay_out(tmp_path, "tool")
    assert not marker.exists()


@pytest.mark.parametrize("what", ["folder", "archive"])
@pytest.mark.parametrize("npm", ["this one", "an older one"])
async def test_a_package_gets_no_file_of_this_machine(
    place: NodeRegistry, tmp_path: Path, what: str, npm: str, monkeypatch: pytest.MonkeyPatch
):
    if npm != "this one":
        for each in [name for name in ALONE if "allow" in name]:
            monkeypatch.delitem(ALONE, each)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "package.json").write_text('{"name": "inner", "version": "1.0.0"}')
    place.publish("inner", {})
    (tmp_path / "private.tgz").write_bytes(place.files["/inner.tgz"])
    named = {"folder": "private", "archive": "private.tgz"}[what]
    place.publish("tool", {"inner": f"file:{tmp_path / named}"})
    with pytest.raises(Invalid, match="no package"):
        await lay_out(tmp_path, "tool")
