"""Files that only an instance reads: in memory of this machine, and gone with it.

Engines copy archives into a container's writable layer, which is on disk, so that way is none. A
directory on a tmpfs is mounted instead, which takes an engine on the same machine. A gate that is
killed leaves it until the next one starts (`sweep_secrets`), or the machine does.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.core.errors import UpstreamUnreachable

NAMES: Final = "resolv.conf"
_NO_MEMORY = "Give the secret as a variable, or mount a tmpfs on /run."
_ROOM = "See that /run or /dev/shm may be written to."


def memory_directory() -> Path:
    """A directory whose files are in memory. Raises UpstreamUnreachable where there is none."""
    held = _memory_mounts()
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    for each in (own, "/run", "/dev/shm"):  # noqa: S108 - what is made below is ours alone
        if each and _mount_of(Path(each), held) and os.access(each, os.W_OK):
            return Path(each)
    raise UpstreamUnreachable(
        "This machine has no place for files of secrets that is not on disk.", remedy=_NO_MEMORY
    )


def write_secrets(mark: str, name: str, files: dict[str, str]) -> Path:
    """A directory that holds the files, for the instance of this name. Raises UpstreamUnreachable.

    Whoever else is on the machine cannot pass the directory above, which is what is removed. Beside
    it stands what leads questions for names to the gate (`NAMES`).
    """
    top = make_private_directory(mark)
    folder = top / name
    try:
        (top / NAMES).write_text("nameserver 127.0.0.1\n")
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
            # The uid that reads it is the container's, and has another number outside.
            (folder / file).chmod(0o444)
        folder.chmod(0o555)
    except OSError as failed:
        remove_tree(str(top))
        text = f"The files of the server could not be made: {failed.strerror}."
        raise UpstreamUnreachable(text, remedy=_ROOM) from failed
    return folder


def make_private_directory(mark: str) -> Path:
    """A new directory in memory that only our user can pass. Raises UpstreamUnreachable."""
    base = memory_directory()
    try:
        return Path(tempfile.mkdtemp(prefix=_prefix(mark), dir=base))
    except OSError as failed:
        text = f"No directory could be made in {base}: {failed.strerror}."
        raise UpstreamUnreachable(text, remedy=_ROOM) from failed


def remove_secrets(folder: Path) -> None:
    """Remove what `write_secrets` made."""
    remove_tree(str(folder.parent))


def sweep_secrets(mark: str, held: frozenset[str]) -> None:
    """Remove those of an earlier gate; `held` are the directories that are in use."""
    with contextlib.suppress(UpstreamUnreachable, OSError):
        for each in memory_directory().glob(f"{_prefix(mark)}*"):
            if str(each) not in held:
                remove_tree(str(each))


def _prefix(mark: str) -> str:
    return f"gatelodge-{mark}-"


def _memory_mounts() -> dict[str, bool]:
    """Each mount, and whether it is in memory; the last one at a place is what is seen."""
    found = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            found[before.split(" ")[4]] = after.split(" ")[0] in ("tmpfs", "ramfs")
    return found


def _mount_of(folder: Path, held: dict[str, bool]) -> bool:
    for at in (folder.resolve(), *folder.resolve().parents):
        if str(at) in held:
            return held[str(at)]
    return False
