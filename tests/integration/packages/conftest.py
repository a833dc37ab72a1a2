"""A registry whose every answer a test writes, and what pulls from it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.packages.image_registry import PlayedRegistry, Puller


@pytest.fixture
async def registry() -> AsyncIterator[PlayedRegistry]:
    made = PlayedRegistry()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def puller(tmp_path: Path, registry: PlayedRegistry) -> Puller:
    return Puller(tmp_path / "gate", f"http://{registry.host}")
