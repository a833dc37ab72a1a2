"""Layers of this machine's own programs, made once for all images and kept until the files change.

Which layers there are stands in `host.json` of the layout, by a fingerprint of the files; it only
spares work: a wrong line gives a layer of other files, whose digest the image then names.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from gatelodge.adapters.aside import opened_aside
from gatelodge.adapters.files import replace_file
from gatelodge.adapters.images import host
from gatelodge.adapters.images.layers import LayerItem, WrittenLayer, write_layer
from gatelodge.adapters.images.layout import ImageLayout
from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.ports.images import BytecodeCompiler

_SYSTEM: Final = "system"
_HOME: Final = "opt/python"


class HostLayer(Struct, frozen=True, kw_only=True):
    """One layer, and the files in it that a bill of materials names."""

    layer: WrittenLayer
    materials: tuple[ImageMaterial, ...]


class HostLayers:
    """One for the process: `_turns` sees that a layer is made once however many images want it."""

    def __init__(self, layout: ImageLayout, builder: str) -> None:
        self._layout = layout
        self._builder = builder
        self._turns: dict[str, asyncio.Lock] = {}
        self._kept: dict[str, HostLayer] | None = None

    def digests(self) -> frozenset[str]:
        """The layers that are kept for the next image. Raises OSError."""
        return frozenset(each.layer.digest for each in self._read_kept().values())

    async def layers(
        self, runtimes: Iterable[str], compiler: BytecodeCompiler
    ) -> tuple[HostLayer, ...]:
        """The layer of every image, and one for each of these. Raises UpstreamUnreachable, OSError.

        `runtimes` are `python`, `node`, or names of programs.
        """
        made = [await self._layer(name, compiler) for name in (_SYSTEM, *runtimes)]
        return tuple(made)

    async def _layer(self, name: str, compiler: BytecodeCompiler) -> HostLayer:
        async with self._turns.setdefault(name, asyncio.Lock()):
            files = await opened_aside(lambda: _files_of(name), _nothing_to_close)
            mark = await asyncio.to_thread(files.fingerprint)
            key = hashlib.sha256(f"{self._builder}\0{mark}".encode()).hexdigest()
            kept = (await asyncio.to_thread(self._read_kept)).get(key)
            if kept is not None and self._layout.blob_path(kept.layer.digest).exists():
                return kept
            made = await self._make_layer(files, compiler)
            await asyncio.to_thread(self._keep_layer, key, made)
            return made

    async def _make_layer(self, files: host.HostFiles, compiler: BytecodeCompiler) -> HostLayer:
        with tempfile.TemporaryDirectory(dir=self._layout.directory, prefix="new-") as folder:
            bytecode: list[LayerItem] = []
            if files.name.startswith("python"):
                staged = Path(folder)
                await opened_aside(lambda: _stage_sources(files.items, staged), _nothing_to_close)
                await compiler(staged, f"/{_HOME}")
                bytecode = _bytecode_items(staged)
            return await opened_aside(lambda: self._write_layer(files, bytecode), _nothing_to_close)

    def _write_layer(self, files: host.HostFiles, bytecode: list[LayerItem]) -> HostLayer:
        items = [*files.items, *bytecode]
        layer = self._layout.put_layer(lambda path: write_layer(items, path))
        name, _, version = files.name.partition(" ")
        programs = [each for each in files.items if each.executable and each.source]
        materials = [
            ImageMaterial(name=each.name, version="", digests=(_digest(each.source),), kind="file")
            for each in programs
        ]
        if version:
            materials.append(ImageMaterial(name=name, version=version, kind="platform"))
        return HostLayer(layer=layer, materials=tuple(materials))

    def _read_kept(self) -> dict[str, HostLayer]:
        if self._kept is None:
            try:
                octets = (self._layout.directory / "host.json").read_bytes()
                self._kept = msgspec.json.decode(octets, type=dict[str, HostLayer])
            except (FileNotFoundError, msgspec.DecodeError):
                self._kept = {}
        return self._kept

    def _keep_layer(self, key: str, made: HostLayer) -> None:
        kept = self._read_kept()
        kept[key] = made
        replace_file(self._layout.directory / "host.json", msgspec.json.encode(kept))


def _files_of(name: str) -> host.HostFiles:
    from gatelodge.adapters.images.elf import SharedLibraries

    if name == _SYSTEM:
        return host.HostFiles(name=name, items=host.system_files(), libraries=SharedLibraries())
    known: dict[str, Callable[[], host.HostFiles]] = {
        "python": host.python_files,
        "node": host.node_files,
    }
    return known[name]() if name in known else host.program_files(name)


def _stage_sources(items: list[LayerItem], folder: Path) -> None:
    for item in items:
        if item.name.startswith(f"{_HOME}/") and item.name.endswith(".py") and item.source:
            place = folder / item.name.removeprefix(f"{_HOME}/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(Path(item.source).read_bytes())


def _bytecode_items(folder: Path) -> list[LayerItem]:
    return [
        LayerItem(name=f"{_HOME}/{path.relative_to(folder)}", source=str(path))
        for path in sorted(folder.rglob("*.pyc"))
    ]


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _nothing_to_close(_: object) -> None:
    """What was made is a value."""
