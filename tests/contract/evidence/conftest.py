"""A place of evidence on this machine."""

import pytest
from tests.contract.evidence.places import Place


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def place():
    made = await Place().start()
    yield made
    await made.stop()
