"""The file operations of the journal: the one place where it touches a disk, and where it fails."""

import os
from pathlib import Path

_ZEROS = bytes(256 * 1024)


class Disk:
    """Files whose writes are on stable storage when they return. Every method raises OSError."""

    def make(self, path: Path, size: int) -> None:
        """Create a file of zeros, durable under its name.

        Zeros are written and not only reserved: a later write inside changes no metadata, so one
        sync costs one trip to the disk. A crash leaves a `.new` file that nobody reads.
        """
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            for start in range(0, size, len(_ZEROS)):
                write_all(fd, _ZEROS[: size - start], start)
            os.fsync(fd)
        except OSError:
            new.unlink(missing_ok=True)  # what there is of it is of no use, and takes room
            raise
        finally:
            os.close(fd)
        self.rename(new, path)

    def open(self, path: Path) -> int:
        """Open for durable writing: O_DSYNC, so that write and sync are one call."""
        return os.open(path, os.O_RDWR | os.O_DSYNC | os.O_NOFOLLOW)

    def write(self, fd: int, frames: bytes, offset: int) -> None:
        """Write all of it; on stable storage when this returns."""
        write_all(fd, frames, offset)

    def close(self, fd: int) -> None:
        """Release the descriptor."""
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Rename within one directory, durably."""
        old.rename(new)
        fd = os.open(new.parent, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def read(self, path: Path, start: int, stop: int) -> bytes:
        """The bytes of a file between two offsets, fewer when it is shorter."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return os.pread(fd, stop - start, start)
        finally:
            os.close(fd)


def write_all(fd: int, octets: bytes, offset: int) -> None:
    """Write every byte at `offset`, also when the system takes them in pieces."""
    written = os.pwrite(fd, octets, offset)
    while written < len(octets):
        written += os.pwrite(fd, octets[written:], offset + written)
