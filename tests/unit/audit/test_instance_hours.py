"""Hour by hour it is told that an instance ran only where the records say so."""

import pytest
from tests.ledgers import sqlite_sessions
from tests.logbook import LOG, Logbook

from gatelodge.core.records.hosting_leaves import InstanceRefused, InstanceStarted, InstanceStopped
from gatelodge.flows.activity.hours import RecentHours
from gatelodge.flows.activity.instances import hours_of_servers

pytestmark = pytest.mark.anyio
SERVER = "srv_1"


@pytest.fixture
async def book(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    made = await Logbook.open(tmp_path, sessions, "nod_1", "")
    await made.sequencer.recover(frozenset())
    yield made
    await made.crash()
    sessions.engine.dispose()


class HostingGate:
    """Records of instances as a gate writes them, while hours pass."""

    def __init__(self, book):
        self.book = book

    async def pass_hours(self, count):
        await self.settle()
        self.book.clock.step(3_600 * count)

    async def settle(self):
        # Records become durable in their order: this one is waited for.
        await self.book.called()
        await self.book.sequencer.drain()

    def start(self, server=SERVER):
        name = "i" + self.book.ids.call()[1:]
        said = {"facts": "", "runtime": "process", "tier": "none", "wanted": "none"}
        self._record(InstanceStarted(instance=name, server=server, **said))
        return name

    def stop(self, name, reason):
        self._record(InstanceStopped(instance=name, ms=5, reason=reason))

    def refuse(self, server=SERVER):
        self._record(InstanceRefused(reason="start", server=server, wanted="standard"))

    def _record(self, leaf):
        self.book.recorder.hosted(LOG, leaf, None, None)

    async def told(self, count=6, live=(), partly=()):
        """What is known of the last hours of each server: whether one ran, how many failed.

        Of the hours `partly` not every leaf was read.
        """
        await self.settle()
        asked = RecentHours()
        for _ in range(3):
            found = await asked.of(self.book.ledger, LOG, self.book.clock.now(), count)
        assert all(each.whole for each in found)
        whole = [at not in partly for at in range(count)]
        told = hours_of_servers([each.instances for each in found], whole, live)
        return {
            server: ("".join(".r"[each.ran] for each in here), sum(each.troubles for each in here))
            for server, here in told.items()
        }


@pytest.fixture
def gate(book):
    return HostingGate(book)


async def test_an_instance_that_failed_ran_until_then(gate):
    name = gate.start()
    await gate.pass_hours(3)
    gate.stop(name, "signal")
    await gate.pass_hours(1)
    assert await gate.told() == {SERVER: (".rrrr.", 1)}


async def test_one_that_began_before_these_hours_is_found_in_the_log(gate):
    name = gate.start()
    await gate.pass_hours(30)
    gate.stop(name, "out_of_memory")
    await gate.pass_hours(2)
    assert await gate.told() == {SERVER: ("rrrr..", 1)}


async def test_one_without_an_end_runs_on(gate):
    gate.start()
    await gate.pass_hours(2)
    assert await gate.told(4) == {SERVER: (".rrr", 0)}
    await gate.pass_hours(9)
    # Its beginning is not read any more: then the node that runs it knows.
    assert await gate.told(4) == {}
    since = gate.book.clock.now() - 60 * 60_000_000
    assert await gate.told(4, [(SERVER, since)]) == {SERVER: ("..rr", 0)}


@pytest.mark.parametrize("reason", ["node_lost", "gateway_restart"])
async def test_an_end_that_nobody_saw_says_nothing_of_the_hours_before_it(gate, reason):
    name = gate.start()
    await gate.pass_hours(3)
    gate.stop(name, reason)
    assert await gate.told() == {SERVER: ("..r...", 0)}


async def test_an_hour_that_was_read_in_part_is_where_knowledge_ends(gate):
    name = gate.start()
    await gate.pass_hours(4)
    assert await gate.told() == {SERVER: (".rrrrr", 0)}
    assert await gate.told(partly=[2]) == {SERVER: (".rr...", 0)}
    # Whatever was not read: it ran until it was seen to end.
    gate.stop(name, "idle")
    assert await gate.told(partly=[2]) == {SERVER: (".rrrrr", 0)}


async def test_what_ended_on_purpose_is_no_trouble_and_what_was_refused_is(gate):
    for reason in ("idle", "stopped", "exit"):
        gate.stop(gate.start(), reason)
    gate.refuse("srv_2")
    await gate.pass_hours(1)
    gate.refuse("srv_2")
    assert await gate.told(3) == {SERVER: (".r.", 1), "srv_2": ("...", 2)}
