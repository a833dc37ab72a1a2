"""Fixtures that every room's tests may ask for, and how many examples a property is tried with."""

import gc
import re
import signal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from tests.integration.admin_house import admin_house
from tests.postgres import own_postgres_url, postgres_url
from tests.stage import stage
from tests.workers import (
    pytest_collection_modifyitems,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)

__all__ = [
    "admin_house",
    "own_postgres_url",
    "postgres_url",
    "pytest_collection_modifyitems",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
    "stage",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The loop of asynchronous tests; where it matters, their room runs them on uvloop."""
    return "asyncio"


# What is imported and collected stays to the end, so the collector has nothing to find in it.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on there is something to collect, but for what was made so far."""
    gc.collect()
    gc.freeze()
    gc.enable()


_SLOW_FILE = re.compile(r"^pytestmark = (\[[^]]*)?pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run without slow tests imports no file that holds no others: each worker would."""
    if config.option.markexpr != "not slow":
        return None
    is_room = (collection_path / "conftest.py").exists()
    is_test = collection_path.match("test_*.py")
    return ((is_room or is_test) and _is_wholly_slow(collection_path)) or None


@cache
def _is_wholly_slow(path: Path) -> bool:
    if path.is_dir():
        return path.name == "node_modules" or all(map(_is_wholly_slow, path.iterdir()))
    return not path.match("test_*.py") or _SLOW_FILE.search(path.read_text()) is not None


# A shell ignores SIGINT for what it starts in the background, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The machine may be busy with other tests: how long one example takes says nothing.
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("many", max_examples=200, deadline=None)
settings.load_profile("quick")  # `make slow` asks for the other one
