"""What changes is told once for each change, and never without end."""

import asyncio
import logging

import pytest
from tests.fakes.world import StillClock

from gatelodge.adapters.upstream.pace.server_lines import ServerLines
from gatelodge.core.events.changes import MOST, StateChanges
from gatelodge.flows.audit.tallies import MOST_LINES, RefusalTallies
from gatelodge.flows.health import LONG_SECONDS, NodeHealth


def test_a_state_that_stays_is_told_once():
    changes = StateChanges("fresh")
    for _ in range(3):
        changes.become("stale", "no proof")
        first = changes.due(0.0)
        if first is not None:
            assert (first.before, first.state, first.why) == ("fresh", "stale", "no proof")
    assert changes.due(99.0) is None


def test_what_flaps_is_told_so_often_and_in_the_end_as_it_is():
    changes, told = StateChanges("fresh"), []
    for turn in range(51):
        changes.become("stale" if turn % 2 == 0 else "fresh")
        told += filter(None, [changes.due(1.0)])
    assert len(told) == MOST
    assert told[-1].state == "fresh"
    assert changes.due(30.0) is None
    last = changes.due(62.0)
    assert last is not None
    assert (last.state, last.untold) == ("stale", 51 - MOST - 1)
    assert changes.due(62.0) is None


def test_a_server_that_is_away_failed_and_back_is_named_at_each_change(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "gatelodge")
    lines = ServerLines("crm")
    for state in ("ready", "ready", "waiting", "waiting", "failed", "ready"):
        lines.change(state, "The server exited with status 1.", 0.0)  # type: ignore[arg-type]
    assert [(each.levelname, "crm" in each.message) for each in caplog.records] == [
        ("INFO", True),
        ("WARNING", True),
        ("ERROR", True),
        ("WARNING", True),
    ]
    assert "status 1" in caplog.records[2].message


@pytest.mark.anyio
async def test_many_refused_sign_ins_are_two_lines_and_their_number(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gatelodge.flows.audit.tallies.BURST_SECONDS", 0.01)
    tallies = RefusalTallies(StillClock(), lambda *_: None)
    for _ in range(5):
        tallies.auth_failed("calls/wsp_1", "ended", None, "crd_7")
    assert [each.message.partition(";")[0] for each in caplog.records] == [
        "a sign-in was refused (ended, crd_7)"
    ]
    async with asyncio.timeout(5):
        while len(caplog.records) < 2:  # noqa: ASYNC110 - a line sets no event
            await asyncio.sleep(0.005)
    assert "5 sign-ins were refused (ended, crd_7)" in caplog.records[1].message


@pytest.mark.anyio
async def test_strangers_cannot_write_lines_without_end(caplog: pytest.LogCaptureFixture):
    tallies = RefusalTallies(StillClock(), lambda *_: None)
    for number in range(60):
        tallies.auth_failed("calls/wsp_1", "ended", None, f"crd_{number}")
    assert len(caplog.records) == MOST_LINES
    tallies.close()


def test_work_that_does_not_come_to_an_end_is_late_while_it_lasts():
    clock = StillClock()
    health = NodeHealth(clock.boottime)
    with health.watched("signing the logs"):
        assert health.late() == frozenset()
        clock.step(LONG_SECONDS)
        assert health.late() == {"signing the logs"}
    assert health.late() == frozenset()
