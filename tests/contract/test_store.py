"""The governance store's contract, on SQLite and on PostgreSQL."""

import threading

import anyio
import msgspec
import pytest
from tests.fakes.world import StillClock
from tests.gov_log import open_gov_log
from tests.ledgers import new_database
from tests.postgres import fresh_database

from gatelodge.adapters.store.store import SqlStore
from gatelodge.core.catalog.server import HttpTransport, Server, StdioTransport, Tool
from gatelodge.core.errors import Broken, Conflict, StoreDown
from gatelodge.core.people import Agent, Credential, Group, GroupMember, Member, Workspace
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.records.governance import GovFact
from gatelodge.core.state import GovernanceState

pytestmark = pytest.mark.anyio

WORKSPACE = Workspace(id="wsp_1", slug="main", name="Main", created_at=1)
ANN = Member(id="mem_ann", workspace="wsp_1", email="ann@example.com", role="owner", created_at=2)
BOB = Member(id="mem_bob", workspace="wsp_1", email="bob@example.com", created_at=3)
GIT = Server(
    id="srv_git",
    workspace="wsp_1",
    alias="git",
    transport=StdioTransport(command=("mcp-git", "--ro"), env={"TOKEN": "env:GIT_TOKEN"}),
    tags=("code", "read"),
    hidden_capabilities=("roots", "sampling"),
    created_at=4,
)
WEB = Server(
    id="srv_web",
    workspace="wsp_1",
    alias="web",
    transport=HttpTransport(url="https://web.example.com/mcp", headers={"X-Key": "file:/k"}),
    status="approved",
    created_at=5,
)
EVERY_NOUN = (
    WORKSPACE,
    ANN,
    BOB,
    Agent(id="agt_ci", workspace="wsp_1", name="ci", owner="mem_bob", created_at=4),
    Group(id="grp_dev", workspace="wsp_1", name="dev", created_at=5),
    GroupMember(workspace="wsp_1", group="grp_dev", principal="agt_ci"),
    Credential(
        id="crd_1",
        workspace="wsp_1",
        principal="mem_ann",
        kind="personal",
        label="laptop",
        digest="ab" * 32,
        pepper="1",
        last4="wxyz",
        generation=0,
        created_at=6,
        expires_at=7,
    ),
    GIT,
    WEB,
    Tool(
        workspace="wsp_1",
        server="srv_git",
        name="status",
        definition='{"name":"status"}',
        observed="cd" * 32,
        approved="cd" * 32,
        read_only=True,
        destructive=False,
        position=3,
    ),
    Grant(
        id="grn_1",
        workspace="wsp_1",
        grantee_kind="everyone",
        grantee="",
        server="srv_git",
        expires_at=99,
        created_by="local",
        created_at=8,
    ),
    Guardrail(
        id="grd_1",
        workspace="",
        name="no-delete",
        text="forbid(principal, action, resource);",
        written="forbid(principal, action, resource);",
        digest="ef" * 32,
        created_by="local",
        created_at=9,
    ),
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request):
    if request.param == "sqlite":
        return ""
    return fresh_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def database(url, tmp_path):
    opened = new_database(tmp_path / "gate", url)
    yield opened
    opened.close()


@pytest.fixture
async def store(database, clock):
    made = SqlStore(database, open_gov_log(database), clock, "nod_1")
    yield made
    await made.close()


def fact(t="member.added", **subject):
    return GovFact(t=t, by="local", workspace="wsp_1", subject=subject)


def put_all(tx, *rows):
    for row in rows:
        tx.put(row)
    tx.record(fact(count=len(rows)))


async def test_every_noun_comes_back_as_it_was_put(store):
    _, committed = await store.change(lambda tx: put_all(tx, *EVERY_NOUN))
    state = await store.load(None, None)
    kept = [row for field in GovernanceState.__struct_fields__[2:] for row in getattr(state, field)]
    assert sorted(map(repr, kept)) == sorted(map(repr, EVERY_NOUN))
    assert state.gov == committed.gov == 1
    assert len(state.epoch) == 32


async def test_a_row_put_again_replaces_the_one_with_the_same_key(store):
    await store.change(lambda tx: put_all(tx, WORKSPACE, ANN))
    changed = msgspec.structs.replace(ANN, role="auditor", status="suspended")
    await store.change(lambda tx: put_all(tx, changed))
    assert await store.read(lambda tx: tx.find(Member, workspace="wsp_1")) == [changed]


async def test_rows_are_found_by_all_given_fields_and_oldest_first(store):
    await store.change(lambda tx: put_all(tx, WORKSPACE, BOB, ANN))
    found = await store.read(
        lambda tx: [
            tx.find(Member, workspace="wsp_1"),
            tx.find(Member, workspace="wsp_1", role="member"),
            tx.find(Member, workspace="wsp_2"),
        ]
    )
    assert found == [[ANN, BOB], [BOB], []]


async def test_an_absent_value_is_found_as_such(store):
    await store.change(lambda tx: put_all(tx, *EVERY_NOUN))

    def live(tx):
        return tx.find(Credential, workspace="wsp_1", revoked_at=None)

    assert [each.id for each in await store.read(live)] == ["crd_1"]


async def test_a_query_without_its_workspace_or_with_an_unknown_field_is_refused(store):
    with pytest.raises(TypeError, match="workspace"):
        await store.read(lambda tx: tx.find(Member, id="mem_ann"))
    with pytest.raises(TypeError, match="shoe_size"):
        await store.read(lambda tx: tx.find(Member, workspace="wsp_1", shoe_size=43))


async def test_a_raising_work_keeps_neither_rows_nor_leaves(store):
    def fail(tx):
        put_all(tx, WORKSPACE, ANN)
        raise Conflict("no")

    with pytest.raises(Conflict):
        await store.change(fail)
    assert await store.read(lambda tx: tx.find(Workspace)) == []
    assert (await store.poll(0)).gov == 0


async def test_a_change_of_rows_without_a_leaf_is_not_kept(store):
    with pytest.raises(Broken):
        await store.change(lambda tx: tx.put(WORKSPACE))
    assert await store.read(lambda tx: tx.find(Workspace)) == []


async def test_a_change_that_does_nothing_leaves_the_log_alone(store):
    await store.change(lambda tx: put_all(tx, WORKSPACE))
    given, committed = await store.change(lambda tx: len(tx.find(Workspace)))
    assert (given, committed.gov) == (1, 1)


async def test_a_row_that_others_point_at_cannot_be_removed(store):
    await store.change(lambda tx: put_all(tx, *EVERY_NOUN))

    def remove(tx):
        tx.remove(GIT)
        tx.record(fact("server.removed", server="srv_git"))

    with pytest.raises(Conflict):
        await store.change(remove)
    assert (await store.poll(0)).gov == 1


async def test_a_row_of_another_workspace_cannot_be_pointed_at(store):
    other = Workspace(id="wsp_2", slug="other", name="", created_at=1)
    agent = Agent(id="agt_x", workspace="wsp_2", name="x", owner="mem_ann", created_at=3)
    with pytest.raises(Conflict):
        await store.change(lambda tx: put_all(tx, WORKSPACE, other, ANN, agent))


async def test_a_removed_row_is_gone(store):
    place = GroupMember(workspace="wsp_1", group="grp_dev", principal="agt_ci")
    await store.change(lambda tx: put_all(tx, *EVERY_NOUN))

    def part(tx):
        tx.remove(place)
        tx.record(fact("group.member_removed", group="grp_dev", principal="agt_ci"))

    await store.change(part)
    assert await store.read(lambda tx: tx.find(GroupMember, workspace="wsp_1")) == []


async def test_reading_cannot_write(store):
    with pytest.raises(TypeError):
        await store.read(lambda tx: tx.put(WORKSPACE))


async def test_leaves_are_polled_in_the_order_they_were_recorded(store):
    def three(tx):
        for number in range(3):
            tx.record(fact(number=number))

    await store.change(three)
    await store.change(lambda tx: tx.record(fact(number=3)))
    seen = await store.poll(1)
    numbers = [msgspec.json.decode(leaf)["subject"]["number"] for leaf in seen.leaves]
    assert (seen.gov, numbers) == (4, [1, 2, 3])
    assert seen.epoch == (await store.load(frozenset(), None)).epoch


async def test_a_leaf_says_when_by_whom_and_on_which_node(store):
    await store.change(lambda tx: tx.record(fact(member="mem_ann")))
    leaf = msgspec.json.decode((await store.poll(0)).leaves[0])
    assert leaf == {
        "v": 1,
        "t": "member.added",
        "at": "2026-11-18T11:06:40.000000Z",
        "by": "local",
        "node": "nod_1",
        "workspace": "wsp_1",
        "subject": {"member": "mem_ann"},
    }


async def test_times_of_the_log_never_go_back(store, clock):
    await store.change(lambda tx: tx.record(fact()))
    clock.step(-3600)
    await store.change(lambda tx: tx.record(fact()))
    times = [msgspec.json.decode(leaf)["at"] for leaf in (await store.poll(0)).leaves]
    assert times == sorted(times)


async def test_a_poll_ahead_of_the_head_shows_the_head_and_no_leaves(store):
    await store.change(lambda tx: tx.record(fact()))
    seen = await store.poll(7)
    assert (seen.gov, seen.leaves) == (1, ())


async def test_only_the_named_nouns_are_read_again(store):
    await store.change(lambda tx: put_all(tx, WORKSPACE, ANN))
    first = await store.load(None, None)
    await store.change(lambda tx: put_all(tx, BOB, msgspec.structs.replace(WORKSPACE, name="New")))
    second = await store.load(frozenset({"members"}), first)
    assert second.gov == 2
    assert second.members == (ANN, BOB)
    assert second.workspaces is first.workspaces


async def test_a_state_of_another_epoch_is_never_built_upon(store):
    await store.change(lambda tx: put_all(tx, WORKSPACE, ANN))
    other = GovernanceState(gov=9, epoch="another", workspaces=(), members=(BOB,))
    state = await store.load(frozenset({"members"}), other)
    assert (state.workspaces, state.members) == ((WORKSPACE,), (ANN,))


async def test_concurrent_writers_see_each_other_and_leave_no_gap(store, database, clock):
    second = SqlStore(database, open_gov_log(database), clock, "nod_2")
    await store.change(lambda tx: put_all(tx, WORKSPACE))
    seen: list[bytes] = []

    def count(tx):
        row = tx.find(Workspace)[0]
        put_all(tx, msgspec.structs.replace(row, created_at=row.created_at + 1))
        tx.record(fact(count=row.created_at))

    async def write(into):
        for _ in range(12):
            await into.change(count)

    async def follow():
        while len(seen) < 97:
            seen.extend((await store.poll(len(seen))).leaves)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            for index in range(4):
                group.start_soon(write, (store, second)[index % 2])
    await second.close()
    assert tuple(seen) == (await store.poll(0)).leaves
    assert (await store.load(None, None)).workspaces[0].created_at == 49


async def test_a_change_wakes_who_waits_for_one(store):
    await store.poll(0)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(store.wait, 60.0)
            group.start_soon(store.wait, 60.0)
            await anyio.wait_all_tasks_blocked()
            await store.change(lambda tx: tx.record(fact()))


async def test_a_change_between_poll_and_wait_is_not_waited_for(store):
    await store.poll(0)
    await store.change(lambda tx: tx.record(fact()))
    with anyio.fail_after(5):
        await store.wait(60.0)


async def test_waiting_ends_after_its_time(store):
    await store.poll(0)
    with anyio.fail_after(5):
        await store.wait(0.01)


async def test_a_failed_change_leaves_the_store_usable(store):
    with pytest.raises(ZeroDivisionError):
        await store.change(lambda tx: 1 // 0)
    await store.change(lambda tx: put_all(tx, WORKSPACE))


async def test_a_cancelled_caller_does_not_undo_the_change(store):
    started, go_on = threading.Event(), threading.Event()

    def slow(tx):
        put_all(tx, WORKSPACE)
        started.set()
        go_on.wait(5)

    async with anyio.create_task_group() as group:
        group.start_soon(store.change, slow)
        await anyio.to_thread.run_sync(started.wait, 5)
        group.cancel_scope.cancel()
        go_on.set()
    assert await store.read(lambda tx: tx.find(Workspace)) == [WORKSPACE]


async def test_a_row_of_a_later_version_is_told_as_such(store, database):
    await store.change(lambda tx: put_all(tx, WORKSPACE, ANN))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE members SET status = 'on_leave'")
    with pytest.raises(StoreDown, match="members"):
        await store.load(None, None)
