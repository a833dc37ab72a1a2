"""How tests are spread: those that share what is dear to set up stand together on one worker."""

import os
from pathlib import PurePosixPath
from typing import Any

from xdist.scheduler import LoadScopeScheduling

ROOMS = {
    "tests/console": "console",
    "tests/house": "house",
    "tests/integration/attacks/clients": "attacks",
    "tests/integration/attacks/members": "attacks",
    "tests/integration/attacks/servers": "attacks",
    "tests/integration/bridges": "bridges",
    "tests/integration/clients": "clients",
    "tests/integration/door": "door",
    "tests/integration/endpoint": "endpoint",
    "tests/integration/nouns": "admin house",
    "tests/integration/servers": "servers",
    "tests/integration/test_admin_api.py": "admin house",
    "tests/integration/test_admin_rules.py": "admin house",
    "tests/integration/test_admin_servers.py": "admin house",
}
"""What shares a gate, or the parsed source: a second worker would need another."""

SPREAD = ("test_bad_disk", "test_directory_damage", "test_gateway", "test_kill")
"""Files of few tests that take long each and share little: together they would be the last."""


class Together(LoadScopeScheduling):
    """Hands out such a room, or else a file, as a whole; those with the most tests come first.

    Of a file whose tests take long each, every test is handed out alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        if file.stem in SPREAD:
            return nodeid
        return ROOMS.get(str(file)) or ROOMS.get(str(file.parent)) or str(file)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    """Spread the tests in this way."""
    return Together(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: a test mostly waits, for a process to start or for a limit."""
    return len(os.sched_getaffinity(0)) + 2
