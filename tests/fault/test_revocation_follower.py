"""Changes that come between two steps of a node that follows: none is missed, none is mixed."""

import asyncio

import pytest
from tests.fakes.world import CountedIds, StillClock
from tests.gate import WAIT
from tests.gov_log import open_gov_log
from tests.integration.nouns.declared import run
from tests.ledgers import new_database

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.adapters.store.shared.nodes import SqlNodes
from gatelodge.adapters.store.store import SqlStore
from gatelodge.core.catalog.server import HttpTransport
from gatelodge.core.errors import StoreDown
from gatelodge.core.people import Workspace
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import groups, members, servers, workspaces
from gatelodge.flows.gateway.follower import FollowerSettings, ViewFollower
from gatelodge.flows.gateway.inflight import InFlight, RunningRequest
from gatelodge.flows.identity import tokens

pytestmark = [pytest.mark.anyio, pytest.mark.guarantee("revoke:under-a-second")]

PEPPERS = HmacPeppers({"1": b"\x07" * 32})
KEYS = {"log": "aa" * 16, "peppers/1": "bb" * 16}
FOLLOWING = FollowerSettings(node="nod_1", poll_seconds=0.02, lease_seconds=1.0)


class Hurried:
    """A store in which somebody else's change commits between a poll and the read after it."""

    def __init__(self, store):
        self._store = store
        self.between = []

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def load(self, nouns, previous):
        if self.between:
            await self._store.change(self.between.pop(0))
        return await self._store.load(nouns, previous)


class House:
    def __init__(self, directory):
        self.database = new_database(directory)
        self.clock, self.ids, self.inflight = StillClock(), CountedIds(), InFlight()
        real = SqlStore(self.database, open_gov_log(self.database), self.clock, "nod_1")
        self.store = Hurried(real)
        self.follower = ViewFollower(
            self.store, SqlNodes(self.database), self.clock, self.inflight, FOLLOWING
        )

    def act(self, change, *args):
        return lambda tx: run(
            GovernanceAct(tx=tx, by="local", at=self.clock.now(), ids=self.ids), change, *args
        )

    async def do(self, change, *args):
        given, _ = await self.store.change(self.act(change, *args))
        return given

    async def begin(self):
        owner = "owner@example.test"
        await self.do(workspaces.start, PEPPERS, KEYS, owner)
        (found,) = await self.store.read(lambda tx: tx.find(Workspace, slug="main"))
        self.workspace = found.id
        self.ada = await self.member("ada")
        await self.follower.start()

    async def member(self, name):
        who = f"{name}@example.test"
        return (await self.do(members.add, self.workspace, who)).id

    async def token(self, member):
        issued = await self.do(tokens.issue, PEPPERS, self.workspace, member, "t", None)
        return issued.credential


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path)
    await house.begin()
    yield house
    await house.store.close()
    house.database.close()


def holders(house):
    return {entry.principal for entry in house.follower.view.credentials.values()}


async def test_an_end_that_comes_between_poll_and_read_is_acted_on_at_once(house):
    await house.token(house.ada)
    await house.follower.step()
    assert house.ada in holders(house)
    cut, ended = [], []
    house.inflight.add(
        RunningRequest("stream", house.ada, "", house.workspace, cut.append, house.ada)
    )
    house.follower.on_end(ended.append)
    await house.do(groups.create, house.workspace, "a group")
    house.store.between = [house.act(members.suspend, house.workspace, house.ada)]
    await house.follower.step()
    assert house.ada not in holders(house)
    assert cut == ["revoked"]
    assert ended == [house.ada]


async def test_a_token_that_comes_between_poll_and_read_is_known(house):
    await house.do(groups.create, house.workspace, "a group")
    issue = house.act(tokens.issue, PEPPERS, house.workspace, house.ada, "t", None)
    house.store.between = [issue]
    await house.follower.step()
    await house.follower.step()
    assert house.ada in holders(house)


async def test_changes_that_never_pause_do_not_hold_a_node_up(house):
    await house.do(groups.create, house.workspace, "group 0")
    house.store.between = [
        house.act(change, house.workspace, *more)
        for change, *more in (
            (members.add, "bea@example.test"),
            (groups.create, "group 1"),
            (members.add, "cyd@example.test"),
            (groups.create, "group 2"),
            (members.add, "dee@example.test"),
        )
    ]
    await house.follower.step()
    assert house.store.between, "the step waited for the last change"
    assert house.follower.fresh()
    house.store.between = []
    await house.follower.step()
    assert house.follower.view.gov == (await house.store.poll(0)).gov


async def test_a_server_that_is_disabled_and_enabled_between_two_polls_serves_again(house):
    transport = HttpTransport(url="http://127.0.0.1:9/mcp", allow_private=True)
    proposal = servers.ServerProposal(transport=transport)
    server = await house.do(servers.register, house.workspace, "up", proposal)
    await house.do(servers.approve, house.workspace, server.id)
    await house.follower.step()
    assert "up" in house.follower.view.workspaces["main"].servers
    cut = []
    running = RunningRequest("call", house.ada, "", house.workspace, cut.append, house.ada)
    running.server = server.id
    house.inflight.add(running)
    await house.do(servers.disable, house.workspace, server.id)
    await house.do(servers.approve, house.workspace, server.id)
    await house.follower.step()
    assert cut == ["server_disabled"]
    assert "up" in house.follower.view.workspaces["main"].servers
    assert not house.follower.view.gone


async def test_who_is_cut_for_their_own_end_is_not_told_of_a_server_that_ended_with_it(house):
    transport = HttpTransport(url="http://127.0.0.1:9/mcp", allow_private=True)
    proposal = servers.ServerProposal(transport=transport)
    server = await house.do(servers.register, house.workspace, "up", proposal)
    await house.do(servers.approve, house.workspace, server.id)
    bea = await house.member("bea")
    await house.follower.step()
    cut = {house.ada: [], bea: []}
    for who, reasons in cut.items():
        running = RunningRequest("call", who, "", house.workspace, reasons.append, who)
        running.server = server.id
        house.inflight.add(running)
    await house.do(servers.disable, house.workspace, server.id)
    await house.do(members.suspend, house.workspace, bea)
    await house.follower.step()
    assert cut == {house.ada: ["server_disabled"], bea: ["revoked"]}


async def test_a_call_that_runs_is_looked_at_for_leave_that_ended_by_its_time(house):
    cut = []
    running = RunningRequest("call", house.ada, "", house.workspace, cut.append, house.ada)
    running.began = house.clock.boottime()
    running.ended_in = lambda _view: house.clock.boottime() > running.began + 1.0
    house.inflight.add(running)
    reaping = asyncio.get_running_loop().create_task(house.follower.reap())
    async with asyncio.timeout(WAIT):
        while not cut:
            house.clock.step(0.1)
            await house.follower.step()
            await asyncio.sleep(0.01)
    reaping.cancel()
    assert cut == ["revoked"]
    assert house.clock.boottime() - running.began <= 2.5


async def test_a_store_that_was_another_one_for_a_moment_is_not_followed_again(house):
    with house.database.write() as connection:
        connection.exec_driver_sql("UPDATE epoch SET value = 'another'")
    with pytest.raises(StoreDown):
        await house.follower.step()
    with house.database.write() as connection:
        connection.exec_driver_sql("UPDATE epoch SET value = ?", (house.follower.view.state.epoch,))
    house.clock.step(2.0)
    with pytest.raises(StoreDown):
        await house.follower.step()
    assert not house.follower.fresh()
    assert "went back" in house.follower.diverged


async def test_a_node_says_once_that_it_serves_nobody_and_once_that_it_does_again(house, caplog):
    async def said(what):
        async with asyncio.timeout(WAIT):
            while not any(what in each.message for each in caplog.records):  # noqa: ASYNC110 - a line sets no event
                await asyncio.sleep(0.01)

    reaping = asyncio.get_running_loop().create_task(house.follower.reap())
    await house.do(groups.create, house.workspace, "a group")
    house.clock.step(2.0)  # longer than a lease, and the change is not in the view
    await said("nobody is served")
    await house.follower.step()
    await said("fresh again")
    reaping.cancel()
    told = [each.message for each in caplog.records if "view is fresh" in each.message]
    assert len(told) == 2
