"""What the figures were measured on: the machine's description and its disk's bare commit."""

import os
import platform
import time
from pathlib import Path

from msgspec import Struct

from bench import TARGET_CORE

RECORD = 512  # bytes, about one audit record
COMMITS = 400


class Machine(Struct, frozen=True):
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    disk: str


class Commit(Struct, frozen=True):
    """One round of bare commits, in milliseconds."""

    p50: float
    p99: float


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _disk(folder: Path) -> str:
    """Name the file system and the device that a folder stands on."""
    best = ("", "unknown", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, point, kind, *_ = line.split()
        if folder.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind, device)
    return f"{best[1]} on {best[2]}"


def describe(folder: Path) -> Machine:
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        disk=_disk(folder),
    )


def bare_commit(folder: Path) -> Commit:
    """Measure one write and its fdatasync, over and over, on a file whose blocks are there.

    The file is filled with zeros first: a growing file would pay for its metadata as well.
    """
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {TARGET_CORE})
    file = os.open(folder / "commit", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, bytes(RECORD * COMMITS), 0)
        os.fsync(file)
        record, took = os.urandom(RECORD), []
        for number in range(COMMITS):
            began = time.perf_counter()
            os.pwrite(file, record, number * RECORD)
            os.fdatasync(file)
            took.append(time.perf_counter() - began)
    finally:
        os.close(file)
        os.sched_setaffinity(0, here)
    took.sort()
    return Commit(p50=took[COMMITS // 2] * 1000, p99=took[COMMITS * 99 // 100] * 1000)
