"""Nobody of a burst is answered before its first record is durable."""

import asyncio

import pytest
from tests.fakes.world import StillClock

from gatelodge.core.errors import LedgerDown
from gatelodge.core.records.origin import UNROUTED
from gatelodge.flows.audit.tallies import RefusalTallies

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Disk:
    """Keeps the leaves, and who waits for each."""

    def __init__(self):
        self.waiting = []

    def __call__(self, _log, _leaf, durable):
        self.waiting.append(durable)


async def knock(tallies, times):
    loop = asyncio.get_running_loop()
    made = [loop.create_future() for _ in range(times)]
    for each in made:
        tallies.auth_failed(UNROUTED, "unknown", each)
    await asyncio.sleep(0)
    return made


@pytest.mark.parametrize("fault", [None, LedgerDown("the disk is gone")])
async def test_each_of_a_burst_waits_until_its_first_is_durable_and_hears_how_that_ended(fault):
    disk = Disk()
    tallies = RefusalTallies(StillClock(), "n1", disk)
    leaving, *others = await knock(tallies, 3)
    leaving.cancel()
    (written,) = disk.waiting
    assert not any(each.done() for each in others)
    if fault is None:
        written.set_result(None)
    else:
        written.set_exception(fault)
    told = await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)
    assert told == [fault] * 2
    (late,) = await knock(tallies, 1)
    assert late.exception() is fault
    tallies.close()
