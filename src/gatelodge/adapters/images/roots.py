"""The files of images, unpacked where programs can reach them, and looked at before they are used.

A root is made beside its place and renamed, so one that is there is whole. Its files are hard links
to the pool: equal files of several images are there once, on disk and in memory. What a crash
leaves is a folder or a file named `new-...`, which the next start of the gate removes.
"""

import hashlib
import os
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from gatelodge.adapters.images.members import ContentPool
from gatelodge.adapters.images.tree import TreeFile, TreeFolder
from gatelodge.core.errors import UpstreamUnreachable

_Inode: TypeAlias = tuple[int, int, int, int, int]


class ImageRoots:
    """Shared by threads, one for each image at a time: `_known` only ever gains."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pool = ContentPool(directory / "files")
        self.laying = threading.Lock()
        """Held while files are put into the pool and linked from there."""
        self._known: dict[_Inode, str] = {}
        """Digests of files that were read; a file that is written to is another one by its time."""

    def path(self, image: str) -> Path:
        """Where the root of an image is, or would be."""
        return self.directory / "roots" / image.removeprefix("sha256:")

    def prepare_directory(self) -> None:
        """Make the directory, which others may pass and nobody may list. Raises OSError."""
        for each in (self.directory, self.directory / "roots"):
            each.mkdir(mode=0o711, parents=True, exist_ok=True)
            each.chmod(0o711)
        (self.directory / "files").mkdir(mode=0o700, exist_ok=True)

    def lay_root(self, image: str, tree: TreeFolder) -> None:
        """Make the root of an image from its tree, whose files are in the pool. Raises OSError."""
        place = self.path(image)
        new = Path(tempfile.mkdtemp(dir=place.parent, prefix="new-"))
        try:
            self._lay_folder(new, "", tree)
            new.rename(place)
        except BaseException:
            remove_root(new)
            raise

    def _lay_folder(self, path: Path, name: str, folder: TreeFolder) -> None:
        for each, entry in folder.items():
            place = path / each
            if isinstance(entry, dict):
                place.mkdir()
                self._lay_folder(place, f"{name}/{each}", entry)
            elif entry.target:
                place.symlink_to(entry.target)
            else:
                place.hardlink_to(self.pool.path(entry.digest, executable=entry.executable))
        path.chmod(_mode_of(name))

    def check_root(self, image: str, tree: TreeFolder) -> None:
        """Look whether a root is what the tree says, to the last byte.

        Raises UpstreamUnreachable, OSError.
        """
        place = self.path(image)
        wrong = self._first_difference(place, "", tree)
        if wrong is not None:
            raise UpstreamUnreachable(
                f"The files of the image were changed on this machine: {wrong[:200]!r}.",
                remedy=f"Find out who did; then remove {place} and start the server again.",
            )

    def _first_difference(self, path: Path, name: str, folder: TreeFolder) -> str | None:
        if not _nobody_writes(path.lstat(), _mode_of(name), stat.S_ISDIR):
            return name or "/"
        here = {each.name for each in path.iterdir()}
        for each in sorted(here ^ folder.keys()):
            return f"{name}/{each}"
        for each, entry in folder.items():
            place, full = path / each, f"{name}/{each}"
            if isinstance(entry, dict):
                if (wrong := self._first_difference(place, full, entry)) is not None:
                    return wrong
            elif not self._file_is(place, entry):
                return full
        return None

    def _file_is(self, path: Path, entry: TreeFile) -> bool:
        found = path.lstat()
        if entry.target:
            return stat.S_ISLNK(found.st_mode) and str(path.readlink()) == entry.target
        if not _nobody_writes(found, 0o555 if entry.executable else 0o444, stat.S_ISREG):
            return False
        inode = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if inode not in self._known:
            with path.open("rb") as file:
                self._known[inode] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[inode] == entry.digest

    def remove_unused(self) -> int:
        """Remove what a crash left, and files that no root has; bytes freed. Raises OSError."""
        freed = 0
        for left in (self.directory / "roots").glob("new-*"):
            remove_root(left)
        for path in (self.directory / "files").rglob("*"):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                freed += found.st_size
                path.unlink()
        return freed


def _mode_of(folder: str) -> int:
    # runc 1.1 gives the file system that is mounted at /tmp the mode of the folder below it.
    return 0o755 if folder == "/tmp" else 0o555  # noqa: S108 - within an image


def _nobody_writes(found: os.stat_result, mode: int, kind: object) -> bool:
    assert callable(kind)
    own = found.st_uid == os.geteuid()
    return bool(kind(found.st_mode)) and own and stat.S_IMODE(found.st_mode) == mode


def remove_root(path: Path) -> None:
    """Remove a root, whose folders nobody may write to; links in it are not followed."""
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            Path(folder).chmod(0o700)
    import shutil

    shutil.rmtree(path, ignore_errors=True)
