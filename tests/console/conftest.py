from collections.abc import Iterator

import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, stub

__all__ = ["house", "stub"]


@pytest.fixture(scope="session")
def console_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gate of these files' own: pages show all that there is, and some of it is a crowd."""
    # Each module signs everybody in, and many of them are done within a minute.
    limits = ("limits.body_bytes=65536", "limits.own_changes_per_minute=60")
    made = Gate(tmp_path_factory.mktemp("console") / "data", *limits)
    with made.prepared().running() as gate:
        yield House(gate)


@pytest.fixture(scope="module")
def house(console_house: House) -> House:
    return console_house
