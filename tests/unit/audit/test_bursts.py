"""Nobody of a burst is answered before its first record is durable."""

import asyncio

import pytest
from tests.fakes.world import StillClock

from gatelodge.core.errors import LedgerDown
from gatelodge.core.records.origin import UNROUTED
from gatelodge.flows.audit.tallies import RefusalTallies

pytestmark = pytest.mark.anyio


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
    tallies = RefusalTallies(StillClock(), disk)
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


def end_window(tallies):
    """What the timer does after a second."""
    (kind,) = tallies._bursts
    tallies._bursts[kind].timer.cancel()
    tallies._window_ended(kind)


async def test_however_long_a_burst_lasts_nobody_of_it_is_answered_before_its_first_is_durable():
    disk = Disk()
    tallies = RefusalTallies(StillClock(), disk)
    for _ in range(3):
        await knock(tallies, 2)
        end_window(tallies)
    (late,) = await knock(tallies, 1)
    assert not late.done()
    assert disk.waiting[1:] == [None] * 3
    disk.waiting[0].set_result(None)
    await asyncio.wait_for(late, 5)
    tallies.close()


async def test_where_a_bursts_first_came_to_nothing_its_next_record_is_waited_for():
    disk = Disk()
    tallies = RefusalTallies(StillClock(), disk)
    made = await knock(tallies, 2)
    disk.waiting[0].set_exception(LedgerDown("the disk is full"))
    await asyncio.wait_for(asyncio.gather(*made, return_exceptions=True), 5)
    end_window(tallies)
    (late,) = await knock(tallies, 1)
    assert not late.done()
    disk.waiting[1].set_result(None)
    await asyncio.wait_for(late, 5)
    tallies.close()
