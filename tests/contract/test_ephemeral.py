"""The contract of short-lived entries, on SQLite and on PostgreSQL."""

import math
import sqlite3

import anyio
import pytest
from sqlalchemy import text
from tests.fakes.world import StillClock
from tests.ledgers import new_database
from tests.postgres import fresh_database

from gatelodge.adapters.store.copying import copy_sqlite
from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.shared.ephemeral import SqlEphemeral
from gatelodge.core.errors import Invalid, LimitReached
from gatelodge.ports.ephemeral import LONGEST_SECONDS, EphemeralKind

pytestmark = pytest.mark.anyio

CODE = EphemeralKind(name="code", value_bytes=1_000, per_principal=3, of_strangers=2, total=6)
SESSION = EphemeralKind(
    name="session", value_bytes=1_000, per_principal=100, of_strangers=0, total=100
)
ANN, BOB = "mem_ann", "mem_bob"
PORTION = 100


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request):
    if request.param == "sqlite":
        return ""
    return fresh_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(url, tmp_path):
    opened = new_database(tmp_path / "gate", url)
    yield opened
    opened.close()


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def kept(database, clock):
    return SqlEphemeral(database, clock)


@pytest.fixture
def nodes(database, kept, clock, url, tmp_path):
    """Two nodes where the engine has several, else twice the one."""
    if not url:
        yield kept, kept
        return
    other = open_database(url, tmp_path / "other")
    yield kept, SqlEphemeral(other, clock)
    other.close()


def passed(database, seconds):
    """Time goes on by that much for every entry; below zero, the database's clock is set back."""
    step = {"step": int(seconds * 1_000_000)}
    with database.write() as connection:
        moved = "made_at = made_at - :step, expires_at = expires_at - :step"
        connection.execute(text(f"UPDATE ephemeral SET {moved}"), step)


def rows(database):
    with database.read() as connection:
        return connection.execute(text("SELECT * FROM ephemeral")).all()


async def put(kept, key, *, kind=CODE, value=b"v", seconds=60.0, principal=ANN):
    await kept.put(kind, key, value, seconds=seconds, principal=principal)


async def test_what_was_put_is_read_until_it_is_taken_and_then_nothing_of_it_is_left(
    kept, database
):
    await put(kept, "one", value=b"\x00\xffsealed")
    assert await kept.get(CODE, "one") == b"\x00\xffsealed"
    assert await kept.get(SESSION, "one") is None
    assert await kept.take(SESSION, "one") is None
    assert await kept.take(CODE, "one") == b"\x00\xffsealed"
    assert await kept.take(CODE, "one") is None
    assert await kept.get(CODE, "one") is None
    assert rows(database) == []


async def test_a_second_put_takes_the_place_of_the_first(kept):
    await put(kept, "one", value=b"old")
    await put(kept, "one", value=b"new", principal=BOB)
    await kept.drop_of(ANN)
    assert await kept.take(CODE, "one") == b"new"


async def test_what_was_dropped_is_gone_and_the_rest_stays(kept):
    await put(kept, "one")
    await put(kept, "two")
    await kept.drop(CODE, "one")
    await kept.drop(CODE, "one")
    assert await kept.get(CODE, "one") is None
    assert await kept.get(CODE, "two") == b"v"


async def test_of_twenty_takers_on_several_nodes_exactly_one_gets_the_value(nodes):
    got = []

    async def take(node):
        got.append(await node.take(CODE, "one"))

    for _ in range(5):
        await put(nodes[0], "one", value=b"once")
        got.clear()
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(take, nodes[number % 2])
        assert sorted(got, key=bool) == [None] * 19 + [b"once"]


async def test_what_has_expired_is_not_there_even_before_it_is_swept(kept, database):
    await put(kept, "one", seconds=30.0)
    passed(database, 29.0)
    assert await kept.get(CODE, "one") == b"v"
    passed(database, 1.5)
    assert await kept.get(CODE, "one") is None
    assert await kept.take(CODE, "one") is None
    assert await kept.counts() == {}
    assert len(rows(database)) == 1
    await put(kept, "one", value=b"again")
    assert await kept.take(CODE, "one") == b"again"


async def test_a_sweep_removes_what_has_expired_in_portions_and_nothing_else(kept, database):
    for number in range(5):
        await put(kept, str(number), kind=SESSION)
    passed(database, 61.0)
    await put(kept, "alive", kind=SESSION)
    assert [await kept.sweep(2) for _ in range(4)] == [2, 2, 1, 0]
    assert await kept.get(SESSION, "alive") == b"v"
    assert await kept.counts() == {"session": 1}


async def test_two_nodes_sweep_and_drop_the_same_rows_at_once_without_a_fault(nodes, database):
    for number in range(60):
        await put(nodes[0], f"{number}", kind=SESSION)
    passed(database, 61.0)
    for number in range(30):
        await put(nodes[0], f"{number}", kind=SESSION, principal=BOB)
    async with anyio.create_task_group() as group:
        for node in nodes:
            group.start_soon(node.sweep, 7)
            group.start_soon(node.drop_of, BOB)
            group.start_soon(node.sweep, 7)
    while await nodes[0].sweep(7):
        pass
    assert rows(database) == []


async def test_what_does_not_fit_is_refused_and_nothing_changed(kept):
    with pytest.raises(LimitReached, match="1000 bytes"):
        await put(kept, "big", value=b"x" * 1_001)
    await put(kept, "big", value=b"x" * 1_000)
    for seconds in (0.0, -1.0, LONGEST_SECONDS + 1.0, math.inf, math.nan):
        with pytest.raises(Invalid):
            await put(kept, "never", seconds=seconds)
    assert await kept.counts() == {"code": 1}


async def test_each_principal_has_a_share_and_strangers_take_the_room_of_nobody(kept, database):
    for number in range(3):
        await put(kept, f"a{number}")
    with pytest.raises(LimitReached, match="3 of one principal"):
        await put(kept, "a3")
    await put(kept, "a0", value=b"another")  # in place of one of them
    await put(kept, "s0", principal="")
    await put(kept, "s1", principal="")
    with pytest.raises(LimitReached, match="2 of strangers"):
        await put(kept, "s2", principal="")
    await put(kept, "b0", principal=BOB)
    with pytest.raises(LimitReached, match="at most 6 entries of code"):
        await put(kept, "b1", principal=BOB)
    await put(kept, "b1", kind=SESSION, principal=BOB)  # another kind has bounds of its own
    passed(database, 61.0)
    await put(kept, "a3")  # what has expired takes no room, though it was not swept


async def test_a_limit_holds_for_all_who_put_at_once(nodes):
    refused = []

    async def one(number):
        try:
            await put(nodes[number % 2], str(number))
        except LimitReached:
            refused.append(number)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(one, number)
    assert len(refused) == 17
    assert await nodes[0].counts() == {"code": 3}


async def test_what_is_of_a_principal_goes_with_their_access(kept):
    await put(kept, "one")
    await put(kept, "two", kind=SESSION)
    await put(kept, "bob", principal=BOB)
    await put(kept, "nobody", principal="")
    assert await kept.drop_of(ANN) == 2
    assert await kept.drop_of(ANN) == 0
    assert await kept.counts() == {"code": 2}
    assert await kept.get(CODE, "bob") == b"v"


async def test_no_key_stands_in_the_database_in_the_clear(kept, database):
    key = "code-of-ann-\udcff-77aab1"
    await put(kept, key)
    (row,) = rows(database)
    assert "77aab1" not in str(row)
    assert await kept.take(CODE, key) == b"v"


async def test_an_entry_made_later_than_now_is_not_there_and_does_not_come_back(kept, database):
    await put(kept, "one")
    await kept.sweep(PORTION)
    passed(database, -3_600.0)
    assert await kept.get(CODE, "one") is None
    assert await kept.take(CODE, "one") is None
    assert await SqlEphemeral(database, StillClock()).sweep(PORTION) == 1  # a new start sees it too
    assert rows(database) == []


async def test_when_the_databases_clock_was_set_back_no_entry_lives_on_by_it(
    kept, clock, database, caplog
):
    await kept.sweep(PORTION)
    clock.step(30.0)
    assert await kept.sweep(PORTION) == 0  # where nothing is kept there is nothing to say
    await put(kept, "one")
    clock.step(1.0)  # an answer that was late
    assert await kept.sweep(PORTION) == 0
    # Half a minute passed, and the database's clock stands where it stood but for what this takes,
    # which may be less than it counts in.
    clock.step(30.9)
    await put(kept, "two")
    assert await kept.sweep(PORTION) == 2
    assert rows(database) == []
    (line,) = caplog.messages
    assert "was set back by 30 s: 2 short-lived entries" in line
    await put(kept, "three")
    assert await kept.sweep(PORTION) == 0
    assert await kept.get(CODE, "three") == b"v"


async def test_a_sweep_that_finds_nothing_writes_nothing(kept, database, monkeypatch):
    await put(kept, "one")
    written = []
    monkeypatch.setattr(database, "write", lambda *_: written.append(1))
    assert await kept.sweep(PORTION) == 0
    assert await kept.drop_of(BOB) == 0
    assert await kept.take(CODE, "guessed") is None
    assert written == []


async def test_no_copy_of_the_database_holds_an_entry(kept, url, tmp_path):
    if url:
        pytest.skip("PostgreSQL is copied by its own means")
    await put(kept, "one", value=b"sealed-value-of-ann")
    copy_sqlite(tmp_path / "gate" / "gatelodge.db", tmp_path / "copy.db")
    assert b"sealed-value-of-ann" not in (tmp_path / "copy.db").read_bytes()
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("SELECT count(*) FROM ephemeral").fetchone() == (0,)
    copy.close()
    assert await kept.get(CODE, "one") == b"sealed-value-of-ann"


async def test_postgresql_writes_no_entry_to_what_is_archived_and_replayed(database):
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no such table")
    with database.read() as connection:
        query = "SELECT relpersistence FROM pg_class WHERE relname = 'ephemeral'"
        assert connection.execute(text(query)).scalar_one() in ("u", b"u")
