"""Somebody changes the database behind our back, or puts an old one back. Each row is detected."""

import shutil

import pytest
from sqlalchemy import text
from tests.ledgers import sqlite_sessions
from tests.logbook import LOG, Logbook, SeededSigner

from gatelodge.adapters.ledger.guard import FileGuard
from gatelodge.core.errors import KeyUnreachable, LedgerDown, LogForked
from gatelodge.core.records.origin import calls_log
from gatelodge.tlog.tile import WIDTH, pack_entries, unpack_entries

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
async def book(tmp_path):
    """600 leaves, signed at 301 and at the end; the process has ended."""
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    made = await Logbook.open(tmp_path, sessions)
    await made.sequencer.recover(frozenset())
    for turn in range(2):
        for _ in range(150 - turn):
            await made.called()
        await made.sequencer.drain()
        await made.sequencer.sign()
    await made.close()
    yield made
    sessions.engine.dispose()


def without_fences(connection) -> None:
    """What an editor of the database does first."""
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    for name in connection.execute(text(query)).scalars().all():
        connection.execute(text(f"DROP TRIGGER {name}"))


def rewritten(connection, n: int, change) -> None:
    row = connection.execute(text(f"SELECT entries FROM bundle WHERE n = {n}")).scalar_one()
    bodies = change(unpack_entries(row))
    connection.execute(
        text(f"UPDATE bundle SET entries = :e, width = :w WHERE n = {n}"),
        {"e": pack_entries(bodies), "w": len(bodies)},
    )


def edit(bodies):
    return [bodies[0], bodies[1].replace(b'"gov":3', b'"gov":4'), *bodies[2:]]


def in_bundle(n, change):
    return lambda connection: rewritten(connection, n, change)


def without_opening(index):
    def change(connection):
        row = connection.execute(text("SELECT openings FROM bundle WHERE n = 0")).scalar_one()
        sealed = unpack_entries(row)
        sealed[index] = b""
        connection.execute(
            text("UPDATE bundle SET openings = :o WHERE n = 0"), {"o": pack_entries(sealed)}
        )

    return change


def sql(statement):
    return lambda connection: connection.execute(text(statement))


TAMPERINGS = {
    "a leaf is edited": (in_bundle(0, edit), {"tile", "root", "fork", "opening"}),
    "the last bundle is edited": (in_bundle(2, edit), {"tile", "root", "fork", "opening"}),
    "two leaves change places": (
        in_bundle(0, lambda b: [b[0], b[2], b[1], *b[3:]]),
        {"tile", "root", "fork", "closed_unopened", "opened_twice", "unclosed", "opening"},
    ),
    "a leaf is deleted": (in_bundle(0, lambda b: b[:5] + b[6:]), {"leaves_missing"}),
    "a leaf is added at the end": (in_bundle(2, lambda b: [*b, b[-1]]), {"leaves_extra"}),
    "a bundle is deleted": (sql("DELETE FROM bundle WHERE n = 1"), {"leaves_missing"}),
    "a tile is deleted": (sql("DELETE FROM tile WHERE level = 0 AND n = 1"), {"tile"}),
    "a tile of the upper level is deleted": (sql("DELETE FROM tile WHERE level = 1"), {"tile"}),
    "the head's root is another": (sql("UPDATE log SET root = zeroblob(32)"), {"root", "seal"}),
    "a signed checkpoint is another": (
        sql("UPDATE checkpoint SET note = CAST('x' AS BLOB)"),
        {"signature"},
    ),
    "the times of a bundle are others": (
        sql("UPDATE bundle SET last_at = 'x' WHERE n = 0"),
        {"times"},
    ),
    "an opening is taken away": (without_opening(1), {"opening"}),
    "every data key is emptied": (sql("UPDATE dek SET wrapped = NULL"), {"opening"}),
    "every data key is deleted": (sql("DELETE FROM dek"), {"opening"}),
    "a data key is another": (sql("UPDATE dek SET wrapped = zeroblob(60)"), {"opening"}),
    "the seal of the head is another": (sql("UPDATE log SET seal = zeroblob(32)"), {"seal"}),
    "the log is taken away": (
        lambda c: [c.execute(text(f"DELETE FROM {t}")) for t in ("bundle", "tile", "log")],
        {"log_missing"},
    ),
}


@pytest.mark.guarantee("audit:tamper-evident")
@pytest.mark.parametrize("name", TAMPERINGS)
async def test_the_whole_check_names_what_was_changed(book, name):
    tamper, codes = TAMPERINGS[name]
    assert (await book.examined()).sound
    with book.sessions.write() as connection:
        without_fences(connection)
        tamper(connection)
    found = {each.code for each in (await book.examined()).findings}
    assert found
    assert found <= codes


CAUGHT_AT_START = [
    "the last bundle is edited",
    "the head's root is another",
    "the seal of the head is another",
    "a signed checkpoint is another",
    "the log is taken away",
    "a tile of the upper level is deleted",
]


@pytest.mark.parametrize("name", CAUGHT_AT_START)
async def test_a_start_on_it_is_refused(book, tmp_path, name):
    with book.sessions.write() as connection:
        without_fences(connection)
        TAMPERINGS[name][0](connection)
    again = await Logbook.open(tmp_path, book.sessions, "nod_2")
    with pytest.raises(LogForked):
        await again.sequencer.recover(frozenset())
    await again.journal.close()


async def test_an_opening_moved_to_another_leaf_is_not_believed(book):
    with book.sessions.write() as connection:
        without_fences(connection)
        row = connection.execute(text("SELECT openings FROM bundle WHERE n = 0")).scalar_one()
        sealed = unpack_entries(row)
        sealed[1], sealed[3] = sealed[3], sealed[1]
        connection.execute(
            text("UPDATE bundle SET openings = :o WHERE n = 0"), {"o": pack_entries(sealed)}
        )
    rows = await book.search.naming.with_names(await book.search.tail(LOG, 1000))
    unnamed = [row.index for row in rows if row.who is None and row.leaf["t"] == "call.intent"]
    assert unnamed == [1, 3]
    findings = (await book.examined()).findings
    assert [(each.code, each.index) for each in findings] == [("opening", 1), ("opening", 3)]


@pytest.mark.parametrize("spoilt", [b"\xff", b"\x00\x05ab", b""])
async def test_openings_that_cannot_be_read_take_names_away_and_no_leaf(book, spoilt):
    before = await book.search.tail(LOG, 1000)
    with book.sessions.write() as connection:
        without_fences(connection)
        connection.execute(text("UPDATE bundle SET openings = :o WHERE n = 0"), {"o": spoilt})
    rows = await book.search.naming.with_names(await book.search.tail(LOG, 1000))
    assert [row.leaf for row in rows] == [row.leaf for row in before]
    assert not any(row.who for row in rows if row.index < WIDTH)
    assert {each.code for each in (await book.examined()).findings} == {"opening"}


@pytest.mark.guarantee("audit:tamper-evident")
async def test_a_database_put_back_to_an_older_state_is_refused(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    book = await Logbook.open(tmp_path, sessions)
    await book.sequencer.recover(frozenset())
    await book.called()
    await book.close()
    sessions.engine.dispose()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    book = await Logbook.open(tmp_path, sessions, "nod_2")
    await book.sequencer.recover(frozenset())
    await book.called()
    await book.close()
    sessions.engine.dispose()
    shutil.copy(tmp_path / "backup.db", tmp_path / "ledger.db")
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    book = await Logbook.open(tmp_path, sessions, "nod_3")
    with pytest.raises(LogForked):
        await book.sequencer.recover(frozenset())
    assert {each.code for each in (await book.examined()).findings} == {"truncated"}
    await book.journal.close()
    sessions.engine.dispose()


async def test_an_empty_database_under_an_old_guard_is_refused(book, tmp_path):
    fresh = sqlite_sessions(tmp_path / "fresh.db")
    again = await Logbook.open(tmp_path, fresh, "nod_2")
    with pytest.raises(LogForked):
        await again.sequencer.recover(frozenset())
    await again.journal.close()
    fresh.engine.dispose()


async def test_a_guard_that_cannot_be_read_is_no_guard_to_start_with(tmp_path):
    (tmp_path / "guard.json").write_bytes(b"{")
    with pytest.raises(LogForked):
        FileGuard(tmp_path / "guard.json")


async def test_a_guard_that_is_gone_or_older_than_what_was_signed_starts_nothing(book, tmp_path):
    older = (tmp_path / "guard.json").read_bytes()
    again = await Logbook.open(tmp_path, book.sessions, "nod_2")
    await again.called()
    await again.close()
    for left in (older, None):
        (tmp_path / "guard.json").unlink()
        if left is not None:
            (tmp_path / "guard.json").write_bytes(left)
        third = await Logbook.open(tmp_path, book.sessions, "nod_3")
        with pytest.raises(LogForked, match="guard file is missing or older"):
            await third.sequencer.recover(frozenset())
        await third.journal.close()


async def test_a_start_that_is_refused_writes_nothing_into_the_logs(book, tmp_path):
    again = await Logbook.open(tmp_path, book.sessions, "nod_2")
    await again.called()
    await again.journal.close()
    (tmp_path / "guard.json").unlink()
    before = [head.size for head in await again.ledger.heads()]
    third = await Logbook.open(tmp_path, book.sessions, "nod_3")
    with pytest.raises(LogForked):
        await third.sequencer.recover(frozenset())
    await third.close()
    assert [head.size for head in await third.ledger.heads()] == before


async def test_nothing_is_signed_when_the_guard_cannot_be_written(book, tmp_path):
    again = await Logbook.open(tmp_path, book.sessions, "nod_2")
    again.guard._path = tmp_path / "ledger.db" / "guard.json"  # a directory that cannot be made
    await again.called()
    await again.sequencer.drain()
    before = await again.ledger.checkpoint(LOG)
    with pytest.raises(LedgerDown):
        await again.sequencer.sign()
    assert await again.ledger.checkpoint(LOG) == before
    await again.journal.close()


async def test_a_key_that_cannot_sign_leaves_a_guard_that_the_next_start_accepts(book, tmp_path):
    class Away(SeededSigner):
        def sign(self, message: bytes) -> bytes:
            raise KeyUnreachable("the key is away")

    again = await Logbook.open(tmp_path, book.sessions, "nod_2")
    again.sequencer.checkpoints._signer = Away()
    await again.called()
    await again.sequencer.drain()
    with pytest.raises(KeyUnreachable):
        await again.sequencer.sign()
    await again.journal.close()
    third = await Logbook.open(tmp_path, book.sessions, "nod_3")
    await third.sequencer.recover(frozenset())
    await third.sequencer.sign()
    assert (await third.examined()).sound
    await third.journal.close()


async def test_a_head_that_went_back_is_not_signed_again(book, tmp_path):
    again = await Logbook.open(tmp_path, book.sessions, "nod_2")
    await again.sequencer.recover(frozenset())
    head = (await again.ledger.heads())[0]
    shorter = type(head)(
        head.log, head.origin, 300, await again.ledger.root_at(LOG, 300), head.open_floor
    )
    with pytest.raises(LogForked):
        await again.sequencer.checkpoints.sign([shorter])
    await again.journal.close()


OTHER = calls_log("wsp_2")


def exchanged(connection) -> None:
    """Each of two logs stands under the other's id, whole, with its own origin, root and seal."""
    for table, column in (("log", "id"), *((t, "log") for t in ("bundle", "tile", "checkpoint"))):
        for old, new in ((LOG, "x"), (OTHER, LOG), ("x", OTHER)):
            connection.execute(
                text(f"UPDATE {table} SET {column} = :new WHERE {column} = :old"),
                {"old": old, "new": new},
            )


def openings_exchanged(connection) -> None:
    kept = {}
    for log in (LOG, OTHER):
        query = "SELECT openings FROM bundle WHERE n = 0 AND log = :log"
        kept[log] = unpack_entries(connection.execute(text(query), {"log": log}).scalar_one())
    kept[LOG][1], kept[OTHER][1] = kept[OTHER][1], kept[LOG][1]
    for log, sealed in kept.items():
        connection.execute(
            text("UPDATE bundle SET openings = :o WHERE n = 0 AND log = :log"),
            {"o": pack_entries(sealed), "log": log},
        )


@pytest.mark.guarantee("audit:tamper-evident")
@pytest.mark.parametrize("guarded", [True, False])
async def test_two_logs_that_change_places_are_refused_and_found(tmp_path, guarded):
    """So nobody is shown the calls of another workspace as those of their own."""
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    book = await Logbook.open(tmp_path, sessions)
    await book.sequencer.recover(frozenset())
    for log in (LOG, OTHER):
        await book.ended(await book.begun(log=log), log=log)
    await book.close()
    assert (await book.examined()).sound
    with sessions.write() as connection:
        without_fences(connection)
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        openings_exchanged(connection)
    found = {(each.log, each.code, each.index) for each in (await book.examined()).findings}
    assert found == {(LOG, "opening", 1), (OTHER, "opening", 1)}
    with sessions.write() as connection:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        openings_exchanged(connection)
        exchanged(connection)
    if not guarded:
        (tmp_path / "guard.json").unlink()
    again = await Logbook.open(tmp_path, sessions, "nod_2")
    with pytest.raises(LogForked):
        await again.sequencer.recover(frozenset())
    assert {each.log for each in (await again.examined()).findings} == {LOG, OTHER}
    await again.journal.close()
    sessions.engine.dispose()
