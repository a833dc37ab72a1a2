"""What is counted of the last hours is what a reading of the whole log counts."""

import random
from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from tests.contract.index.random_log import BusyGate
from tests.ledgers import sqlite_sessions
from tests.logbook import LOG, Logbook

from gatelodge.core.instant import rfc3339
from gatelodge.core.pictures.recent import health_cell, share
from gatelodge.core.pictures.sparkline import sparkline
from gatelodge.core.pictures.strip import StripCell, strip
from gatelodge.flows.activity import hours
from gatelodge.flows.activity.hours import HOUR_US, RecentHours, quantile

pytestmark = pytest.mark.anyio


@pytest.fixture
async def book(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    made = await Logbook.open(tmp_path, sessions, "nod_1", "")
    await made.sequencer.recover(frozenset())
    yield made
    await made.crash()
    sessions.engine.dispose()


async def counted(book, start):
    """Brute force: what ended in that hour, by how."""
    first, last = rfc3339(start), rfc3339(start + HOUR_US)
    ends = Counter()
    for body in await book.bodies():
        leaf = msgspec.json.decode(body)
        if not first <= leaf["at"] < last:
            continue
        if leaf["t"] == "call.denied":
            ends["denied"] += 1
        elif leaf["t"] == "call.outcome":
            ends["ok" if leaf["outcome"] == "ok" else "failed"] += 1
    return ends


async def test_hours_are_counted_as_the_log_has_them_however_often_somebody_asks(book):
    gate, asked = BusyGate(book, random.Random(3)), RecentHours()
    for _ in range(5):
        await gate.happen(400)
        await asked.of(book.ledger, LOG, book.clock.now(), 24)
        book.clock.step(2_000)
    found = await asked.of(book.ledger, LOG, book.clock.now(), 24)
    afresh = await RecentHours().of(book.ledger, LOG, book.clock.now(), 24)
    assert len(found) == 24
    assert all(b.start - a.start == HOUR_US for a, b in pairwise(found))
    for each, other in zip(found, afresh, strict=True):
        ends = await counted(book, each.start)
        for hour in (each, other):
            now = {end: hour.count(end) for end in ("ok", "denied", "failed")}
            assert now == {end: ends[end] for end in now}, rfc3339(each.start)
    assert sum(each.count("ok", "denied", "failed") for each in found) > 100


async def test_one_question_reads_so_much_and_the_next_goes_on(book, monkeypatch):
    monkeypatch.setattr(hours, "MOST_READ", 256)
    gate, asked = BusyGate(book, random.Random(4)), RecentHours()
    for _ in range(4):
        await gate.happen(300)
        book.clock.step(3_700)
    last = []
    for _ in range(12):
        found = await asked.of(book.ledger, LOG, book.clock.now(), 6)
        last.append(sum(each.next >= 0 for each in found))
    assert last[0] < 6
    assert last == sorted(last)
    assert last[-1] == 6


async def test_of_a_large_hour_a_part_is_read_and_said_so(book, monkeypatch):
    monkeypatch.setattr(hours, "MOST_OF_HOUR", 100)
    await BusyGate(book, random.Random(5)).happen(600)
    found = await RecentHours().of(book.ledger, LOG, book.clock.now(), 2)
    assert any(each.read < each.leaves for each in found)
    assert all(each.read <= 100 for each in found)


def test_a_quantile_is_within_an_eighth():
    took = Counter()
    for ms in range(1, 1001):
        hours._count_duration(took, ms)
    assert quantile(Counter(), 0.5) is None
    for part in (0.5, 0.95):
        assert abs(quantile(took, part) - 1000 * part) <= 1000 * part / 8


def test_pictures_say_in_words_what_they_show_and_escape_what_they_are_given():
    drawn = sparkline([0, 3, None], "a <b> & c")
    assert drawn.count("<rect") == 3
    assert "<title>a &lt;b&gt; &amp; c</title>" in drawn
    assert "NaN" not in sparkline([], "x")
    shown = strip([StripCell("bad", '"><script>'), StripCell("none", "")], "t")
    assert "<script>" not in shown
    assert " style=" not in drawn + shown
    assert health_cell("2026-11-30T10:00:00Z", 0, 5, 0).kind == "none"
    assert health_cell("2026-11-30T10:00:00Z", 98, 0, 2).kind == "some"
    assert health_cell("2026-11-30T10:00:00Z", 5, 0, 5).kind == "bad"
    for told, kind in (
        ((0, 0, 0, False, 0), "none"),
        ((0, 0, 0, True, 0), "good"),
        ((9, 0, 0, True, 1), "some"),
        ((0, 0, 0, False, 1), "bad"),
        ((0, 0, 0, True, 2), "bad"),
    ):
        ok, denied, failed, ran, troubles = told
        cell = health_cell("2026-11-30T10:00", ok, denied, failed, ran=ran, troubles=troubles)
        assert cell.kind == kind, told
    assert "no record tells" in health_cell("2026-11-30T10:00:00Z", 0, 0, 0).text
    assert (share(0, 0), share(1, 3)) == ("—", "33.3 %")
