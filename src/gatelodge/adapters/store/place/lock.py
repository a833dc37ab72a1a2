"""One process for one data directory: a lock that ends with the process that holds it."""

import errno
import fcntl
import os
import stat
from pathlib import Path

from gatelodge.core.errors import Conflict, Invalid, StoreDown

_INSIDE = ("run", "guard", "journal")
"""Folders of the data directory that this process makes; `keys` has a stricter look of its own."""
_FILES = ("gatelodge.db", "gatelodge.db-wal", "gatelodge.db-shm", "reserve")


class DirectoryLock:
    """Held while this process uses the directory; a second holder is refused.

    The lock is the kernel's, on the directory itself and on `DIRECTORY/lock`: a crash releases it,
    the file that stays behind locks nobody out, and whoever deletes the file lets nobody in. It is
    not passed on to child processes. Raises Invalid for a directory that others may write to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._folder = _opened_folder(directory)
        try:
            check_closed(directory)
            self._file = _open_lock_file(directory)
        except BaseException:
            os.close(self._folder)
            raise
        try:
            _lock_folder(self._folder)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            self.release()
            raise Conflict(
                f"another gatelodge process ({holder or 'unknown'}) uses {directory}",
                remedy="Stop that process, or give this one a data_dir of its own.",
            ) from None
        # The number is for people. The kernel's lock decides, so a crash here locks nobody out.
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def check(self) -> None:
        """Raise Conflict unless the directory and the file in it are still those that are locked.

        Where they are not, another process may hold what stands there now.
        """
        for path, file in ((self._directory, self._folder), (self._directory / "lock", self._file)):
            try:
                there = path.stat(follow_symlinks=False)
            except OSError:
                there = None
            mine = os.fstat(file)
            if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
                raise Conflict(
                    f"{path} is not the one that this process has locked any more",
                    remedy="Never delete or replace it while a gate runs; start the gate again.",
                )

    def release(self) -> None:
        """Let another process in. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            os.close(self._folder)
            self._file = -1


def check_closed(directory: Path) -> None:
    """Raise Invalid when others may write in the directory, or something in it leads elsewhere.

    Whoever can write there could put keys, records or a socket of their own in the place of ours.
    """
    for path in (directory, *(directory / name for name in _INSIDE)):
        try:
            # An operator may have made the directory a link; nothing within it may lead elsewhere.
            about = path.stat(follow_symlinks=path == directory)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(about.st_mode):
            raise Invalid(
                f"{path} is not a directory", remedy=f"Find out who made it; remove {path}."
            )
        _refuse_others(path, about)
    files = [*(directory / name for name in (*_FILES, "lock")), directory / "guard" / "signed.json"]
    files += [directory / "journal" / "durable", *(directory / "journal").glob("*.seg")]
    for path in files:
        try:
            about = path.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(about.st_mode):
            raise Invalid(f"{path} is not a file", remedy=f"Find out who made it; remove {path}.")
        _refuse_others(path, about)


def _refuse_others(path: Path, about: os.stat_result) -> None:
    # What root owns is no weaker: root needs no leave to write here.
    if about.st_uid not in (os.geteuid(), 0):
        raise Invalid(
            f"{path} belongs to uid {about.st_uid}, this process is uid {os.geteuid()}",
            remedy="Run the gate as the account that owns its data directory, or give it that.",
        )
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Invalid(
            f"others may write to {path} (mode {stat.S_IMODE(about.st_mode):04o})",
            remedy=f"Run: chmod go-w {path}, and ask who could have written there.",
        )


def _opened_folder(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as fault:
        raise _not_writable(directory, fault) from fault


def _lock_folder(folder: int) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # some network file systems lock files only; the file's lock is taken in any case


def _open_lock_file(directory: Path) -> int:
    # Through a link that somebody put there the holder's number would be written over another file.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(directory / "lock", flags, 0o600)
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            text = f"{directory / 'lock'} leads elsewhere"
            raise Invalid(text, remedy="Find out who made it; remove it.") from fault
        raise _not_writable(directory, fault) from fault


def _not_writable(directory: Path, fault: OSError) -> StoreDown:
    return StoreDown(
        f"cannot write in the data directory {directory}: {fault.strerror}",
        remedy="Set data_dir to a directory that this process may write.",
    )
