"""Which nodes share a store, and up to when a view is proven to hold every commit."""

import math
import time

import msgspec
import pytest
from tests.fakes.world import StillClock
from tests.gov_log import open_gov_log
from tests.ledgers import new_database
from tests.postgres import fresh_database

from gatelodge.adapters.keys.system import SystemClock
from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import migrate
from gatelodge.adapters.store.shared.nodes import SqlNodes
from gatelodge.adapters.store.store import SqlStore
from gatelodge.core.records.governance import GovFact
from gatelodge.ports.store import NodeSeen

pytestmark = pytest.mark.anyio

MANY = 100
"""More changes than a proof remembers one by one."""


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


def change(tx):
    tx.record(GovFact(t="group.created", by="local", workspace="", subject={}))


async def test_nodes_are_seen_by_the_stores_clock_until_they_leave(database):
    nodes = SqlNodes(database)
    first = NodeSeen(node="nod_1", boot="b1", applied=3, seen_at=0, lease_ms=1000)
    await nodes.acknowledge(first)
    await nodes.acknowledge(NodeSeen(node="nod_2", boot="b2", applied=2, seen_at=0, lease_ms=900))
    await nodes.acknowledge(msgspec.structs.replace(first, applied=5, cut_calls=2))
    live = await nodes.live(60_000)
    assert [(n.node, n.applied, n.cut_calls, n.lease_ms) for n in live] == [
        ("nod_1", 5, 2, 1000),
        ("nod_2", 2, 0, 900),
    ]
    assert all(n.seen_at > 1_700_000_000_000_000 for n in live)
    assert await nodes.live(-1_000) == ()
    await nodes.leave("nod_1")
    (known,) = await nodes.known()
    assert known.node == "nod_2"
    await nodes.forget(msgspec.structs.replace(known, seen_at=known.seen_at - 1))
    assert await nodes.known() == (known,)  # one that was seen meanwhile stays
    await nodes.forget(known)


@pytest.mark.guarantee("revoke:under-a-second")
async def test_alone_a_view_is_proven_without_end_until_a_change_that_it_does_not_hold(tmp_path):
    database, clock = open_database("", tmp_path / "gate"), StillClock()
    migrate(database)
    store = SqlStore(database, open_gov_log(database), clock, "nod_1")
    await store.load(None, None)
    assert store.proof.until(0) == math.inf
    assert store.proof.until(-1) == -math.inf
    first = clock.boottime()
    await store.change(change)
    clock.step(5.0)
    await store.change(change)
    assert store.proof.until(0) == first
    assert store.proof.until(1) == clock.boottime()
    assert store.proof.until(2) == math.inf
    await store.close()
    database.close()


@pytest.mark.guarantee("revoke:under-a-second")
async def test_a_view_behind_any_number_of_changes_is_proven_up_to_the_first_it_lacks(tmp_path):
    database, clock = open_database("", tmp_path), StillClock()
    migrate(database)
    store = SqlStore(database, open_gov_log(database), clock, "nod_1")
    await store.load(None, None)
    committed = []
    for _ in range(MANY):
        committed.append((await store.change(change))[1].at)
        clock.step(1.0)
    assert store.proof.until(0) == committed[0]
    for applied in range(1, MANY):
        assert committed[0] < store.proof.until(applied) <= committed[applied]
    assert store.proof.until(MANY) == math.inf
    await store.close()
    database.close()


@pytest.mark.slow
@pytest.mark.guarantee("revoke:under-a-second")
async def test_a_view_is_proven_on_while_the_loop_stands_still_but_not_past_another_nodes_change(
    postgres_url, tmp_path
):
    url, clock = fresh_database(postgres_url), SystemClock()
    databases = [open_database(url, tmp_path / name) for name in ("one", "two")]
    migrate(databases[0])
    one, two = (
        SqlStore(each, open_gov_log(each), clock, "nod", poll_seconds=0.02) for each in databases
    )
    await one.load(None, None)
    before = one.proof.until(0)
    time.sleep(0.3)  # noqa: ASYNC251 - the loop stands still
    assert one.proof.until(0) > before + 0.1
    _, committed = await two.change(change)
    ends = time.monotonic() + 10
    while one.proof.until(1) <= committed.at and time.monotonic() < ends:
        time.sleep(0.02)  # noqa: ASYNC251
    assert one.proof.until(0) <= committed.at < one.proof.until(1)
    for store, database in zip((one, two), databases, strict=True):
        await store.close()
        database.close()
