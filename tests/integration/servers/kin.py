"""Who descends from a process, and whether any of them is alive.

A process that left its parent is still known by its environment: each child of a gate is given a
home in the gate's own folder for temporary files.
"""

from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process as nobody else is ever: its id, and when it started."""

    pid: int
    since: str


def family(pid: int) -> set[Process]:
    """The descendants of a process that run now."""
    parents = {found: parent for found, (parent, _, _) in _running().items()}
    members = {pid}
    while more := {one for one, parent in parents.items() if parent in members} - members:
        members |= more
    return {
        Process(one, since) for one, (_, since, _) in _running().items() if one in members - {pid}
    }


def homed(folder: Path) -> set[Process]:
    """The processes whose home lies in this folder."""
    mark = f"HOME={folder}/".encode()
    found = set()
    for pid, (_, since, _) in _running().items():
        try:
            told = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if mark in told:
            found.add(Process(pid, since))
    return found


def alive(among: set[Process]) -> set[Process]:
    """Those that still run; a zombie does not."""
    now = {Process(pid, since) for pid, (_, since, state) in _running().items() if state != "Z"}
    return among & now


def _running() -> dict[int, tuple[int, str, str]]:
    """Parent, start and state of each process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                told = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(folder.name)] = (int(told[1]), told[19], told[0])
    return found
