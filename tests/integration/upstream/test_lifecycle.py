"""What begins, ends, breaks and comes back while something else does: nothing is left or lost."""

import asyncio

import pytest
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import LOOPS, http, make_pool, ready, until

from gatelodge.core.errors import UpstreamUnreachable

pytestmark = pytest.mark.anyio
NOTHING_OPEN = {"calls": 0, "connections": 0, "children": 0, "tasks": 0}
LISTENING = "gatelodge.adapters.upstream.http.wire"


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
async def upstream():
    made = await HttpUpstream(era="legacy").start()
    yield made
    await made.stop()


@pytest.fixture
async def pool():
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == NOTHING_OPEN


async def test_nothing_is_begun_while_the_pool_ends(pool, upstream):
    answers = asyncio.Event()
    upstream.methods["DELETE"] = lambda _: answers.wait()
    at = http(upstream.url)
    await ready(pool, at)
    closing = asyncio.create_task(pool.close())
    await until(lambda: upstream.requests[-1].verb == "DELETE", "its session is ended")
    await pool.reconcile((at,))
    with pytest.raises(UpstreamUnreachable):
        await pool.observe(at)
    answers.set()
    await closing
    assert pool.counts() == NOTHING_OPEN
