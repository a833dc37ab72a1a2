"""Room on the disk of the data directory: kept back for those who govern, and looked after.

What calls leave behind must not take the room in which access is ended. So a part is kept as a file
that is given up when a change of governance finds no room, and calls are taken no more while less
than a floor is free.
"""

import os
from pathlib import Path

from gatelodge.core.errors import StoreDown

_RESERVE = 2 * 1024 * 1024
_SHARE = 20
"""The floor and the reserve are never more than this part of a small disk."""


class DiskRoom:
    """The disk under one data directory. `low` is read anywhere; the rest blocks, in any thread.

    A crash leaves the reserve or none; `tend` makes it when there is room.
    """

    def __init__(self, directory: Path, floor: int) -> None:
        self._path = directory / "reserve"
        self._floor = floor
        self.low = ""
        """Why no call is taken, empty while there is room."""

    def tend(self) -> None:
        """Look how much is free, and keep the reserve where there is room for it."""
        about = os.statvfs(self._path.parent)
        free, size = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
        floor, reserve = min(self._floor, size // _SHARE), min(_RESERVE, size // _SHARE)
        kept = self._size_of_reserve() >= reserve
        # Both have to fit: a reserve that takes the last room would itself stop the calls.
        if not kept and free > floor + reserve:
            kept = self._allocate_reserve(reserve)
        # Without the reserve a full disk would leave no room to end access in, so no call is taken.
        if free < floor or not kept:
            self.low = f"the disk of the data directory is full ({free // 1024} KiB are free)"
        else:
            self.low = ""

    def give_up(self) -> bool:
        """Free the reserve; false when there is none. Calls are taken again once it is back."""
        try:
            self._path.unlink()
        except OSError:
            return False
        # Said at once and not at the next look: calls must not take the room that was just freed.
        self.low = "the disk of the data directory is full"
        return True

    def _size_of_reserve(self) -> int:
        """How much is kept back; a reserve that was damaged counts as far as it is there."""
        try:
            return self._path.stat(follow_symlinks=False).st_size
        except OSError:
            return 0

    def _allocate_reserve(self, size: int) -> bool:
        new = self._path.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                # A file with holes keeps no room back: the blocks have to be taken now.
                os.posix_fallocate(file, 0, size)
            finally:
                os.close(file)
            # Renamed when it is whole: a crash before leaves a `.new` that counts for nothing.
            new.rename(self._path)
        except OSError:
            new.unlink(missing_ok=True)
            return False
        return True


def full(fault: StoreDown) -> bool:
    """True when a change failed for want of room."""
    return "SQLITE_FULL" in fault.detail
