"""What a package says of itself: read as a stranger's text, from inside of its image alone."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.adapters.evidence.package_reader import ImagePackageReader
from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import TrustEvidence, encode_evidence
from gatelodge.ports.images import KeptImage
from gatelodge.ports.trust.evidence import PackageReading

IMAGE = "sha256:" + "1" * 64
PYTHON = ArtifactSource("pypi", "mcp-server-tiny", "1.0")
NODE = ArtifactSource("npm", "@acme/tiny", "1.0.0")
METADATA = """Metadata-Version: 2.4
Name: mcp-server-tiny
Version: 1.0
Summary: It is small.
License-Expression: MIT
Project-URL: Repository, https://user:secret@code.example/acme/tiny?token=secret
Requires-Dist: mcp<3,>=2.1
Requires-Dist: httpx>=1

mcp-name: io.github.acme/tiny
"""


class OneImage:
    """Images as the reader sees them: one, with this root and this lock."""

    def __init__(self, root: Path, source: ArtifactSource, lock: bytes, wish: str = "") -> None:
        self._root, self._lock = root, lock
        self._kept = KeptImage(
            image=IMAGE,
            source=source.text,
            size=1,
            built=Instant(0),
            command=(),
            lock="sha256:lock",
            wish=wish,
        )

    async def images(self) -> tuple[KeptImage, ...]:
        return (self._kept,)

    async def root(self, _image: str) -> Path:
        return self._root

    async def document(self, _digest: str) -> bytes:
        return self._lock

    async def materials(self, _image: str) -> tuple[ImageMaterial, ...]:
        own = ImageMaterial(
            name="mcp_server.tiny", version="1.0", purl="pkg:x", digests=("sha256:aa",)
        )
        return (own, ImageMaterial(name="httpx", version="1", purl="pkg:y"))


class NoClock:
    def now(self) -> Instant:
        return Instant(1)


def read(root: Path, source: ArtifactSource, lock: bytes = b"", wish: str = "") -> PackageReading:
    images: Any = OneImage(root, source, lock, wish)
    clock: Any = NoClock()
    return asyncio.run(ImagePackageReader(images, clock).read_package(source, IMAGE))


def write(root: Path, path: str, text: bytes) -> None:
    place = root / "app" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(text)


def test_a_package_of_python_is_read_by_its_metadata(tmp_path: Path) -> None:
    write(tmp_path, "mcp_server_tiny-1.0.dist-info/METADATA", METADATA.encode())
    lock = b"""[[packages]]
name = "mcp-server-tiny"
index = "https://user:secret@mirror.example/simple?key=secret"
wheels = [{ url = "x", upload-time = 2026-10-19T10:00:00Z }]
"""
    found = read(tmp_path, PYTHON, lock)
    package = found.package
    assert package.server_name == "io.github.acme/tiny"
    assert package.repository == "https://code.example/acme/tiny"
    assert (package.license, package.sdk_bounded, package.digests) == ("MIT", True, ("sha256:aa",))
    assert found.index == "https://mirror.example/simple"
    assert found.released_at == 1_792_404_000_000_000
    assert "secret" not in repr(found)


def test_a_package_of_node_is_read_by_its_description(tmp_path: Path) -> None:
    said = {
        "name": "@acme/tiny",
        "mcpName": "io.github.acme/tiny",
        "repository": {"type": "git", "url": "git+https://code.example/acme/tiny.git"},
        "license": "Apache-2.0",
        "scripts": {"postinstall": "node x"},
        "dependencies": {"@modelcontextprotocol/sdk": ">=1.0.0"},
    }
    write(tmp_path, "node_modules/@acme/tiny/package.json", json.dumps(said).encode())
    packages = {"node_modules/deep": {"hasInstallScript": True}, "node_modules/calm": {}}
    lock = json.dumps({"packages": packages}).encode()
    package = read(tmp_path, NODE, lock, "npm:@acme/tiny@1.0.0 run-scripts=deep").package
    assert package.server_name == "io.github.acme/tiny"
    assert package.repository == "https://code.example/acme/tiny.git"
    assert package.install_scripts == ("@acme/tiny", "deep")
    assert package.scripts_ran == ("deep",)
    assert package.sdk_bounded is False


def test_a_link_out_of_the_image_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "METADATA").write_text(METADATA)
    root = tmp_path / "root"
    folder = root / "app" / "mcp_server_tiny-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").symlink_to(outside / "METADATA")
    assert read(root, PYTHON).package.server_name == ""


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[" * 100_000,
        b'{"name": 1, "mcpName": ["x"], "repository": 7, "scripts": "no", "dependencies": []}',
        b'{"repository": {"url": {"url": 1}}, "license": {"type": "MIT"}}',
        b"\xff\xfe\x00",
    ],
)
def test_a_description_of_another_form_says_nothing(tmp_path: Path, text: bytes) -> None:
    write(tmp_path, "node_modules/@acme/tiny/package.json", text)
    package = read(tmp_path, NODE, text).package
    assert (package.server_name, package.repository, package.install_scripts) == ("", "", ())


@given(st.binary(max_size=400), st.binary(max_size=200))
def test_whatever_a_package_holds_its_evidence_can_be_kept(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, lock: bytes
) -> None:
    root = tmp_path_factory.mktemp("root")
    write(root, "mcp_server_tiny-1.0.dist-info/METADATA", METADATA.encode() + text)
    package = read(root, PYTHON, lock).package
    assert encode_evidence(TrustEvidence(subject=PYTHON.text, at=Instant(1), package=package))
