"""What is recorded is counted where it is recorded: each request once, and nothing that is not."""

import asyncio

import msgspec
import pytest
from tests.ledgers import sqlite_sessions
from tests.logbook import ANN, LOG, Logbook

from gatelodge.core.errors import LimitReached
from gatelodge.core.records.leaves import CallOutcome, RequestAnswered, RequestRefused
from gatelodge.core.records.origin import UNROUTED
from gatelodge.flows.counts import CALL_MS, Histogram, merged

pytestmark = pytest.mark.anyio


@pytest.fixture
async def book(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    made = await Logbook.open(tmp_path, sessions)
    await made.sequencer.recover(frozenset())
    yield made
    await made.close()
    sessions.engine.dispose()


def ending(call: str, **more) -> CallOutcome:
    return CallOutcome(**{"call": call, "outcome": "ok", "ms": 7, "bytes_out": 0, **more})


async def test_calls_are_counted_by_server_and_outcome_with_their_durations(book):
    for server, outcome, ms in (
        ("srv_1", "ok", 5),
        ("srv_1", "timeout", 60_001),
        ("srv_2", "ok", 0),
    ):
        call = await book.begun()
        book.recorder.outcome(LOG, server, ending(call, outcome=outcome, ms=ms), None)
    calls = book.recorder.counts.calls
    assert set(calls) == {(LOG, "srv_1"), (LOG, "srv_2")}
    assert calls[LOG, "srv_1"].outcomes == {"ok": 1, "timeout": 1}
    durations = calls[LOG, "srv_1"].durations
    assert (durations.total, sum(durations.buckets)) == (60_006, 2)
    assert durations.buckets[CALL_MS.index(5)] == 1
    assert durations.buckets[CALL_MS.index(60_000) + 1] == 1


async def test_an_outcome_that_is_written_again_is_one_call(book):
    call = await book.begun()
    book.recorder.outcome(LOG, "", ending(call), None)
    book.recorder.outcome(LOG, "", ending(call), None, again=True)
    assert book.recorder.counts.calls[LOG, ""].outcomes == {"ok": 1}


async def test_what_is_added_up_in_the_log_is_counted_one_by_one(book):
    for _ in range(5):
        book.recorder.auth_failed(UNROUTED, "malformed")
        book.recorder.refused(
            UNROUTED, None, RequestRefused(bytes_in=1, http=404, reason="not_found"), None
        )
    book.recorder.close()
    await book.begun()  # behind all of those
    await book.sequencer.drain()
    counts = book.recorder.counts
    assert counts.unauthenticated == {(UNROUTED, "malformed"): 5}
    assert counts.refused == {(UNROUTED, "not_found"): 5}
    leaves = [msgspec.json.decode(body) for body in await book.bodies(UNROUTED)]
    failed = [leaf["count"] for leaf in leaves if leaf["t"] == "auth.failed"]
    assert sum(failed) == 5 > len(failed)


async def test_what_leaves_no_record_is_not_counted(book):
    answer = RequestAnswered(
        bytes_in=1, bytes_out=1, gov=1, method="ping", ms=0, outcome="ok", proto="2025-06-18"
    )
    book.recorder.answered(LOG, ANN, answer, None)
    large = msgspec.structs.replace(answer, method="m" * 17_000)
    with pytest.raises(LimitReached):
        book.recorder.answered(LOG, ANN, large, None)
    await book.denied()
    book.recorder.withheld(LOG, "c_1", "tools/call", "revoked")
    counts = book.recorder.counts
    assert counts.answered == {(LOG, "ok"): 1}
    assert counts.denied == {(LOG, "no_grant"): 1}
    assert counts.withheld == {(LOG, "revoked"): 1}


async def test_the_sequencer_says_when_it_last_found_everything_signed(book):
    assert book.sequencer.signed_at == book.clock.boottime()
    running = asyncio.ensure_future(book.sequencer.run())
    await asyncio.sleep(0)
    book.clock.step(60)
    try:
        async with asyncio.timeout(10):
            while book.sequencer.signed_at < book.clock.boottime():  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
    finally:
        running.cancel()


def test_histograms_are_added_up_and_leave_their_parts_alone():
    one, two = Histogram((1, 10)), Histogram((1, 10))
    for value in (1, 2, 11):
        one.add(value)
    two.add(0.5)
    both = merged([one, two])
    assert (both.buckets, both.total) == ([2, 1, 1], 14.5)
    assert (one.buckets, two.buckets) == ([1, 1, 1], [1, 0, 0])
