"""What a bridge finds around itself before it starts anything. The standard library only."""

import asyncio
import contextlib
import os
import platform
import resource
import socket
from pathlib import Path
from typing import Any

_UNLIMITED = 1 << 60
_ATTEMPT_SECONDS = 0.7


def facts() -> dict[str, Any]:
    """What the kernel says of this container, read from inside."""
    status = dict(
        line.split(":\t", 1) for line in _text("/proc/self/status").splitlines() if ":\t" in line
    )
    rights = int(status.get("CapEff", "0"), 16) | int(status.get("CapBnd", "0"), 16)
    root, writable = _mounts()
    return {
        "machine": platform.machine(),
        "uid": os.getuid(),
        "uid_map": " ".join(_text("/proc/self/uid_map").split()),
        "capabilities": f"{rights:x}",
        "seccomp": status.get("Seccomp", "").strip() == "2",
        "no_new_privileges": status.get("NoNewPrivs", "").strip() == "1",
        "root_read_only": root,
        "writable": writable,
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "memory_bytes": _limit("memory.max", "memory/memory.limit_in_bytes"),
        "cpus": _processors(),
        "processes": resource.getrlimit(resource.RLIMIT_NPROC)[1],
    }


def bound_processes(most: int) -> None:
    """From now on there are so many processes of our uid at most, ourselves included; no cores.

    No pod has a limit of processes of its own. This one is the kernel's count of a uid, which no
    other instance of the gate has; what we start inherits it and cannot raise it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def stats() -> dict[str, float]:
    """What this container takes now, ourselves included."""
    used = _keyed("cpu.stat")
    v1 = _number("cpuacct/cpuacct.usage") or _number("cpu,cpuacct/cpuacct.usage")
    return {
        "memory_bytes": _number("memory.current") or _number("memory/memory.usage_in_bytes"),
        "cpu_seconds": used.get("usage_usec", 0) / 1e6 or v1 / 1e9,
        "throttled_seconds": used.get("throttled_usec", 0) / 1e6
        or _keyed("cpu/cpu.stat").get("throttled_time", 0) / 1e9,
        "processes": sum(each.name.isdigit() for each in Path("/proc").iterdir()) - 1,
        "oom_kills": oom_kills(),
    }


def oom_kills() -> int:
    """How many processes the kernel ended here because the memory was used up."""
    counted = _keyed("memory.events") or _keyed("memory/memory.oom_control")
    return counted.get("oom_kill", 0)


def control_plane() -> list[list[Any]]:
    """Where the cluster's API is, as each pod is told; what is kept in must not reach it."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{what}", "") for what in ("HOST", "PORT"))
    return [[host, int(port)]] if host and port.isdigit() else []


async def break_out(places: list[list[Any]], seconds: float) -> list[str]:
    """Try to connect to each place; those that could be connected to, at last.

    A network may take some moments to learn that it shall keep us in, so we try until nothing is
    reached, for so many seconds at most.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        tried = await asyncio.gather(*(_connects(str(host), int(port)) for host, port in places))
        reached = [f"{at[0]}:{at[1]}" for at, got in zip(places, tried, strict=True) if got]
        if not reached or loop.time() >= until:
            return reached
        await asyncio.sleep(0.2)


async def _connects(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _ATTEMPT_SECONDS)
    except ConnectionRefusedError:
        return True  # it was there, and answered
    except (TimeoutError, OSError):
        return False
    writer.close()
    return True


def _mounts() -> tuple[bool, list[str]]:
    """Whether the root is read-only, and where one can write."""
    read_only, writable = False, []
    for line in _text("/proc/self/mountinfo").splitlines():
        at, options = line.split(" ")[4:6]
        if at == "/":
            read_only = "ro" in options.split(",")
        elif "rw" in options.split(",") and Path(at).is_dir() and os.access(at, os.W_OK):
            writable.append(at)
    return read_only, sorted(writable)


def _processors() -> float:
    quota, _, period = _text("/sys/fs/cgroup/cpu.max").partition(" ")
    if not period:
        quota, period = (
            _text(f"/sys/fs/cgroup/cpu/cpu.cfs_{each}_us") for each in ("quota", "period")
        )
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else 0.0


def _limit(*names: str) -> int:
    found = [number for name in names if 0 < (number := _number(name)) < _UNLIMITED]
    return min(found, default=0)


def _number(name: str) -> int:
    text = _text(f"/sys/fs/cgroup/{name}")
    return int(text) if text.isdigit() else 0


def _keyed(name: str) -> dict[str, int]:
    pairs = (line.split() for line in _text(f"/sys/fs/cgroup/{name}").splitlines())
    return {each[0]: int(each[1]) for each in pairs if len(each) == 2 and each[1].isdigit()}


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text().strip()
    return ""
