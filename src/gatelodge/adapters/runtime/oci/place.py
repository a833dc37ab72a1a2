"""The place of one gate's containers: a directory that is its lock, below a tmpfs of its own.

The tmpfs stands in a mount namespace of the supervisor alone. Standard library only.
"""

import contextlib
import ctypes
import fcntl
import os
import time
from pathlib import Path

_SUBREAPER, _NEW_MOUNTS = 36, 0x20000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND = 1, 2, 4, 32, 4096
_REC, _SLAVE = 0x4000, 0x80000
_DETACH = 2
_WAIT_SECONDS = 20.0
"""How long the supervisor of a gate that was killed may still be ending its containers."""
_LOOK_SECONDS = 0.01


class PlaceTaken(OSError):
    """Another gate of the same data directory still has its containers here."""


def take_place(folder: Path) -> int:
    """Make the directory and hold its lock, which is returned. Raises OSError, PlaceTaken.

    A crash leaves an empty directory, which the next one takes over.
    """
    until = time.monotonic() + _WAIT_SECONDS
    folder.parent.mkdir(mode=0o711, exist_ok=True)
    while time.monotonic() < until:
        folder.mkdir(mode=0o711, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed it after we had opened it.
            if folder.stat().st_ino == os.fstat(held).st_ino:
                return held
        os.close(held)
        time.sleep(_LOOK_SECONDS)
    raise PlaceTaken(16, f"another gate has its containers in {folder}")


def leave_place(folder: Path, held: int) -> None:
    """Remove the directory and let go of its lock."""
    _call("umount2", str(folder).encode(), _DETACH)
    with contextlib.suppress(OSError):
        folder.rmdir()
    os.close(held)


def become_parent_of_orphans() -> None:
    """Have every orphan below this process become its child. Raises OSError."""
    _call("prctl", _SUBREAPER, 1, 0, 0, 0)


def hide_mounts(folder: Path) -> None:
    """Mount a tmpfs at the folder that no other process has. Raises OSError."""
    _call("unshare", _NEW_MOUNTS)
    # Slave: an image that the gate mounts later is still seen here, and nothing of ours there.
    _mount("", "/", _SLAVE | _REC)
    _mount("tmpfs", str(folder), _NOSUID | _NODEV, "tmpfs", "mode=0711,size=64m")


def bind_read_only(source: str, at: str) -> None:
    """Show a directory at another place, where nothing can be written to it. Raises OSError."""
    _mount(source, at, _BIND)
    _mount("", at, _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)


def unmount_lazily(at: str) -> None:
    """Take a mount away, also while somebody is in it."""
    with contextlib.suppress(OSError):
        _call("umount2", at.encode(), _DETACH)


def _mount(source: str, at: str, flags: int, kind: str = "", data: str = "") -> None:
    _call("mount", source.encode(), at.encode(), kind.encode(), flags, data.encode())


def _call(name: str, *words: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*words):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
