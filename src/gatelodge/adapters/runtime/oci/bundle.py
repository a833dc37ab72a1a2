"""What a container is made of: its configuration as the OCI runtime specification 1.0.2 has it.

A user namespace with a range of ids of its own, no capability, no new privileges, our seccomp
profile, a root that nobody can write to, no /sys, no network but `lo`, and limits. gVisor keeps
user, privileges and calls within its own kernel, so there its bundle has neither range nor profile.
"""

from typing import Any, Final

from msgspec import Struct

from gatelodge.adapters.runtime.seccomp.profile import seccomp_profile
from gatelodge.core.hosting.facts import OWN_KERNEL_PROCESSES, IsolationTier
from gatelodge.core.hosting.limits import InstanceLimits

RANGE: Final = 65_536
"""Ids of one container."""
INSIDE_ID: Final = 10_001
"""Uid and gid of the program, as it sees them itself."""
RESOLV_CONF: Final = "/etc/resolv.conf"
_FILES, _CPU_PERIOD = 1024, 100_000
_NAMESPACES = ("pid", "ipc", "uts", "mount", "network", "cgroup")
_CAPABILITIES = ("bounding", "effective", "inheritable", "permitted", "ambient")
_TMPFS = ["nosuid", "noexec", "nodev"]
# runc 1.1 gives a tmpfs the mode of the image's directory, whatever is asked for: hence the owner.
_OWN = ["mode=1777", f"uid={INSIDE_ID}", f"gid={INSIDE_ID}"]
_HIDDEN = """
    /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats
    /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/firmware
"""
_READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"


class BundlePlan(Struct, frozen=True, kw_only=True):
    """What a container is made from.

    `first_id` is the first of its ids on this machine, `folder` its bundle, which also
    has its /run, and `group` the path of its control group. `names` = its image names servers for
    names, which the gate's own takes the place of; without a list that is where everybody asks.
    """

    command: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    limits: InstanceLimits
    tier: IsolationTier
    first_id: int
    folder: str
    group: str
    names: bool = False


def container_config(plan: BundlePlan) -> dict[str, Any]:
    """The `config.json` of a container."""
    own_kernel = plan.tier == "strong"
    namespaces = [{"type": each} for each in _NAMESPACES]
    linux: dict[str, Any] = {
        "namespaces": namespaces,
        "resources": _resources(plan.limits, OWN_KERNEL_PROCESSES if own_kernel else 0),
        "cgroupsPath": plan.group,
        "maskedPaths": _HIDDEN.split(),
        "readonlyPaths": _READ_ONLY.split(),
    }
    if not own_kernel:
        namespaces.append({"type": "user"})
        ids = [{"containerID": 0, "hostID": plan.first_id, "size": RANGE}]
        linux |= {"uidMappings": ids, "gidMappings": ids, "seccomp": seccomp_profile()}
    return {
        "ociVersion": "1.0.2",
        "hostname": "mcp",
        "root": {"path": f"{plan.folder}/rootfs", "readonly": True},
        "process": _process(plan),
        "mounts": _mounts(plan),
        "linux": linux,
    }


def secret_owner(plan: BundlePlan) -> tuple[int, int]:
    """Uid and gid that the container's secrets belong to on this machine: 0 and the program's."""
    first = 0 if plan.tier == "strong" else plan.first_id
    return first, first + INSIDE_ID


def _process(plan: BundlePlan) -> dict[str, Any]:
    return {
        "terminal": False,
        "user": {"uid": INSIDE_ID, "gid": INSIDE_ID, "umask": 0o077},
        "args": list(plan.command),
        "env": [f"{name}={value}" for name, value in plan.env.items()],
        "cwd": plan.cwd,
        "capabilities": {each: [] for each in _CAPABILITIES},
        "rlimits": [
            {"type": "RLIMIT_NOFILE", "hard": _FILES, "soft": _FILES},
            {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
        ],
        "noNewPrivileges": True,
        # It is the first to go when the whole machine runs out; it can undo that itself.
        "oomScoreAdj": 500,
    }


def _resources(limits: InstanceLimits, kernel_processes: int) -> dict[str, Any]:
    memory = limits.memory_mib << 20
    return {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": memory, "swap": memory},
        "pids": {"limit": limits.processes + kernel_processes},
        "cpu": {"quota": int(limits.cpus * _CPU_PERIOD), "period": _CPU_PERIOD},
    }


def _mounts(plan: BundlePlan) -> list[dict[str, Any]]:
    shown = ["rbind", "ro", *_TMPFS]
    found = [
        _mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
        _mount("/dev", "tmpfs", ["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]),
        _mount("/dev/shm", "tmpfs", [*_TMPFS, *_OWN, "size=16m"]),  # noqa: S108 - its own
        _mount("/tmp", "tmpfs", [*_TMPFS, *_OWN, f"size={plan.limits.tmp_mib}m"]),  # noqa: S108 - its own
        # With what is in it: gVisor can mount nothing below a tmpfs of the container.
        {"destination": "/run", "type": "bind", "source": f"{plan.folder}/run", "options": shown},
    ]
    if plan.names:
        place = {"source": f"{plan.folder}/run/resolv.conf", "options": shown}
        found.append({"destination": RESOLV_CONF, "type": "bind", **place})
    return found


def _mount(at: str, kind: str, options: list[str]) -> dict[str, Any]:
    return {"destination": at, "type": kind, "source": kind, "options": options}
