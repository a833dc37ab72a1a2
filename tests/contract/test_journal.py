"""The journal's contract: a file on one node, PostgreSQL between several."""

import asyncio
from threading import Event

import psycopg
import pytest
from tests.ledgers import postgres_sessions, sqlite_sessions
from tests.postgres import fresh_database

from gatelodge.adapters.journal import postgres
from gatelodge.adapters.journal.file import FileJournal
from gatelodge.adapters.journal.postgres import PostgresJournal
from gatelodge.core.errors import Conflict, LedgerDown
from gatelodge.ports.journal import JournalEntry, RecordWrite

pytestmark = pytest.mark.anyio

KEY = b"k" * 32


class FileHouse:
    """A directory of segments, and the ledger that it empties into."""

    def __init__(self, tmp_path):
        self._directory = tmp_path / "journal"
        self.sessions = sqlite_sessions(tmp_path / "ledger.db")
        self.ledger = self.sessions.ledger()

    async def open(self):
        start = await self.ledger.journal_end()
        return await FileJournal.open(self._directory, KEY, start, segment_bytes=300_000)


class PostgresHouse:
    """A database that holds both."""

    def __init__(self, url):
        self.url = url
        self.sessions = postgres_sessions(url)
        self.ledger = self.sessions.ledger()

    async def open(self):
        return await PostgresJournal.open(self.url, "nod_1")


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.slow)])
async def house(request, tmp_path):
    if request.param == "file":
        made = FileHouse(tmp_path)
    else:
        made = PostgresHouse(fresh_database(request.getfixturevalue("postgres_url")))
    for log in ("calls:wsp_1", "calls:wsp_2"):
        await made.ledger.open_log(log, f"test/{log}")
    yield made
    made.sessions.engine.dispose()


@pytest.fixture
async def journal(house):
    made = await house.open()
    yield made
    await made.close()


def entry(number: int, size: int = 20) -> JournalEntry:
    body = b'{"at":"2026-11-22T15:04:05.000123Z","n":%d}' % number
    return JournalEntry("calls:wsp_1", body.ljust(size), b"sealed" if number % 2 else b"")


async def made_durable(journal, entries) -> None:
    loop = asyncio.get_running_loop()
    waiting = []
    for each in entries:
        future = loop.create_future()
        journal.append(each, future)
        waiting.append(future)
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)


async def everything(journal, ledger) -> list[JournalEntry]:
    """What the journal holds, moved to the ledger as the sequencer does."""
    found: list[JournalEntry] = []
    while (batch := await journal.read(256)).entries:
        await ledger.append(batch, {})
        if batch.end is not None:
            await journal.forget(batch.end)
        found += batch.entries
    return found


async def test_entries_are_read_back_in_the_order_of_their_appends(journal, house):
    entries = [entry(number) for number in range(1000)]
    await made_durable(journal, entries)
    assert await everything(journal, house.ledger) == entries
    assert (await journal.read(256)).entries == ()


async def test_what_is_on_its_way_is_told_and_comes_to_nothing(journal, house):
    assert journal.backlog.records == 0
    durable = asyncio.get_running_loop().create_future()
    for number in range(20):
        journal.append(entry(number), durable if number == 19 else None)
    assert journal.backlog.records == 20
    async with asyncio.timeout(10):
        await durable
        assert journal.backlog.records == 0
        if journal.backlog.frames is not None:  # nobody counts those of a database
            assert journal.backlog.frames >= 1
        await everything(journal, house.ledger)
        assert journal.backlog.frames in (0, None)


async def test_whoever_gives_up_its_wait_is_told_later_whether_the_record_stands(journal, house):
    given_up = RecordWrite(loop=asyncio.get_running_loop())
    journal.append(entry(0), given_up)
    given_up.cancel()
    await made_durable(journal, [entry(1)])
    assert (given_up.answered, given_up.fault, given_up.cancelled()) == (True, None, True)
    assert await everything(journal, house.ledger) == [entry(0), entry(1)]


async def test_appends_while_a_write_runs_follow_it(journal, house):
    async def one_by_one(first: int) -> None:
        for number in range(first, first + 30):
            await made_durable(journal, [entry(number)])

    await asyncio.gather(*(one_by_one(first) for first in range(0, 300, 30)))
    found = await everything(journal, house.ledger)
    assert sorted(found, key=lambda each: each.body) == sorted(
        (entry(number) for number in range(300)), key=lambda each: each.body
    )
    for first in range(0, 300, 30):
        mine = [entry(number) for number in range(first, first + 30)]
        assert [each for each in found if each in mine] == mine


async def test_what_nobody_waits_for_is_durable_with_what_follows(journal, house):
    journal.append(entry(1), None)
    await made_durable(journal, [entry(2)])
    assert await everything(journal, house.ledger) == [entry(1), entry(2)]


async def test_a_caller_who_gave_up_disturbs_nobody(journal, house):
    gone = asyncio.get_running_loop().create_future()
    journal.append(entry(1), gone)
    gone.cancel()
    await made_durable(journal, [entry(2)])
    assert await everything(journal, house.ledger) == [entry(1), entry(2)]


async def test_one_read_never_gives_more_than_was_asked_for(journal):
    await made_durable(journal, [entry(number) for number in range(700)])
    sizes = [len((await journal.read(300)).entries)]
    assert 0 < sizes[0] <= 300


async def test_closing_makes_the_rest_durable_and_the_next_process_finds_it(house):
    journal = await house.open()
    for number in range(50):
        journal.append(entry(number), None)
    await journal.close()
    again = await house.open()
    assert await everything(again, house.ledger) == [entry(number) for number in range(50)]
    await again.close()


async def test_what_was_sequenced_never_comes_back(house):
    first = await house.open()
    await made_durable(first, [entry(1), entry(2)])
    await everything(first, house.ledger)
    await made_durable(first, [entry(3)])
    await first.close()
    second = await house.open()
    await made_durable(second, [entry(4)])
    assert await everything(second, house.ledger) == [entry(3), entry(4)]
    await second.close()


async def test_a_batch_that_was_not_appended_is_read_again(journal, house):
    await made_durable(journal, [entry(1), entry(2)])
    batch = await journal.read(256)
    await journal.rewind(await house.ledger.journal_end())
    assert (await journal.read(256)).entries == batch.entries


async def test_the_same_batch_cannot_be_sequenced_twice(journal, house):
    await made_durable(journal, [entry(1), entry(2)])
    batch = await journal.read(256)
    await house.ledger.append(batch, {})
    with pytest.raises(Conflict):
        await house.ledger.append(batch, {})
    await journal.rewind(await house.ledger.journal_end())
    assert (await journal.read(256)).entries == ()


async def test_a_closed_journal_takes_nothing(house):
    journal = await house.open()
    await journal.close()
    with pytest.raises(LedgerDown):
        await made_durable(journal, [entry(1)])


async def test_segments_come_and_go_and_nothing_is_lost(house):
    sent: list[JournalEntry] = []
    found: list[JournalEntry] = []
    journal = await house.open()
    for turn in range(30):
        entries = [entry(turn * 10 + number, 9_000) for number in range(10)]
        await made_durable(journal, entries)
        sent += entries
        if turn % 3 == 2:
            found += await everything(journal, house.ledger)
        if turn % 10 == 9:
            await journal.close()
            journal = await house.open()
    found += await everything(journal, house.ledger)
    await journal.close()
    assert found == sent


@pytest.mark.slow
async def test_a_lost_database_fails_who_waits_and_is_found_again(postgres_url):
    house = PostgresHouse(fresh_database(postgres_url))
    journal = await house.open()
    await made_durable(journal, [entry(1)])
    with psycopg.connect(house.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'gatelodge journal' AND datname = current_database()"
        )
    with pytest.raises(LedgerDown):
        await made_durable(journal, [entry(2)])
    async with asyncio.timeout(10):
        while journal.failed:  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.01)
    await made_durable(journal, [entry(3)])
    batch = await journal.read(256)
    assert [each.body for each in batch.entries] == [entry(1).body, entry(3).body]
    await journal.close()
    house.sessions.engine.dispose()


async def test_while_the_database_is_away_so_many_records_are_kept_and_no_more(
    postgres_url, monkeypatch
):
    house, away = PostgresHouse(fresh_database(postgres_url)), []
    journal = await house.open()
    connected = postgres._open_connection

    def reached(url):
        if away:
            raise psycopg.OperationalError
        return connected(url)

    monkeypatch.setattr(postgres, "_open_connection", reached)
    monkeypatch.setattr(postgres, "_MOST_KEPT", 3)
    away.append(True)
    with psycopg.connect(house.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'gatelodge journal' AND datname = current_database()"
        )
    with pytest.raises(LedgerDown):
        await made_durable(journal, [entry(1)])
    assert journal.failed
    for number in range(2, 12):
        journal.append(entry(number), None)
    away.clear()
    async with asyncio.timeout(20):
        while journal.failed:  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.01)
    await made_durable(journal, [entry(12)])
    batch = await journal.read(256)
    assert [each.body for each in batch.entries] == [entry(n).body for n in (2, 3, 4, 12)]
    await journal.close()
    house.sessions.engine.dispose()


async def test_rows_of_every_node_are_read_by_the_one_that_sequences(postgres_url):
    house = PostgresHouse(fresh_database(postgres_url))
    await house.ledger.open_log("calls:wsp_1", "test/calls:wsp_1")
    here = await house.open()
    there = await PostgresJournal.open(house.url, "nod_2")
    await made_durable(there, [entry(1)])
    await made_durable(here, [entry(2)])
    assert await everything(here, house.ledger) == [entry(1), entry(2)]
    await asyncio.gather(here.close(), there.close())
    house.sessions.engine.dispose()


async def test_a_database_that_comes_back_while_the_journal_closes_gets_no_row_twice(
    postgres_url, monkeypatch
):
    house, asked, back = PostgresHouse(fresh_database(postgres_url)), Event(), Event()
    journal = await house.open()
    connected = postgres._open_connection

    def reached(url):
        asked.set()
        back.wait(20)
        return connected(url)

    monkeypatch.setattr(postgres, "_open_connection", reached)
    with psycopg.connect(house.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'gatelodge journal' AND datname = current_database()"
        )
    with pytest.raises(LedgerDown):
        await made_durable(journal, [entry(1)])
    journal.append(entry(2), None)
    await asyncio.to_thread(asked.wait, 20)
    closing = asyncio.ensure_future(journal.close())
    await asyncio.sleep(0)  # it waits for the thread, which waits for the database
    back.set()
    async with asyncio.timeout(20):
        await closing
    with psycopg.connect(house.url, autocommit=True) as other:
        (rows,) = other.execute("SELECT count(*) FROM pending").fetchone()
    assert rows <= 1
    house.sessions.engine.dispose()
