"""The control groups of a process, v1 and v2: where they are, what they limit, what they count.

One machine may have both (hybrid): each controller is in one of the two, and a file that is not
there is no limit. Limits of the groups above hold as well, so the least of all is what holds.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from gatelodge.ports.runtime import InstanceStats

_UNLIMITED = 1 << 60
"""v1 writes no limit of memory as the largest whole page."""


class ControlGroup(Struct, frozen=True):
    """Folder of a group in one hierarchy, and the folder where that hierarchy is mounted."""

    folder: Path
    top: Path

    def upwards(self) -> Iterator[Path]:
        """The group and those above it, without the root, which has no limits."""
        at = self.folder
        while at != self.top and self.top in at.parents:
            yield at
            at = at.parent


ControlGroups = dict[str, ControlGroup]
"""By controller (v1); "" is the one of v2."""


class GroupLimits(Struct, frozen=True):
    """What the groups allow; zero = no limit. Memory is with swap."""

    memory_bytes: int = 0
    processes: int = 0
    cpus: float = 0.0


def find_control_groups(pid: int | str = "self") -> ControlGroups:
    """The groups that a process is in. Raises OSError when it is gone."""
    mounts = _hierarchies()
    found: ControlGroups = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            if name in mounts:
                root, top = mounts[name]
                below = path.removeprefix(root) if root != "/" else path
                found[name] = ControlGroup(top / below.strip("/"), top)
    return found


def _hierarchies() -> dict[str, tuple[str, Path]]:
    """By controller ("" = v2): which group is mounted, and where."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, at = before.split(" ")[3:5]
        if kind == "cgroup2":
            found[""] = (root, Path(at))
        elif kind == "cgroup":
            found.update({each: (root, Path(at)) for each in options.split(",")})
    return found


def read_limits(groups: ControlGroups) -> GroupLimits:
    """What the groups and those above them allow."""
    return GroupLimits(
        memory_bytes=int(_least(_memory_limit(each) for each in _of(groups, "memory"))),
        processes=int(_least(_number(each / "pids.max") for each in _of(groups, "pids"))),
        cpus=_least(_processor_limit(each) for each in _of(groups, "cpu")),
    )


def read_group_stats(groups: ControlGroups) -> InstanceStats:
    """What the group of a process takes now; zero for what is not counted or gone."""
    memory, cpu = _own(groups, "memory"), _own(groups, "cpu")
    used = _keyed(cpu / "cpu.stat")
    seconds = used.get("usage_usec", 0) / 1e6
    return InstanceStats(
        memory_bytes=_number(memory / "memory.current")
        or _number(memory / "memory.usage_in_bytes"),
        cpu_seconds=seconds or _number(_own(groups, "cpuacct") / "cpuacct.usage") / 1e9,
        throttled_seconds=used.get("throttled_usec", 0) / 1e6 + used.get("throttled_time", 0) / 1e9,
        processes=_number(_own(groups, "pids") / "pids.current"),
        oom_kills=count_oom_kills(groups),
    )


def count_oom_kills(groups: ControlGroups) -> int:
    """How many processes the kernel ended in this group because its memory was used up."""
    memory = _own(groups, "memory")
    counted = _keyed(memory / "memory.events") or _keyed(memory / "memory.oom_control")
    return counted.get("oom_kill", 0)


def set_frozen(groups: ControlGroups, *, frozen: bool) -> None:
    """Have the group stand still, or go on; no signal reaches what stands still in v1.

    Raises OSError where the machine cannot.
    """
    if "freezer" in groups:
        (groups["freezer"].folder / "freezer.state").write_text("FROZEN" if frozen else "THAWED")
    else:
        (groups[""].folder / "cgroup.freeze").write_text("1" if frozen else "0")


def is_frozen(groups: ControlGroups) -> bool:
    """Say whether all in the group stands still by now. Raises OSError where it cannot be read."""
    if "freezer" in groups:
        state = (groups["freezer"].folder / "freezer.state").read_text()
        return state.strip() == "FROZEN"
    return "frozen 1" in (groups[""].folder / "cgroup.events").read_text().splitlines()


def _of(groups: ControlGroups, controller: str) -> Iterator[Path]:
    group = groups.get(controller) or groups.get("")
    return group.upwards() if group is not None else iter(())


def _own(groups: ControlGroups, controller: str) -> Path:
    """Its folder for a controller; one that is not there where it has none of its own."""
    return next(_of(groups, controller), Path("/nonexistent"))


def _memory_limit(folder: Path) -> int:
    """Memory with swap: v1 has one file for both, v2 adds two; without swap, memory alone."""
    own = _number(folder / "memory.max")
    if own:
        swap = folder / "memory.swap.max"
        if not swap.exists():
            return own
        text = _text(swap)
        return own + int(text) if text.isdigit() else 0
    both = folder / "memory.memsw.limit_in_bytes"
    return _number(both if both.exists() else folder / "memory.limit_in_bytes")


def _processor_limit(folder: Path) -> float:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not period:
        quota, period = (_text(folder / f"cpu.cfs_{each}_us") for each in ("quota", "period"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else 0.0


def _least(found: Iterator[float]) -> float:
    return min((each for each in found if each), default=0)


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else 0


def _keyed(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {each[0]: int(each[1]) for each in pairs if len(each) == 2 and each[1].isdigit()}


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
