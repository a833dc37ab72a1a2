"""Layers that come out the same from the same files, whenever and wherever they are made.

What differs between two machines and means nothing to a program is left out: owners, times, the
order of a directory. What would give somebody rights is taken away: setuid, setgid, device files.
"""

import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

FIXED_TIME: Final = 1_700_000_000
"""The time of every file: bytecode does not look at it, and archives want one."""
_LEVEL = 1
"""Of compression: it is made far more often than it is sent."""


class LayerItem(Struct, frozen=True, kw_only=True):
    """One entry of a layer: a directory, a file of this machine or of these bytes, or a link."""

    name: str
    """Its path in the image, without a slash in front."""
    source: str = ""
    content: bytes | None = None
    target: str = ""
    executable: bool = False


class WrittenLayer(Struct, frozen=True, kw_only=True):
    """A layer as it was written: its digest, that of the plain tar, and sizes in bytes."""

    digest: str
    diff_id: str
    size: int
    unpacked: int
    files: int


class _LayerFile:
    """Compresses what is written, and knows both digests at the end."""

    def __init__(self, into: io.BufferedWriter) -> None:
        self._into = into
        # 31 = gzip's frame, whose header then has neither a name nor a time.
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
        self.plain, self.packed = hashlib.sha256(), hashlib.sha256()
        self.unpacked = self.size = 0

    def tell(self) -> int:
        return self.unpacked

    def write(self, octets: bytes) -> int:
        self.plain.update(octets)
        self.unpacked += len(octets)
        self._put_packed(self._gzip.compress(octets))
        return len(octets)

    def finish_stream(self) -> None:
        self._put_packed(self._gzip.flush())

    def _put_packed(self, packed: bytes) -> None:
        self.packed.update(packed)
        self.size += len(packed)
        self._into.write(packed)


def write_layer(items: Iterable[LayerItem], path: Path) -> WrittenLayer:
    """Write a layer of these items to a new file. Raises OSError.

    Parents that no item names are made as directories; of two items of one name the last counts.
    """
    by_name = {each.name: each for each in items}
    for name in list(by_name):
        for parent in _parents(name):
            by_name.setdefault(parent, LayerItem(name=parent))
    with path.open("xb") as into:
        packed = _LayerFile(into)
        file: Any = packed  # of a file it has what an archive uses
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(by_name):
                _add_item(archive, by_name[name])
        packed.finish_stream()
    return WrittenLayer(
        digest=f"sha256:{packed.packed.hexdigest()}",
        diff_id=f"sha256:{packed.plain.hexdigest()}",
        size=packed.size,
        unpacked=packed.unpacked,
        files=len(by_name),
    )


def directory_items(directory: Path, prefix: str) -> Iterator[LayerItem]:
    """Everything below a directory, named below `prefix`; links stay links, odd files are left out.

    Raises OSError.
    """
    yield LayerItem(name=prefix)
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda each: each.name)
    for entry in entries:
        name = f"{prefix}/{entry.name}"
        if entry.is_symlink():
            yield LayerItem(name=name, target=str(Path(entry.path).readlink()))
        elif entry.is_dir():
            yield from directory_items(Path(entry.path), name)
        elif entry.is_file():
            executable = bool(entry.stat().st_mode & stat.S_IXUSR)
            yield LayerItem(name=name, source=entry.path, executable=executable)


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _add_item(archive: tarfile.TarFile, item: LayerItem) -> None:
    info = tarfile.TarInfo(item.name)
    info.mtime = FIXED_TIME
    if item.target:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, item.target, 0o777
        archive.addfile(info)
    elif item.source or item.content is not None:
        info.mode = 0o755 if item.executable else 0o644
        if item.content is not None:
            info.size = len(item.content)
            archive.addfile(info, io.BytesIO(item.content))
            return
        with Path(item.source).open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            archive.addfile(info, file)
    else:
        info.type = tarfile.DIRTYPE
        info.mode = 0o1777 if item.name in ("tmp", "var/tmp") else 0o755
        archive.addfile(info)
