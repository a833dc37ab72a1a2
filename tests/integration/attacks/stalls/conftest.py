"""The watched gate that these tests share, at the default limits."""

from collections.abc import Iterator

import pytest
from tests.integration.attacks.stalls.throwing import Pitch
from tests.integration.attacks.stalls.watched_gate import WatchedGate
from tests.stage import Place, Servers


@pytest.fixture(scope="session")
def pitch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pitch]:
    """A gate of their own, with a member who has a token."""
    gate = WatchedGate(tmp_path_factory.mktemp("stalls") / "gate")
    with gate.running():
        made = gate.cli("workspace", "create", "stalls", "--owner", "owner@stalls.example.test")
        place = Place(gate, "stalls", made["token"])
        yield Pitch(gate, place, place.admit("ada"))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Servers that a test scripts."""
    running = Servers()
    try:
        yield running
    finally:
        running.close()
