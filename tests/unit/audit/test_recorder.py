"""The recorder: what stands in a leaf, what does not, and how failures are counted."""

import asyncio

import msgspec
import pytest
import rfc8785
from tests.ledgers import sqlite_sessions
from tests.logbook import ANN, CI, LOG, Logbook, intent

from gatelodge.core.errors import KeyUnreachable, LimitReached
from gatelodge.core.records.leaves import RequestAnswered, RequestRefused
from gatelodge.core.records.origin import UNROUTED
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.flows.audit.tallies import MOST_BURSTS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def book(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    made = await Logbook.open(tmp_path, sessions)
    await made.sequencer.recover(frozenset())
    yield made
    await made.journal.close()
    sessions.engine.dispose()


async def leaves(book, log: str = LOG) -> list[dict]:
    await book.sequencer.drain()
    return [msgspec.json.decode(body) for body in (await book.bodies(log))[1:]]


async def test_a_call_is_two_leaves_and_the_first_leaf_opens_the_log(book):
    call = await book.called()
    await book.sequencer.drain()
    bodies = await book.bodies()
    first, begun, ended = (msgspec.json.decode(body) for body in bodies)
    assert (first["t"], first["origin"]) == ("log.opened", "gate.example.com/calls/wsp_1")
    assert (begun["t"], begun["call"], begun["decision"]) == ("call.intent", call, "allow")
    assert (ended["t"], ended["call"], ended["outcome"]) == ("call.outcome", call, "ok")
    assert all(rfc8785.dumps(msgspec.json.decode(body)) == body for body in bodies)


async def test_no_leaf_names_the_person_and_the_opening_does(book):
    await book.called(CI)
    await book.sequencer.drain()
    whole = b"".join(await book.bodies())
    assert not any(word in whole for word in (b"mem_bob", b"agt_ci", b"crd_2"))
    (row,) = await book.search.naming.with_names(await book.search.tail(LOG, 1))
    assert (row.who.member, row.who.agent, row.who.cred, row.who.client) == (
        "mem_bob",
        "agt_ci",
        "crd_2",
        "ci",
    )


async def test_equal_callers_have_unequal_commitments(book):
    await book.called()
    await book.called()
    actors = [each["actor_c"] for each in await leaves(book) if "actor_c" in each]
    assert len(set(actors)) == 2


@pytest.mark.guarantee("audit:erasable")
async def test_once_the_keys_are_destroyed_nobody_is_behind_the_records(book):
    await book.called(ANN)
    await book.called(CI)
    await book.sequencer.drain()
    keys = await book.deks.ids_of("mem_bob")
    assert await book.deks.destroy("mem_bob") == 1
    await book.governed(t="member.erased", subject={"member": "mem_bob", "keys": sorted(keys)})
    rows = await book.search.naming.with_names(await book.search.tail(LOG, 2))
    assert [row.who and row.who.member for row in rows] == ["mem_ann", None]
    assert [row.gone for row in rows] == ["", "erased"]
    assert book.deks.current("mem_bob") is None
    examination = await book.examined()
    assert examination.sound
    assert (examination.logs[0].openings, examination.logs[0].erased) == (2, 1)


async def test_what_was_taken_away_without_a_word_in_the_log_is_damaged_and_not_erased(book):
    await book.called(CI)
    await book.sequencer.drain()
    await book.deks.destroy("mem_bob")
    (row,) = await book.search.naming.with_names(await book.search.tail(LOG, 1))
    assert (row.who, row.gone) == (None, "damaged")
    examination = await book.examined()
    assert [each.code for each in examination.findings] == ["opening"]


async def test_a_new_quarter_has_a_new_key_and_the_old_one_still_opens(book):
    before = book.deks.current("mem_ann")
    await book.called(ANN)
    book.clock.step(92 * 86_400)
    assert book.deks.current("mem_ann") is None
    with pytest.raises(KeyUnreachable):
        book.recorder.intent(LOG, ANN, intent(), None)
    after = await book.deks.ensure("mem_ann")
    await book.called(ANN)
    await book.sequencer.drain()
    rows = await book.search.naming.with_names(await book.search.tail(LOG, 2))
    assert before.id != after.id
    assert [row.who.member for row in rows] == ["mem_ann", "mem_ann"]
    assert await book.deks.ids_of("mem_ann") == {before.id, after.id}


async def test_a_restart_finds_the_members_key_again(book, tmp_path):
    first = book.deks.current("mem_ann")
    again = await Logbook.open(tmp_path / "other", book.sessions, "nod_2")
    assert again.deks.current("mem_ann").id == first.id
    await again.journal.close()


async def test_a_record_that_would_be_too_large_is_not_made(book):
    with pytest.raises(LimitReached):
        book.recorder.intent(LOG, ANN, intent("x" * 17_000), None)


async def test_what_a_client_calls_itself_is_cut(book):
    await book.called(RecordedCaller("mem_ann", "mem_ann", client="x" * 5_000))
    await book.sequencer.drain()
    (row,) = await book.search.naming.with_names(await book.search.tail(LOG, 1))
    assert row.who.client == "x" * 128


async def test_every_other_kind_of_record_has_its_fields(book):
    recorder = book.recorder
    answer = RequestAnswered(
        bytes_in=1, bytes_out=2, gov=3, method="tools/list", ms=4, outcome="ok", proto="p"
    )
    recorder.answered(LOG, ANN, answer, None)
    recorder.refused(LOG, None, RequestRefused(bytes_in=1, http=400, reason="malformed_json"), None)
    recorder.refused(LOG, ANN, RequestRefused(bytes_in=1, http=413, reason="too_large"), None)
    stream = recorder.stream_opened(LOG, ANN, 3, "2025-06-18", None)
    durable = asyncio.get_running_loop().create_future()
    recorder.stream_closed(LOG, stream, 77, "client_gone", durable)
    await asyncio.wait_for(durable, 10)
    await book.denied()
    found = await leaves(book)
    assert [each["t"] for each in found] == [
        "request.answered",
        "request.refused",
        "request.refused",
        "stream.opened",
        "stream.closed",
        "call.denied",
    ]
    assert "actor_c" not in found[1]
    assert found[4] == {**found[4], "ms": 77, "reason": "client_gone", "stream": stream}


async def test_the_first_failure_is_a_leaf_at_once_and_the_rest_an_exact_count(book):
    for _ in range(1000):
        book.recorder.auth_failed(UNROUTED, "unknown")
    book.recorder.auth_failed(UNROUTED, "expired")
    book.clock.step(0.4)
    book.recorder.close()
    found = [(each["reason"], each["count"]) for each in await after_durable(book)]
    assert sorted(found) == [("expired", 1), ("unknown", 1), ("unknown", 999)]


async def test_old_tokens_are_counted_each_under_its_id_until_there_are_very_many(book):
    for number in range(1000):
        book.recorder.auth_failed(UNROUTED, "ended", credential=f"cred_{number}")
    book.recorder.close()
    found = await after_durable(book)
    assert len(found) <= MOST_BURSTS + 2
    assert sum(each["count"] for each in found) == 1000
    named = [each["credential"] for each in found if "credential" in each]
    assert sorted(named) == sorted(f"cred_{number}" for number in range(len(named)))


async def test_a_burst_is_written_when_its_second_ends(book):
    book.recorder.auth_failed(UNROUTED, "unknown")
    book.recorder.auth_failed(UNROUTED, "unknown")
    book.clock.step(1.0)
    async with asyncio.timeout(10):
        # The end of the second is a timer of the loop, and there is no event for it.
        while len(found := await after_durable(book)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert [(each["count"], each["window_ms"]) for each in found] == [(1, 0), (1, 1000)]
    book.recorder.close()


async def after_durable(book) -> list[dict]:
    await book.called()
    return await leaves(book, UNROUTED)
