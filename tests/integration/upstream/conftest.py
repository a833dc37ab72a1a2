"""What tests of the pool share: the loop that the gate uses, and a pool that leaves nothing."""

from collections.abc import AsyncIterator

import pytest
from tests.upstreams.pools import make_pool

from gatelodge.adapters.upstream.pool import UpstreamPool


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def pool() -> AsyncIterator[UpstreamPool]:
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}
