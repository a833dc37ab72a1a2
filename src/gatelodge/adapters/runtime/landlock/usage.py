"""What the processes of an instance take, added up from /proc: there is no control group to ask.

Memory is what is theirs alone (anonymous and shared memory), not files that others map as well, nor
what lies in their /tmp. Source: proc(5).
"""

import contextlib
import os
from pathlib import Path

from gatelodge.ports.runtime import InstanceStats

_TICKS = os.sysconf("SC_CLK_TCK")
_OWN_MEMORY = ("RssAnon", "RssShmem")
_MOST = 4096
"""Processes that are looked at: the bound of an instance is far below."""


def read_usage(*roots: int) -> InstanceStats:
    """What these processes and all below them take now; whoever ends meanwhile is left out."""
    todo, memory, ticks, processes = list(roots), 0, 0, 0
    while todo and processes < _MOST:
        proc = Path(f"/proc/{todo.pop()}")
        with contextlib.suppress(OSError, ValueError, LookupError):
            status = (proc / "status").read_text().splitlines()
            lines = dict(line.split(":", 1) for line in status)
            memory += sum(int(lines.get(name, "0").split()[0]) for name in _OWN_MEMORY)
            spent = (proc / "stat").read_text().rpartition(")")[2].split()[11:15]
            ticks += sum(map(int, spent))
            processes += 1
            todo += map(int, (proc / "task" / proc.name / "children").read_text().split())
    return InstanceStats(memory_bytes=memory << 10, cpu_seconds=ticks / _TICKS, processes=processes)
