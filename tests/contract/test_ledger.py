"""The Merkle logs' contract, on SQLite and on PostgreSQL."""

from hashlib import sha256

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.ledgers import SEAL, Sessions, postgres_sessions, sqlite_sessions
from tests.postgres import fresh_database

from gatelodge.adapters.ledger import logs
from gatelodge.core.errors import Conflict, LogForked, NotFound
from gatelodge.ports.journal import (
    JournalBatch,
    JournalEntry,
    JournalPosition,
    LeafPlace,
    SealedOpening,
)
from gatelodge.tlog import merkle, proof
from gatelodge.tlog.tile import unpack_entries

pytestmark = pytest.mark.anyio

LOG, ORIGIN = "calls:wsp_1", "gate.example.com/calls/wsp_1"
SEALED = SealedOpening("dek_1", b"n" * 12, b"secret")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def sessions(request, tmp_path):
    if request.param == "sqlite":
        made = sqlite_sessions(tmp_path / "ledger.db")
    else:
        made = postgres_sessions(fresh_database(request.getfixturevalue("postgres_url")))
    yield made
    made.engine.dispose()


@pytest.fixture
async def ledger(sessions: Sessions):
    made = sessions.ledger()
    await made.open_log(LOG, ORIGIN)
    return made


def body(number: int) -> bytes:
    at = f"2026-11-22T15:{number // 60 % 60:02d}:{number % 60:02d}.000000Z"
    return b'{"at":"%s","n":%d,"v":1}' % (at.encode(), number)


def batch(low: int, high: int, **marks: object) -> JournalBatch:
    return JournalBatch(
        tuple(JournalEntry(LOG, body(number)) for number in range(low, high)), **marks
    )


def root_of(count: int) -> bytes:
    return merkle.root([merkle.leaf_hash(body(number)) for number in range(count)])


async def grown(ledger, *steps: int) -> None:
    done = 0
    for stop in steps:
        await ledger.append(batch(done, stop), {})
        done = stop


async def test_a_log_is_opened_once_and_keeps_its_origin(ledger):
    again = await ledger.open_log(LOG, ORIGIN)
    assert (again.size, again.root) == (0, merkle.EMPTY_ROOT)
    with pytest.raises(Conflict):
        await ledger.open_log(LOG, "other.example.com/calls/wsp_1")


async def test_nothing_is_appended_to_a_log_that_was_never_opened(ledger):
    with pytest.raises(NotFound):
        await ledger.append(JournalBatch((JournalEntry("calls:wsp_2", body(0)),)), {})


@pytest.mark.parametrize(
    "steps", [(1,), (1, 2, 3), (255, 256, 257), (256,), (700,), (100, 511, 513, 1300)]
)
async def test_leaves_root_tiles_and_bundles_are_those_of_the_plain_tree(ledger, steps):
    await grown(ledger, *steps)
    count = steps[-1]
    head = next(each for each in await ledger.heads() if each.log == LOG)
    assert (head.size, head.root) == (count, root_of(count))
    leaves = await ledger.leaves(LOG, 0, count + 10)
    assert [(each.index, each.body) for each in leaves] == [(n, body(n)) for n in range(count)]
    packed = b"".join([await ledger.bundle(LOG, n) for n in range(-(-count // 256))])
    assert unpack_entries(packed) == [body(n) for n in range(count)]
    hashes = b"".join([await ledger.tile(LOG, 0, n) for n in range(-(-count // 256))])
    assert hashes == b"".join(sha256(b"\0" + body(n)).digest() for n in range(count))
    for size in (1, count // 2, count):
        assert await ledger.root_at(LOG, size) == root_of(size)


async def test_a_batch_for_two_logs_lands_in_both_and_says_where(ledger):
    await ledger.open_log("unrouted", "gate.example.com/unrouted")
    await grown(ledger, 3)
    both = JournalBatch(
        (JournalEntry(LOG, body(3)), JournalEntry("unrouted", body(0)), JournalEntry(LOG, body(4)))
    )
    landed = await ledger.append(both, {LOG: LeafPlace(first=3, floor=2)})
    assert (landed[LOG].first, landed[LOG].size, landed[LOG].root) == (3, 5, root_of(5))
    assert (landed["unrouted"].first, landed["unrouted"].size) == (0, 1)
    floors = {each.log: each.open_floor for each in await ledger.heads()}
    assert floors == {LOG: 2, "unrouted": 0}


async def test_a_batch_is_taken_once_by_place(ledger):
    first, second, third = JournalPosition(1, 0), JournalPosition(1, 90), JournalPosition(2, 40)
    assert await ledger.journal_end() is None
    await ledger.append(batch(0, 2, start=first, end=second), {})
    with pytest.raises(Conflict):
        await ledger.append(batch(0, 2, start=first, end=second), {})
    await ledger.append(batch(2, 3, start=second, end=third), {})
    assert await ledger.journal_end() == third
    assert [each.body for each in await ledger.leaves(LOG, 0, 9)] == [body(n) for n in range(3)]


async def test_a_batch_is_taken_once_by_rows(ledger, sessions):
    insert = text("INSERT INTO pending (node, log, body, opening) VALUES ('n', 'l', :b, :b)")
    with sessions.write() as connection:
        connection.execute(insert, [{"b": b"a"}, {"b": b"b"}])
        rows = tuple(connection.execute(text("SELECT id FROM pending")).scalars())
    await ledger.append(batch(0, 2, rows=rows), {})
    with pytest.raises(Conflict):
        await ledger.append(batch(0, 2, rows=rows), {})
    heads = await ledger.heads()
    with sessions.read() as connection:
        left = connection.execute(text("SELECT count(*) FROM pending")).scalar_one()
    assert (heads[0].size, left) == (2, 0)


async def test_an_appender_who_expected_another_size_changes_nothing(ledger):
    await grown(ledger, 3)
    with pytest.raises(Conflict):
        await ledger.append(batch(3, 4), {LOG: LeafPlace(first=2, floor=0)})
    assert (await ledger.heads())[0].size == 3


async def test_openings_come_back_with_their_leaves(ledger):
    packed = msgspec.msgpack.encode(SEALED)
    entries = (JournalEntry(LOG, body(0)), JournalEntry(LOG, body(1), packed))
    await ledger.append(JournalBatch(entries), {})
    await ledger.append(JournalBatch((JournalEntry(LOG, body(2), packed),)), {})
    leaves = await ledger.leaves(LOG, 0, 3)
    assert [each.opening for each in leaves] == [None, SEALED, SEALED]


async def test_proofs_from_the_tables_verify(ledger):
    await grown(ledger, 300, 777)
    for index in (0, 255, 256, 511, 776):
        leaf = merkle.leaf_hash(body(index))
        path = await ledger.inclusion(LOG, index, 777)
        proof.verify_inclusion(leaf, index, 777, path, root_of(777))
    for old in (1, 256, 300, 700):
        path = await ledger.consistency(LOG, old, 777)
        proof.verify_consistency(old, root_of(old), 777, root_of(777), path)
    with pytest.raises(NotFound):
        await ledger.inclusion(LOG, 777, 777)


async def test_a_size_that_the_tree_never_had_is_a_fork(ledger):
    await grown(ledger, 5)
    with pytest.raises(LogForked):
        await ledger.root_at(LOG, 6)


async def test_leaves_are_sought_by_time_and_by_text(ledger):
    await grown(ledger, 700)
    assert await ledger.seek(LOG, "2026-11-22T15:00:00.000000Z") == 0
    assert await ledger.seek(LOG, "2026-11-22T15:05:00.000000Z") == 256
    assert await ledger.seek(LOG, "2027-01-01T00:00:00.000000Z") == 700
    assert await ledger.seek_end(LOG, "2026-11-22T15:05:00.000000Z") == 512
    assert await ledger.seek_end(LOG, "2027-01-01T00:00:00.000000Z") == 700
    assert await ledger.seek_end(LOG, "2026-01-01T00:00:00.000000Z") == 0
    found = await ledger.containing(LOG, '"n":69', (100, 700), 5)
    assert [each.index for each in found] == [690, 691, 692, 693, 694]
    assert [each.index for each in await ledger.containing(LOG, '"n":1,', (1, 700), 5)] == [1]
    assert await ledger.containing(LOG, '"n":1,', (2, 700), 5) == []
    assert await ledger.containing(LOG, '"n":1', (0, 1), 5) == []


async def test_the_newest_checkpoint_is_the_largest(ledger):
    assert await ledger.checkpoint(LOG) is None
    for size, note in ((3, b"three"), (5, b"five"), (5, b"five again")):
        await ledger.save_checkpoint(LOG, size, note)
    assert await ledger.checkpoint(LOG) == b"five"


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE bundle SET entries = {other} WHERE n = 0",
        "UPDATE bundle SET entries = {other} WHERE n = 1",
        "UPDATE bundle SET width = 3 WHERE n = 1",
        "DELETE FROM bundle WHERE n = 0",
        "DELETE FROM tile WHERE n = 0",
        "UPDATE tile SET hashes = {other} WHERE level = 0",
        "UPDATE log SET size = 2",
        "DELETE FROM checkpoint",
        "UPDATE checkpoint SET note = {other}",
    ],
)
async def test_what_is_written_is_fenced_against_edits(ledger, sessions, edit):
    await grown(ledger, 300)
    await ledger.save_checkpoint(LOG, 300, b"note")
    other = "x'00'" if sessions.engine.dialect.name == "sqlite" else r"'\x00'::bytea"
    with pytest.raises(DBAPIError), sessions.write() as connection:
        connection.exec_driver_sql(edit.format(other=other))


async def test_a_failed_append_leaves_nothing_behind(ledger, sessions):
    await grown(ledger, 3)
    with pytest.raises(NotFound):
        await ledger.append(
            JournalBatch(
                (JournalEntry(LOG, body(3)), JournalEntry("nowhere", body(0))),
                JournalPosition(1, 0),
                JournalPosition(1, 9),
            ),
            {},
        )
    assert await ledger.journal_end() is None
    assert (await ledger.heads())[0].size == 3


async def test_a_leaf_appended_inside_another_transaction_shares_its_fate(ledger, sessions):
    with sessions.write() as connection:
        landed = logs.append_leaves(connection, SEAL, LOG, [body(0), body(1)])
    assert (landed.first, landed.size, landed.root) == (0, 2, root_of(2))
    with pytest.raises(NotFound), sessions.write() as connection:  # noqa: PT012
        assert logs.append_leaves(connection, SEAL, LOG, [body(2)]).size == 3
        logs.append_leaves(connection, SEAL, "nowhere", [body(3)])
    with sessions.read() as connection:
        assert logs.head(connection, LOG).size == 2
        assert [each.body for each in logs.read_leaves(connection, LOG, 1, 5)] == [body(1)]
