"""How tests are spread: those that share what is dear to set up stand together on one worker."""

import os
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

import pytest
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

SPREAD = (
    "test_bad_disk",
    "test_directory_damage",
    "test_gateway",
    "test_hosted_from_packages",
    "test_kill",
)
"""Files of few tests that take long each and share little: together they would be the last."""

LONG = (
    "test_kill",
    "test_directory_damage",
    "test_browser",
    "test_odd_requests",
    "test_requests",
    "test_start_refused",
    "test_hosted_from_packages",
    "test_answers",
    "test_lossless",
    "test_scripts_of_packages",
)
"""Files of slow tests that take minutes, the longest first: one that begins late ends alone."""


def scope_of(nodeid: str) -> str:
    """What is handed out together with this test: its room, its file, or it alone."""
    file = PurePosixPath(nodeid.partition("::")[0])
    if file.stem in SPREAD:
        return nodeid
    return ROOMS.get(str(file)) or ROOMS.get(str(file.parent)) or str(file)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several workers each has the long files first, then what has the most tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    scopes = [scope_of(item.nodeid) for item in items]
    count = Counter(scopes)
    first = {scope: at for at, scope in reversed(list(enumerate(scopes)))}
    long = dict(zip(LONG, range(len(LONG)), strict=True))
    is_slow = "not slow" not in config.option.markexpr

    def place(item: pytest.Item) -> tuple[int, int, int]:
        scope = scope_of(item.nodeid)
        late = long.get(item.path.stem, len(LONG)) if is_slow else 0
        return late, -count[scope], first[scope]

    items.sort(key=place)


class Together(LoadScopeScheduling):
    """Hands out such a room, or else a file, as a whole, in the order of the collection.

    Of a file whose tests take long each, every test is handed out alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> LoadScopeScheduling:
    """Spread the tests in this way."""
    config.option.loadscopereorder = False
    return Together(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: a test mostly waits, for a process to start or for a limit."""
    return len(os.sched_getaffinity(0)) + 2
