"""One process for one data directory: a lock that ends with the process that holds it."""

import fcntl
import os
from pathlib import Path

from gatelodge.core.errors import Conflict, StoreDown


class DirectoryLock:
    """Held while this process uses the directory; a second holder is refused.

    The lock is the kernel's (`flock` on `DIRECTORY/lock`): a crash releases it, and the file that
    stays behind locks nobody out. It is not passed on to child processes.
    """

    def __init__(self, directory: Path) -> None:
        self._file = _opened(directory)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise Conflict(
                f"another gatelodge process ({holder or 'unknown'}) uses {directory}",
                remedy="Stop that process, or give this one a data_dir of its own.",
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process in. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _opened(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise StoreDown(
            f"cannot write in the data directory {directory}: {fault.strerror}",
            remedy="Set data_dir to a directory that this process may write.",
        ) from fault
