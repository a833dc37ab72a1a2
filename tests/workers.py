"""How tests are spread: those that share what is dear to set up stand together on one worker."""

import os
from pathlib import PurePosixPath
from typing import Any

from xdist.scheduler import LoadScopeScheduling

ROOMS = ("bridges", "clients", "door", "endpoint", "house", "members", "nouns", "servers")
"""Folders whose files share a gate, or the parsed source: a second worker would need another."""


class Together(LoadScopeScheduling):
    """Hands out such a folder, or else a file, as a whole; those with the most tests come first."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return str(file.parent if file.parent.name in ROOMS else file)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    """Spread the tests in this way."""
    return Together(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: a test mostly waits, for a process to start or for a limit."""
    return len(os.sched_getaffinity(0)) + 2
