"""What this process may do and leave behind, settled before it opens anything.

Its memory holds payloads, live tokens and keys, so no core dump is written of it and no process of
the same user may look into it. It may open as many files as its clients and everything else need.
"""

import contextlib
import ctypes
import logging
import resource
import sys

log = logging.getLogger(__name__)

RESERVED = 1024
"""Descriptors that no client's connection takes: journal, database, servers, the local socket."""
_PR_SET_DUMPABLE = 4


def close_memory() -> None:
    """Let nothing of this process's memory reach a core file or another process.

    A child is as dumpable as ever once it runs its own program; its limit for core files stays 0.
    """
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # The limit alone does not keep a handler (kernel.core_pattern with a pipe) from a dump.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def room_for(connections: int) -> int:
    """Raise the limit of open files as far as needed; how many client connections it leaves.

    Says so when that is less than asked for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            # Where a container forbids it fewer connections are taken, as is told below.
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, more), hard))
            soft = max(soft, more)
    left = share(soft, connections)
    if left < connections:
        log.warning(
            "limits.connections is %d, but this process may open %d files: %d connections are "
            "taken; raise the limit of open files (ulimit -n, LimitNOFILE)",
            connections,
            soft,
            left,
        )
    return left


def share(files: int, connections: int) -> int:
    """How many of these files may be client connections; at least half are, and one."""
    if files == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, files - min(RESERVED, files // 2)))
