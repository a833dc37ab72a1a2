"""What there is of containers on this machine, wherever their engine puts it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.contract.runtimes.engines.started import place_of
from tests.contract.runtimes.kinds import arguments, marked

from gatelodge.adapters.runtime.docker.secrets import memory_directory

_OF_CONTAINERS = frozenset({"diff", "merged", "rootfs"})
"""Folders with the files of an image or a container, which go with the folder above them."""
_OF_ENGINES = ("exec/netns", "run/libpod/locks", "run/libpod/exits")
"""Where engines keep small files of their own that may outlast a container in memory.

Docker removes the places of its network namespaces once a minute, their mounts at once. Podman's
processes that watch a container and tidy up may write how it ended, or make the file of its lock
anew, after it was removed.
"""


def traces(engine: str, mark: str) -> set[str]:
    """Processes, mounts, control groups, files and folders in memory of an engine and one gate.

    Those of the engine itself and of its images are among them.
    """
    folder = Path(place_of(engine).removeprefix("unix://")).parent
    (pid,) = marked(place_of(engine))
    words = arguments().items()
    found = {f"process {each}" for each, said in words if str(folder).encode() in said}
    # Its view of the machine has a /run and mounts of its own.
    seen = Path(f"/proc/{pid}/root")
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        found.add(f"mount {line.split(' ')[4]}")
    for at in (folder, seen / "run"):
        found |= {f"file {each}" for each in _walk(at)}
    for at in _groups():
        found |= {f"group {each}" for each, _, _ in os.walk(at)}
    return found | {f"memory {each}" for each in memory_directory().glob(f"gatelodge-{mark}-*")}


def _walk(at: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(at):
        if folder.endswith(_OF_ENGINES):
            folders.clear()
            continue
        folders[:] = [each for each in folders if each not in _OF_CONTAINERS]
        yield from (f"{folder}/{each}" for each in (*folders, *names))


def _groups() -> Iterator[Path]:
    for at, folders, _ in os.walk("/sys/fs/cgroup"):
        for each in ("gatelodge-tests", "libpod_parent"):
            with contextlib.suppress(ValueError):
                folders.remove(each)
                yield Path(at, each)
