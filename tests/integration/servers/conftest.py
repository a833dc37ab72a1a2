"""One gate, one workspace, every reference server at once.

The files here share it, in the order of their names; the last one takes it down.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from tests.gate import Gate
from tests.integration.servers import pages
from tests.integration.servers.fleet import MODULES, Fleet, Scene

SETTINGS = (
    "limits.page_size=30",
    "audit.sequence_ms=50",
    "upstream.backoff_seconds=0.2",
)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that every uid may pass, which those of pytest are not."""
    made = Path(mkdtemp(prefix="gatelodge-fleet-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def scene(folder: Path) -> Iterator[Scene]:
    repository, files = folder / "repository", folder / "files"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    files.mkdir()
    for place in (repository, files):
        (place / "leaf.txt").write_text("a leaf")
    with pages.opened() as site:
        yield Scene(site, repository, files)


@pytest.fixture(scope="session")
def homes(folder: Path) -> Path:
    """Where the gate makes the homes of its children."""
    made = folder / "homes"
    made.mkdir()
    made.chmod(0o755)
    return made


@pytest.fixture(scope="session")
def fleet(folder: Path, homes: Path, scene: Scene) -> Iterator[Fleet]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    assert MODULES.exists(), "run `npm ci` in tests/servers"
    gate = Gate(folder / "gate", *SETTINGS, TMPDIR=str(homes))
    with gate.running():
        made = Fleet(gate, scene)
        try:
            made.furnish()
            yield made
        finally:
            for alias in list(made.remote):
                made.end(alias)
