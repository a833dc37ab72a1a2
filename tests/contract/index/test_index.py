"""The search index: what it finds is what a reading of the whole log finds, whatever befalls it."""

import random

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from tests.contract.index.random_log import SERVERS, BusyGate, IndexedBook
from tests.ledgers import postgres_sessions, sqlite_sessions
from tests.logbook import LOG, Logbook
from tests.postgres import fresh_database

from gatelodge.core.errors import StoreDown
from gatelodge.core.searching.places import CHUNK
from gatelodge.flows.audit.search import AuditQuery

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def house(request, tmp_path):
    url = ""
    if request.param == "sqlite":
        sessions = sqlite_sessions(tmp_path / "ledger.db")
    else:
        url = fresh_database(request.getfixturevalue("postgres_url"))
        sessions = postgres_sessions(url)
    book = await Logbook.open(tmp_path, sessions, "nod_1", url)
    await book.sequencer.recover(frozenset())
    yield IndexedBook(book)
    await book.crash()
    sessions.engine.dispose()


def gate_of(house, seed=1):
    return BusyGate(house.book, random.Random(seed))


async def asked(gate, house, count):
    found = [await house.agree(gate.question()) for _ in range(count)]
    assert any(found)


async def test_what_the_index_finds_is_what_the_log_holds(house):
    gate = gate_of(house)
    await gate.happen(int(CHUNK * 1.1))
    assert await house.fill() == CHUNK
    # Calls and streams end that were open when the index got there; it has not got further.
    await gate.happen(300)
    await asked(gate, house, 8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_is_asked_of_a_log_of_many_chunks_index_and_log_agree(house, seed):
    gate = gate_of(house, seed)
    for _ in range(2):
        await gate.happen(CHUNK)
        await house.fill()
        await asked(gate, house, 15)


@pytest.mark.slow
async def test_a_search_goes_on_while_the_index_is_filled_dropped_and_made_anew(house):
    gate = gate_of(house)
    await gate.happen(CHUNK * 2 + 200)
    await house.fill()
    query = AuditQuery(log=LOG, tool="seldom", limit=3)
    first = await house.indexed.search(query)
    (reach,) = await house.index.reaches()
    await house.index.drop(reach)
    second = await house.indexed.search(replace(query, before=first.before))
    while await house.index.sweep(100):
        pass
    assert await house.fill() == CHUNK * 2
    third = await house.indexed.search(replace(query, before=second.before))
    whole = await house.plain.search(replace(query, limit=9))
    assert [*first.found, *second.found, *third.found] == [*whole.found]
    (anew,) = await house.index.reaches()
    assert anew.id != reach.id


@pytest.mark.slow
async def test_a_crash_between_two_rows_leaves_the_index_as_it_was(house, monkeypatch):
    gate = gate_of(house)
    await gate.happen(CHUNK * 2 + 400)
    monkeypatch.setattr("gatelodge.adapters.ledger.search.index._PUT_OPEN", {})
    with pytest.raises(KeyError):
        await house.filler.step()
    assert await house.position() == 0
    monkeypatch.undo()
    assert await house.fill() == CHUNK * 2
    await asked(gate, house, 5)


@pytest.mark.slow
async def test_what_the_index_names_wrongly_is_not_shown_and_is_noticed(house):
    gate = gate_of(house)
    await gate.happen(CHUNK + 400)
    await house.fill()
    every = b"\xff" * (CHUNK // 8)
    with house.book.sessions.write() as connection:
        connection.execute(text("UPDATE index_posting SET places = :every"), {"every": every})
    query = AuditQuery(log=LOG, tool="seldom", outcome="ok", servers=(SERVERS[0],))
    await house.agree(query)
    (reach,) = await house.index.reaches()
    assert not await house.filler.check(reach, 0)
    assert await house.fill() == CHUNK
    (anew,) = await house.index.reaches()
    assert await house.filler.check(anew, 0)


@pytest.mark.slow
async def test_an_index_of_another_history_is_not_asked_and_is_made_anew(house):
    gate = gate_of(house)
    await gate.happen(CHUNK + 400)
    await house.fill()
    for column, value in (("origin", "gate.example.com/calls/wsp_1@2-ff"), ("root", b"other")):
        again = IndexedBook(house.book)
        with house.book.sessions.write() as connection:
            connection.execute(text(f"UPDATE index_log SET {column} = :value"), {"value": value})
        before = {each.id for each in await house.index.reaches()}
        assert await again.fill() == CHUNK
        assert before.isdisjoint({each.id for each in await house.index.reaches()})
        await house.agree(AuditQuery(log=LOG, tool="seldom"))


@pytest.mark.slow
async def test_who_was_erased_stands_in_the_index_by_a_key_that_opens_nothing(house):
    gate, book = gate_of(house), house.book
    await gate.happen(CHUNK + 400)
    await house.fill()
    hers, agents = (
        AuditQuery(log=LOG, members=("mem_1",)),
        AuditQuery(log=LOG, principals=("agt_1",), owners=("mem_1",)),
    )
    found, by_agent = await house.agree(hers), await house.agree(agents)
    assert found
    assert by_agent
    with book.sessions.read() as connection:
        terms = connection.execute(text("SELECT term FROM index_term")).scalars().all()
    # The id of a token that nobody was let in with stands in the leaf itself.
    others = [each for each in terms if not each.startswith("credential:")]
    assert not [each for each in others if any(w in each for w in ("mem_", "agt_", "claude"))]
    keys = await book.deks.ids_of("mem_1")
    assert {f"key:{each}" for each in keys} <= {*terms}
    await book.deks.destroy("mem_1")
    await book.governed(t="member.erased", subject={"member": "mem_1", "keys": sorted(keys)})
    # That the key was hers is known until its row goes too; who called, and by whom, is not.
    for _ in range(2):
        assert await house.agree(hers) == found
        assert await house.agree(agents) == 0
        page = await house.indexed.search(hers)
        rows = await house.indexed.naming.with_names(page.found)
        assert {(each.who, each.gone) for each in rows} == {(None, "erased")}
        # An index that is made after the erasure holds no less and no more.
        (reach,) = await house.index.reaches()
        await house.index.drop(reach)
        assert await house.fill() == CHUNK


@pytest.mark.slow
async def test_a_question_reads_little_of_a_long_log(house, monkeypatch):
    gate = gate_of(house)
    await gate.happen(CHUNK * 3 + 600)
    await house.fill()
    read = 0
    ledger = house.book.ledger
    leaves, leaves_at = ledger.leaves, ledger.leaves_at

    async def counted(log, start, stop):
        nonlocal read
        read += stop - start
        return await leaves(log, start, stop)

    async def counted_at(log, places):
        nonlocal read
        read += len(places)
        return await leaves_at(log, places)

    monkeypatch.setattr(ledger, "leaves", counted)
    monkeypatch.setattr(ledger, "leaves_at", counted_at)
    page = await house.indexed.search(AuditQuery(log=LOG, tool="never"))
    assert (page.found, page.before) == ((), None)
    assert read < CHUNK


async def test_a_store_that_fails_leaves_the_search_failing_and_not_short(house, monkeypatch):
    gate = gate_of(house)
    await gate.happen(CHUNK + 400)
    await house.fill()

    async def fails(*_):
        raise StoreDown("the store failed")

    monkeypatch.setattr(house.index, "window", fails)
    with pytest.raises(StoreDown):
        await house.indexed.search(AuditQuery(log=LOG, tool="seldom"))
