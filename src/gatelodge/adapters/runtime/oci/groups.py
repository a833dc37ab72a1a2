"""Control groups of containers by their path: what is in them is killed, and they are removed.

The path of a gate's groups follows from its data directory. So they tell whoever comes next which
containers an earlier one left, without any record that could be lost. Standard library only: the
supervisor uses it.
"""

import contextlib
import hashlib
import os
import signal
import time
from pathlib import Path

_KILL_SECONDS = 5.0
_LOOK_SECONDS = 0.002
CGROUPS = "/sys/fs/cgroup"
PLACES = Path("/run/gatelodge")
GROUPS = "/gatelodge"


def place_of_gate(data_dir: Path) -> tuple[Path, str]:
    """The folder and the group of the containers of the gate with this data directory."""
    mark = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return PLACES / mark, f"{GROUPS}/{mark}"


def is_anything_left(data_dir: Path) -> bool:
    """Say whether an earlier gate's containers, or their place, are there; starts nothing."""
    folder, group = place_of_gate(data_dir)
    try:
        return folder.is_dir() or bool(group_folders(group))
    except OSError:  # no control groups here, so no containers either
        return False


def group_folders(group: str) -> list[Path]:
    """Where a group is, in each hierarchy that has it (v1, v2, both)."""
    places = [Path(CGROUPS), *(each for each in Path(CGROUPS).iterdir() if not each.is_symlink())]
    return [found for each in places if (found := each / group.strip("/")).is_dir()]


def count_oom_kills(group: str) -> int:
    """How many of its processes were ended for want of memory; to be asked before it is gone."""
    for folder in group_folders(group):
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                lines = (folder / name).read_text().splitlines()
                return int(dict(each.split() for each in lines)["oom_kill"])
    return 0


def thaw_groups(group: str) -> None:
    """Have all in a group and below it go on: in v1 no signal reaches what stands still."""
    for folder in _all_folders(group):
        for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            with contextlib.suppress(OSError):
                if (folder / name).exists():
                    (folder / name).write_text(word)


def kill_groups(group: str) -> bool:
    """Kill all in a group and below it, and remove what is empty; True when nothing is left."""
    found = _all_folders(group)
    for folder in found:
        with contextlib.suppress(OSError, ValueError):
            for pid in (folder / "cgroup.procs").read_text().split():
                _kill_process(int(pid))
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not any(each.exists() for each in found)


def sweep_groups(group: str) -> bool:
    """End all that an earlier supervisor left in a group, and remove it; False if some stays."""
    thaw_groups(group)
    until = time.monotonic() + _KILL_SECONDS
    while not kill_groups(group):
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_SECONDS)
    for folder in group_folders(os.path.dirname(group)):  # noqa: PTH120 - a group, no file
        with contextlib.suppress(OSError):  # another gate's are in it
            folder.rmdir()
    return True


def _all_folders(group: str) -> list[Path]:
    """The group and all below it, the deepest first, in each hierarchy."""
    return [
        Path(folder) for top in group_folders(group) for folder, _, _ in os.walk(top, topdown=False)
    ]


def _kill_process(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
