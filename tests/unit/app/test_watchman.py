"""The watchman says what holds everything up, when it begins and when it ends."""

import asyncio

import pytest
from tests.fakes.world import StillClock
from tests.gate import WAIT

from gatelodge.app.keeping import watchman
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.health import LONG_SECONDS, RED_SECONDS, NodeHealth


class WellDatabase:
    """A database whose directory is ours, and which takes changes."""

    room = None
    unwritable = ""

    def check_lock(self) -> None:
        return


@pytest.mark.anyio
async def test_what_fails_or_is_late_is_told_once_and_once_when_it_is_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchman, "_LOOK_SECONDS", 0.005)
    clock = StillClock()
    health = NodeHealth(clock.boottime)
    watching = watchman.DiskWatchman(WellDatabase(), health, InFlight())  # type: ignore[arg-type]
    running = asyncio.get_running_loop().create_task(watching.run())

    async def said(what: str) -> None:
        async with asyncio.timeout(WAIT):
            while not any(what in each.message for each in caplog.records):  # noqa: ASYNC110 - a line sets no event
                await asyncio.sleep(0.005)

    with health.watched("signing the logs"):
        clock.step(LONG_SECONDS)
        await said("signing the logs takes longer")
    await said("signing the logs is not late any more")
    health.failed("following the gov log", "the store failed (57P01)")
    clock.step(RED_SECONDS)
    await said("following the gov log fails: the store failed (57P01)")
    health.well("following the gov log")
    await said("following the gov log goes well again")
    running.cancel()
    assert len(caplog.records) == 4
