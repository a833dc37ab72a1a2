"""Small files that are whole or not there: written aside, synced, renamed, and the name synced.

A nearly full disk takes a part of a write and says how much; what is not written in a loop is then
cut short, synced, and put in the place of what was good. So whatever is to last is written here.
"""

import os
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(path: Path, octets: bytes) -> None:
    """Put a file of these bytes in the place of what is there, durably. Raises OSError.

    After a failure or a crash the old file is there, whole. A crash may leave a `.new` file beside
    it, which nobody reads.
    """
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    create_file(new, octets)
    rename_durably(new, path)


def create_file(path: Path, octets: bytes) -> None:
    """Write a new file that is readable by its owner only, and sync it. Raises OSError.

    Nothing of it is left after a failure. Its name lasts once its directory is synced.
    """
    fd = os.open(path, _NEW, 0o600)
    try:
        write_all(fd, octets, 0)
        os.fsync(fd)
    except OSError:
        path.unlink(missing_ok=True)  # what there is of it is of no use, and takes room
        raise
    finally:
        os.close(fd)


def rename_durably(old: Path, new: Path) -> None:
    """Rename within one directory, durably. Raises OSError."""
    old.rename(new)
    sync_path(new.parent)


def sync_path(path: Path) -> None:
    """Make a file, or the names in a directory, durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, octets: bytes, offset: int) -> None:
    """Write every byte at `offset`, also when the system takes them in pieces. Raises OSError."""
    written = os.pwrite(fd, octets, offset)
    while written < len(octets):
        written += os.pwrite(fd, octets[written:], offset + written)
