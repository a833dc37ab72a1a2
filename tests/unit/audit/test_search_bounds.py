"""What one question of an auditor reads: so many records, and then a cursor for the rest."""

import json
from types import SimpleNamespace

import anyio
import pytest

from gatelodge.core.records.origin import GOV, calls_log
from gatelodge.flows.audit import changes, reading, search
from gatelodge.ports.journal import LeafAt

pytestmark = pytest.mark.anyio
LOG, SIZE, MOST = calls_log("wsp_1"), 100, 30


class CountingLedger:
    """A log in which the oldest record alone is what is looked for; counts what is read."""

    def __init__(self, log):
        self._log, self.read = log, 0

    async def heads(self):
        return [SimpleNamespace(log=self._log, size=SIZE)]

    async def leaves(self, _log, start, end):
        self.read += end - start
        return [LeafAt(index, self._body(index)) for index in range(start, end)]

    @staticmethod
    def _body(index):
        at, t = "2026-11-28T00:00:00.000000Z", "wanted" if index == 0 else "other"
        return json.dumps({"at": at, "by": "mem_ann", "t": t, "workspace": "wsp_1"}).encode()


@pytest.mark.parametrize("room", ["calls", "changes"])
async def test_a_question_that_finds_little_reads_so_much_and_goes_on_from_its_cursor(
    room, monkeypatch
):
    if room == "calls":
        ledger = CountingLedger(LOG)
        asks, query = search.AuditSearch(ledger, None), search.AuditQuery(log=LOG, type="wanted")
        monkeypatch.setattr(reading, "MOST_READ", MOST)
        monkeypatch.setattr(search.AuditSearch, "_sift_for_query", sift)
    else:
        ledger = CountingLedger(GOV)
        asks, query = (
            changes.GovernanceChanges(ledger, anyio.Lock()),
            changes.ChangeQuery(type="wanted"),
        )
        monkeypatch.setattr(reading, "MOST_READ", MOST)
    cursors, before, found = [], None, ()
    while not found:
        ledger.read = 0
        page = await asks.search(type(query)(log=query.log, type="wanted", before=before))
        assert ledger.read <= MOST
        found, before = page.found, page.before
        cursors.append(before)
    assert cursors == [70, 40, 10, None]
    assert [each.index for each in found] == [0]


async def sift(self, query):
    return search._Sift(query, None, self.naming, "")


class OpenCalls:
    """A log in which every call is still open; counts what is read for their ends."""

    def __init__(self):
        self.read = 0

    async def heads(self):
        return [SimpleNamespace(log=LOG, size=SIZE)]

    async def leaves(self, _log, start, end):
        made = [{"at": "2026-11-28T00:00:00.000000Z", "call": f"c{n}", "t": "call.intent"}
                for n in range(start, end)]  # fmt: skip
        return [LeafAt(start + n, json.dumps(each).encode()) for n, each in enumerate(made)]

    async def containing(self, _log, _text, span, _limit):
        self.read += span[1] - span[0]
        return []


async def test_for_ends_that_stand_in_what_was_read_nothing_more_is_read(monkeypatch):
    monkeypatch.setattr(search.AuditSearch, "_sift_for_query", sift)
    ledger = OpenCalls()
    page = await search.AuditSearch(ledger, None).search(search.AuditQuery(log=LOG))
    assert len(page.found) == 50
    assert ledger.read == 0


async def test_calls_that_never_ended_cost_a_question_no_more_than_others(monkeypatch):
    monkeypatch.setattr(search.AuditSearch, "_sift_for_query", sift)
    monkeypatch.setattr(reading, "MOST_READ", MOST)
    asks, seen, before = search.AuditSearch(OpenCalls(), None), [], 60
    while before is not None:
        ledger = asks.reading._ledger
        ledger.read = 0
        page = await asks.search(search.AuditQuery(log=LOG, before=before))
        assert ledger.read <= MOST + SIZE, "it goes on until one is found"
        seen += [each.index for each in page.found]
        before = page.before
    assert seen == [*range(59, -1, -1)]
