"""The file operations of the journal: the one place where it touches a disk, and where it fails."""

import os
from pathlib import Path

from gatelodge.adapters.files import rename_durably, write_all
from gatelodge.core.errors import LedgerDown

_ZEROS = bytes(256 * 1024)


class JournalDisk:
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
        rename_durably(old, new)

    def read(self, path: Path, start: int, stop: int) -> bytes:
        """The bytes of a file between two offsets, fewer when it is shorter."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return os.pread(fd, stop - start, start)
        finally:
            os.close(fd)


def os_error_text(fault: OSError) -> str:
    """What the system says of a fault, without the path."""
    return os.strerror(fault.errno) if fault.errno else str(fault.args[-1])


def ledger_down_error(fault: OSError) -> LedgerDown:
    """What a caller is told whose record cannot be written."""
    text = f"the journal could not be written ({os_error_text(fault)})"
    return LedgerDown(text, retry_after=1.0)
