"""Evidence is bound to the act: what is copied, planted or read in between changes no verdict."""

import hashlib

import pytest
from sqlalchemy import text
from tests.fault.test_sequencer_tampering import without_fences
from tests.ledgers import SEAL, sqlite_sessions
from tests.logbook import ANN, CI, LOG, Logbook

from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.seal import HeadSeal
from gatelodge.core.errors import LogForked
from gatelodge.core.records.verify import format_proof, verify_proof
from gatelodge.flows.audit.check.fsck import LedgerFsck
from gatelodge.flows.audit.checkpoints import CheckpointPublisher
from gatelodge.flows.audit.search import AuditQuery
from gatelodge.ports.journal import JournalBatch, JournalEntry, LeafPlace
from gatelodge.tlog.tile import unpack_entries

pytestmark = pytest.mark.anyio


@pytest.fixture
async def book(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    made = await Logbook.open(tmp_path, sessions)
    await made.sequencer.recover(frozenset())
    yield made
    await made.journal.close()
    sessions.engine.dispose()


def planted(book, seal: HeadSeal) -> None:
    """A second leaf like Ann's first call, with her commitment and her opening copied to it."""
    with book.sessions.write() as connection:
        without_fences(connection)
        rows = connection.execute(
            text("SELECT entries, openings FROM bundle WHERE n = 0 AND log = :log"), {"log": LOG}
        ).one()
        body, sealed = unpack_entries(rows[0])[1], unpack_entries(rows[1])[1]
        other = body.replace(b'"tool":"read"', b'"tool":"wire"')
        own = connection.execute(text("SELECT seal FROM log WHERE id = :log"), {"log": LOG})
        kept = own.scalar_one()
        if seal is not SEAL:  # whoever holds no key still passes the fence of the append
            connection.execute(
                text("UPDATE log SET seal = :s WHERE id = :log"),
                {"s": _made(connection, seal), "log": LOG},
            )
        logs.append_leaves(connection, seal, LOG, [other], [sealed])
        assert kept is not None


def _made(connection, seal: HeadSeal) -> bytes:
    row = connection.execute(text("SELECT origin, size, root FROM log")).one()
    return seal.make(row[0], row[1], row[2])


async def test_a_leaf_that_was_planted_without_a_key_is_noticed_by_start_append_and_check(
    book, tmp_path
):
    await book.called()
    await book.close()
    planted(book, HeadSeal(b"x" * 32))
    assert "seal" in {each.code for each in (await book.examined()).findings}
    again = await Logbook.open(tmp_path, book.sessions, "nod_2")
    with pytest.raises(LogForked, match="not appended by this gate"):
        await again.sequencer.recover(frozenset())
    batch = JournalBatch((JournalEntry(LOG, b'{"at":"x"}'),))
    with pytest.raises(LogForked, match="not appended by this gate"):
        await again.ledger.append(batch, {LOG: LeafPlace(4, 4)})
    await again.journal.close()


async def test_an_opening_that_was_copied_to_another_leaf_names_nobody(book):
    """Even with the key that seals heads: whoever called one thing is not shown to have called
    another."""
    await book.called()
    await book.sequencer.drain()
    planted(book, SEAL)
    rows = await book.search.naming.with_names(await book.search.tail(LOG, 2))
    shown = {str(row.leaf["tool"]): (row.who and row.who.member, row.gone) for row in rows}
    assert shown == {"read": ("mem_ann", ""), "wire": (None, "damaged")}
    assert "opening" in {each.code for each in (await book.examined()).findings}


async def test_a_proof_shows_who_called_when_the_opening_is_handed_over_and_only_then(book):
    call = await book.called(CI)
    await book.sequencer.settle()
    vkey = book.sequencer.checkpoints.vkey
    silent = verify_proof(format_proof(await book.prover.prove(LOG, call)), [vkey])
    assert (silent.verdict, silent.who) == ("VERIFIED", {})
    document = format_proof(await book.prover.prove(LOG, call, named=True))
    told = verify_proof(document, [vkey])
    assert told.verdict == "VERIFIED"
    assert list(told.who.values()) == [
        {"agent": "agt_ci", "client": "ci", "cred": "crd_2", "member": "mem_bob"}
    ]
    other = await book.called(ANN)
    await book.sequencer.advance(sign=True)
    theirs = await book.prover.prove(LOG, other, named=True)
    mine = await book.prover.prove(LOG, call, named=True)
    exchanged = format_proof(mine).replace(_opening_of(mine), _opening_of(theirs))
    assert verify_proof(exchanged, [vkey]).verdict == "TAMPERED"


def _opening_of(document) -> bytes:
    from base64 import b64encode

    return b64encode(document.leaves[0].opening)


class Busy:
    """A ledger that is appended to and signed between any two reads of it."""

    def __init__(self, book) -> None:
        self._book = book
        self._ledger = book.ledger

    def __getattr__(self, name):
        found = getattr(self._ledger, name)

        async def after_more(*given):
            read = await found(*given)
            await self._book.called()
            await self._book.sequencer.drain()
            await self._book.sequencer.sign()
            return read

        return after_more


async def test_reading_a_log_while_it_grows_and_is_signed_is_never_an_alarm(book):
    await book.called()
    await book.sequencer.advance(sign=True)
    busy = Busy(book)
    checkpoints = CheckpointPublisher(busy, book.signer, book.guard)
    await checkpoints.check_all()
    await checkpoints.remember()

    async def live() -> frozenset[str]:
        return frozenset({"nod_1"})

    examination = await LedgerFsck(busy, checkpoints, book.guard, book.deks).examine(live)
    assert examination.findings == ()


class Vanishing:
    """A ledger from whose list a log is gone after so many looks at it."""

    def __init__(self, ledger, looks: int) -> None:
        self._ledger, self._looks = ledger, looks

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    async def heads(self):
        self._looks -= 1
        return tuple(each for each in await self._ledger.heads() if self._looks >= 0)


@pytest.mark.parametrize("looks", [1, 2])
async def test_a_log_that_vanishes_while_it_is_examined_is_a_finding(book, looks):
    await book.begun()
    await book.sequencer.advance(sign=True)
    book.clock.step(86_400)

    async def live() -> frozenset[str]:
        return frozenset()

    vanishing = Vanishing(book.ledger, looks)
    checked = await LedgerFsck(vanishing, book.sequencer.checkpoints, book.guard).examine(live)
    assert {(each.log, each.code) for each in checked.findings} == {(LOG, "log_missing")}


async def test_no_bounded_search_misses_a_record_because_a_clock_jumped(book):
    at: dict[str, int] = {}
    for turn in range(90):
        # An hour back, a day ahead, and home again, within bundles and across them.
        jump = {0: 86_400, 30: -90_000, 60: 3_600}.get(turn, 1)
        book.clock.step(jump)
        for _ in range(6):
            at[await book.called()] = book.clock.now()
    await book.sequencer.drain()
    times = sorted(set(at.values()))
    for since in times[:: len(times) // 4]:
        for until in times[:: len(times) // 4]:
            if since >= until:
                continue
            wanted = {call for call, then in at.items() if since <= then < until}
            assert await _between(book, since, until) == wanted
    for call in list(at)[::97]:
        assert (await book.search.reading.find(LOG, call)).closer is not None


async def _between(book, since: int, until: int) -> set[str]:
    from gatelodge.core.instant import rfc3339

    query = AuditQuery(
        log=LOG, type="call.intent", since=rfc3339(since), until=rfc3339(until), limit=5_000
    )
    page = await book.search.search(query)
    assert page.before is None
    return {str(each.leaf["call"]) for each in page.found}


async def test_a_bundle_that_lies_about_its_times_is_found_by_the_whole_check(book):
    await book.called()
    await book.sequencer.drain()
    with book.sessions.write() as connection:
        without_fences(connection)
        connection.execute(text("UPDATE bundle SET first_at = 'z', last_at = 'z'"))
    assert {each.code for each in (await book.examined()).findings} == {"times"}


def test_the_seal_is_of_one_log_one_size_and_one_root():
    root = hashlib.sha256(b"r").digest()
    seal = SEAL.make("gate/gov", 3, root)
    assert SEAL.fits("gate/gov", 3, root, seal)
    assert not SEAL.fits("gate/unrouted", 3, root, seal)
    assert not SEAL.fits("gate/gov", 4, root, seal)
    assert not SEAL.fits("gate/gov", 3, bytes(32), seal)
    assert not SEAL.fits("gate/gov", 3, root, None)
    assert SEAL.fits("gate/gov", 0, root, None)
