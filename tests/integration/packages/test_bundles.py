"""Bundles: what a manifest says is how the server starts, and an archive stays in its folder."""

import json
import stat
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.packages.wheels import SERVER

from gatelodge.adapters.runtime.packages.mcpb import BundleInstaller
from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.workshop import BuildLimits
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.core.errors import Invalid, LimitReached
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.ports.packages import LaidPackage

pytestmark = pytest.mark.anyio


def manifest(kind: str, entry: str, *args: str, **env: str) -> str:
    start = {"command": kind, "args": list(args), "env": env}
    server = {"type": kind, "entry_point": entry, "mcp_config": start}
    return json.dumps(
        {"manifest_version": "0.3", "name": "tiny", "version": "1.0", "server": server}
    )


def bundle(path: Path, described: str, **files: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", described)
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@asynccontextmanager
async def laid(tmp_path: Path, path: Path, most: int = 1 << 20) -> AsyncIterator[LaidPackage]:
    async def report(_: str) -> None:
        """Nobody listens."""

    limits = BuildLimits(seconds=60, bytes=most)
    sandbox = ToolSandbox(tmp_path, UidAllocator(310_000))
    installer = BundleInstaller(tmp_path / "builds", limits, sandbox)
    source = ArtifactSource("mcpb", str(path))
    async with installer.laid_out(source, "", report) as package:
        yield package


async def test_a_bundle_of_node_starts_as_its_manifest_says(tmp_path: Path):
    described = manifest(
        "node",
        "server/index.js",
        "${__dirname}/server/index.js",
        "--at",
        "${user_config.place}",
        MODE="fast",
        KEY="${user_config.key}",
    )
    path = bundle(tmp_path / "a.mcpb", described, **{"server/index.js": "1"})
    async with laid(tmp_path, path) as package:
        assert package.command == ("/opt/node/bin/node", "/app/server/index.js")
        assert package.env["MODE"] == "fast"
        assert "KEY" not in package.env
        assert (package.folder / "server/index.js").read_text() == "1"
        assert package.materials[0].digests[0].startswith("sha256:")
    assert not list((tmp_path / "builds").iterdir())


def _names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def _hostile_name(path: Path) -> None:
    bundle(path, manifest("node", "x.js"), **{"../out": "x"})


def _absolute_name(path: Path) -> None:
    bundle(path, manifest("node", "x.js"), **{"/tmp/out": "x"})


def _link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", manifest("node", "x.js"))
        info = zipfile.ZipInfo("x.js")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")


def _bomb(path: Path) -> None:
    bundle(path, manifest("node", "x.js"), zeros="0" * (4 << 20))


def _fetches_at_start(path: Path) -> None:
    bundle(path, manifest("uv", "x.py"), **{"x.py": ""})


def _entry_outside(path: Path) -> None:
    bundle(path, manifest("node", "../../x.js"))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (_hostile_name, Invalid),
        (_absolute_name, Invalid),
        (_link, Invalid),
        (_bomb, LimitReached),
        (_fetches_at_start, Invalid),
        (_entry_outside, Invalid),
    ],
)
async def test_a_bundle_that_leads_out_or_takes_too_much_is_refused(
    tmp_path: Path, make: Callable[[Path], None], error: type[Exception]
):
    make(tmp_path / "a.mcpb")
    with pytest.raises(error):
        async with laid(tmp_path, tmp_path / "a.mcpb"):
            pass
    assert _names_in(tmp_path) == ["a.mcpb", "builds"]
    assert _names_in(tmp_path / "builds") == []


@pytest.mark.slow
def test_a_server_is_added_from_a_bundle_and_from_an_image(tmp_path: Path):
    described = manifest("python", "server.py", "${__dirname}/server.py")
    path = bundle(tmp_path / "tiny.mcpb", described, **{"server.py": SERVER.read_text()})
    with Gate(tmp_path / "data").running() as gate:
        added = gate.cli("server", "add", f"mcpb:{path}")
        assert [each["name"] for each in added["tools"]] == ["echo", "count"]
        image = gate.cli("server", "show", "tiny")["transport"]["image"]
        layout = tmp_path / "data" / "images"
        with Gate(tmp_path / "other").running() as other:
            added = other.cli("server", "add", "same", f"oci:{layout}")
            assert [each["name"] for each in added["tools"]] == ["echo", "count"]
            assert other.cli("server", "show", "same")["transport"]["image"] == image
