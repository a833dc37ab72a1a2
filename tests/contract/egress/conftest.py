"""The files of an image, made once for each worker."""

from pathlib import Path

import pytest
from tests.contract.egress.images import made_root
from tests.contract.loops import leave_second_loop_to_weekly

_SLOWER = frozenset({"entered by a program", "of runc", "of landlock"})


def pytest_collection_modifyitems(items):
    leave_second_loop_to_weekly(items, Path(__file__).parent, _SLOWER)


@pytest.fixture(scope="session")
def image_root():
    with made_root() as root:
        yield root
