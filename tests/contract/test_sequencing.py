"""Sequencing, signing and recovery: the same on a file and SQLite as on PostgreSQL."""

import asyncio

import msgspec
import pytest
from tests.ledgers import SEAL, postgres_sessions, sqlite_sessions
from tests.logbook import ANN, CI, LOG, Logbook
from tests.postgres import fresh_database

from gatelodge.core.errors import Invalid, NotFound
from gatelodge.core.records.origin import UNROUTED
from gatelodge.core.records.verify import format_proof, verify_proof
from gatelodge.flows.audit.search import AuditQuery
from gatelodge.ports.store import NodeSeen

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def start(request, tmp_path):
    """A callable that starts a process: `await start(node)`."""
    url = ""
    if request.param == "sqlite":
        sessions = sqlite_sessions(tmp_path / "ledger.db")
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"))
        sessions = postgres_sessions(url)
    opened: list[Logbook] = []

    async def begin(node: str = "nod_1", **more) -> Logbook:
        book = await Logbook.open(tmp_path, sessions, node, url, **more)
        opened.append(book)
        return book

    yield begin
    for book in opened:
        await book.crash()
    sessions.engine.dispose()


@pytest.fixture
async def book(start):
    made = await start()
    await made.sequencer.recover(frozenset())
    return made


def kinds(bodies: list[bytes]) -> list[str]:
    return [msgspec.json.decode(body)["t"] for body in bodies]


async def test_a_call_can_be_proven_to_a_stranger(book):
    call = await book.called()
    document = await book.prover.prove(LOG, call)
    report = verify_proof(format_proof(document), [book.sequencer.checkpoints.vkey])
    assert (report.verdict, report.reasons) == ("VERIFIED", ())
    assert (report.log, report.size) == ("gate.example.com/calls/wsp_1", 3)
    assert sorted(report.leaves) == [1, 2]
    assert report.leaves[2]["outcome"] == "ok"


async def test_a_call_that_still_runs_is_proven_by_its_intent(book):
    call = await book.begun()
    document = await book.prover.prove(LOG, call)
    assert [each.index for each in document.leaves] == [1]


async def test_a_call_that_never_was_is_not_found(book):
    call = await book.called()
    with pytest.raises(NotFound):
        await book.prover.prove(LOG, call[:-4] + "AAAA")
    with pytest.raises(Invalid):
        await book.prover.prove(LOG, "c_1")


async def test_logs_grow_apart_and_are_whole(book):
    for log in (LOG, UNROUTED, "calls:wsp_2"):
        for _ in range(3):
            await book.ended(await book.begun(log=log), log=log)
    await book.sequencer.drain()
    await book.sequencer.sign()
    examination = await book.examined()
    assert examination.findings == ()
    assert {each.log: each.leaves for each in examination.logs} == {
        LOG: 7,
        UNROUTED: 7,
        "calls:wsp_2": 7,
    }
    assert all(each.checkpoints == 2 for each in examination.logs)  # the kept one, the guard's


async def test_signing_again_without_growth_makes_no_checkpoint(book):
    await book.called()
    await book.sequencer.drain()
    for _ in range(3):
        await book.sequencer.sign()
    assert len(await book.ledger.checkpoints(LOG)) == 1


async def test_what_a_dead_process_left_open_is_closed_once(book, start):
    call = await book.begun()
    stream = book.recorder.stream_opened(LOG, ANN, 3, "2025-06-18", None)
    done = await book.called()
    await book.sequencer.drain()
    late = await book.begun()
    await book.crash()
    again = await start("nod_2")
    await again.sequencer.recover(frozenset())
    await again.sequencer.recover(frozenset())
    found = [msgspec.json.decode(body) for body in await again.bodies()]
    closed = [each for each in found if each["t"] in ("call.unresolved", "stream.closed")]
    assert [each.get("call") or each["stream"] for each in closed] == [call, stream, late]
    assert {each["reason"] for each in closed} == {"gateway_restart"}
    opener = found[closed[0]["intent"]]
    assert (opener["t"], opener["call"]) == ("call.intent", call)
    assert (await again.search.show(LOG, done)).outcome == "ok"
    assert (await again.search.show(LOG, late)).outcome == "unresolved"
    assert (await again.examined()).findings == ()


async def test_a_call_of_a_live_node_is_left_alone(book, start):
    call = await book.begun()
    await book.crash()
    again = await start("nod_2")
    await again.sequencer.recover(frozenset({"nod_1"}))
    assert kinds(await again.bodies()) == ["log.opened", "call.intent"]
    await again.ended(call)
    await again.sequencer.drain()
    assert kinds(await again.bodies())[-1] == "call.outcome"


async def test_an_end_that_comes_too_late_is_kept_and_closes_nothing(book, start):
    call = await book.begun()
    await book.crash()
    again = await start("nod_2")
    await again.sequencer.recover(frozenset())
    await again.ended(call)
    await again.sequencer.drain()
    assert kinds(await again.bodies())[-2:] == ["call.unresolved", "call.late"]
    assert (await again.search.show(LOG, call)).outcome == "unresolved"
    assert (await again.examined()).findings == ()


async def test_the_floor_follows_the_oldest_open_call(book, start):
    first = await book.begun()
    for _ in range(3):
        await book.called()
    await book.sequencer.drain()
    assert (await head(book)).open_floor == 1
    await book.ended(first)
    await book.sequencer.drain()
    assert (await head(book)).open_floor == (await head(book)).size


async def head(book):
    return next(each for each in await book.ledger.heads() if each.log == LOG)


async def test_an_append_whose_answer_was_lost_is_not_repeated(start):
    plain = await start()

    class Forgetful(type(plain.ledger)):
        """Commits, and then seems to fail: a connection lost at the worst moment."""

        lose = True

        async def append(self, batch, places):
            from gatelodge.core.errors import StoreDown

            landed = await super().append(batch, places)
            if self.lose:
                self.lose = False
                raise StoreDown("the connection was lost")
            return landed

    await plain.crash()
    sessions = plain.sessions
    book = await start("nod_2", ledger=Forgetful(sessions.write, sessions.read, SEAL))
    book.ledger.lose = False
    await book.sequencer.recover(frozenset())
    book.ledger.lose = True
    call = await book.called()
    with pytest.raises(Exception, match="lost"):
        await book.sequencer.drain()
    await book.called()
    await book.sequencer.drain()
    found = [msgspec.json.decode(body) for body in await book.bodies()]
    assert [each["t"] for each in found] == ["log.opened", *["call.intent", "call.outcome"] * 2]
    assert found[1]["call"] == call
    assert (await book.examined()).findings == ()


async def test_records_of_a_log_that_could_not_be_made_are_not_passed_over(start):
    plain = await start()

    class Full(type(plain.ledger)):
        """Has no room for a new log at first."""

        full = True

        async def open_log(self, log, origin):
            from gatelodge.core.errors import StoreDown

            if self.full:
                raise StoreDown("the disk is full")
            return await super().open_log(log, origin)

    await plain.crash()
    book = await start("nod_2", ledger=Full(plain.sessions.write, plain.sessions.read, SEAL))
    await book.sequencer.recover(frozenset())
    first = await book.called()
    with pytest.raises(Exception, match="full"):
        await book.sequencer.drain()
    book.ledger.full = False
    await book.called()
    await book.sequencer.drain()
    found = [msgspec.json.decode(body) for body in await book.bodies()]
    assert [each["t"] for each in found] == ["log.opened", *["call.intent", "call.outcome"] * 2]
    assert found[1]["call"] == first


async def test_the_loop_sequences_signs_and_can_be_cancelled(book):
    running = asyncio.create_task(book.sequencer.run())
    call = await book.called()
    async with asyncio.timeout(10):
        while await book.ledger.checkpoint(LOG) is None:
            book.clock.step(0.2)
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await book.sequencer.drain()  # the outcome may have come after the last turn
    assert (await book.search.show(LOG, call)).outcome == "ok"


class Seen:
    """A port `Nodes` that says who lives."""

    def __init__(self, *nodes: str) -> None:
        self.nodes = nodes

    async def live(self, within_ms: int) -> tuple[NodeSeen, ...]:
        return tuple(
            NodeSeen(node=n, boot="b", applied=0, seen_at=0, lease_ms=1) for n in self.nodes
        )


async def test_calls_of_a_node_that_nobody_saw_are_closed_by_the_one_that_leads(start):
    seen = Seen("nod_1", "nod_9")
    lost = await start("nod_1")
    call = await lost.begun()
    await lost.crash()
    book = await start("nod_2", nodes=seen)
    await book.sequencer.recover(frozenset({"nod_1"}))
    running = asyncio.create_task(book.sequencer.run())
    seen.nodes = ("nod_9",)
    async with asyncio.timeout(10):
        while "call.unresolved" not in kinds(await book.bodies()):
            book.clock.step(6)
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    last = msgspec.json.decode((await book.bodies())[-1])
    assert (last["call"], last["reason"]) == (call, "node_lost")


async def test_search_joins_a_call_with_its_end_and_filters_by_each_word(book):
    await book.called(ANN, "read")
    book.clock.step(3_600)
    await book.called(CI, "read", "tool_error")
    book.clock.step(3_600)
    await book.denied(ANN, "drop")
    await book.begun(ANN, "slow")
    await book.sequencer.drain()

    async def tools(**words) -> list[tuple[str, str]]:
        page = await book.search.search(AuditQuery(log=LOG, **words))
        return [(str(each.leaf.get("tool", "")), each.outcome) for each in page.found]

    assert await tools() == [
        ("slow", "open"),
        ("drop", "denied: no_grant"),
        ("read", "tool_error"),
        ("read", "ok"),
        ("", ""),
    ]
    assert await tools(tool="read") == [("read", "tool_error"), ("read", "ok")]
    assert await tools(outcome="ok") == [("read", "ok")]
    for copied in ("denied", "denied: no_grant"):
        assert await tools(outcome=copied) == [("drop", "denied: no_grant")]
    assert await tools(outcome="open") == [("slow", "open")]
    assert await tools(members=("mem_bob",)) == [("read", "tool_error")]
    assert await tools(principals=("agt_ci",)) == [("read", "tool_error")]
    assert await tools(principals=("mem_bob",)) == []
    assert await tools(client="CLAUDE", tool="read") == [("read", "ok")]
    assert await tools(credential="crd_2") == [("read", "tool_error")]
    assert await tools(rules=("grn_1",), outcome="ok") == [("read", "ok")]
    assert await tools(type="call.outcome") == [("", "tool_error"), ("", "ok")]
    assert await tools(since="2026-11-18T12:00:00Z", tool="read") == [("read", "tool_error")]
    assert await tools(until="2026-11-18T12:00:00Z", tool="read") == [("read", "ok")]
    assert len(await tools(until="2030-01-01T00:00:00Z")) == 5
    assert await tools(servers=("srv_9",)) == []


async def test_pages_of_a_search_meet_without_gap_or_repeat(book):
    calls = [await book.called() for _ in range(25)]
    await book.sequencer.drain()
    seen: list[str] = []
    before = None
    while True:
        page = await book.search.search(
            AuditQuery(log=LOG, type="call.intent", limit=7, before=before)
        )
        assert all(each.outcome == "ok" for each in page.found)
        seen += [str(each.leaf["call"]) for each in page.found]
        before = page.before
        if before is None:
            break
    assert seen == calls[::-1]
