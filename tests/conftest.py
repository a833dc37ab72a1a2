"""Fixtures that every room's tests may ask for, and how many examples a property is tried with."""

import gc
import signal

import pytest
from hypothesis import settings
from tests.postgres import own_postgres_url, postgres_url
from tests.workers import pytest_xdist_auto_num_workers, pytest_xdist_make_scheduler

__all__ = [
    "own_postgres_url",
    "postgres_url",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The loop of asynchronous tests; where it matters, their room runs them on uvloop."""
    return "asyncio"


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no collection has to look at it again."""
    gc.collect()
    gc.freeze()


# A shell ignores SIGINT for what it starts in the background, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The machine may be busy with other tests: how long one example takes says nothing.
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("many", max_examples=200, deadline=None)
settings.load_profile("quick")  # `make slow` asks for the other one
