"""What breaks under the store, and what its callers see. After each, the store works again."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
import msgspec
import psycopg
import pytest
from tests.fakes.world import StillClock
from tests.gov_log import open_gov_log
from tests.postgres import fresh_database

from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import migrate
from gatelodge.adapters.store.store import SqlStore
from gatelodge.core.errors import Conflict, Invalid, StoreDown
from gatelodge.core.people import Workspace
from gatelodge.core.records.governance import GovFact

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def url(postgres_url):
    return fresh_database(postgres_url)


@pytest.fixture
async def nodes(url, tmp_path):
    """Two nodes on one PostgreSQL."""
    databases = [open_database(url, tmp_path / name) for name in ("one", "two")]
    migrate(databases[0])
    stores = [
        SqlStore(each, open_gov_log(each), StillClock(), f"nod_{number}")
        for number, each in enumerate(databases, 1)
    ]
    yield stores
    for store, database in zip(stores, databases, strict=True):
        await store.close()
        database.close()


def fact():
    return GovFact(t="audit.read", by="local", subject={})


def watchers(url):
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'gatelodge-watch'"
        )
        return [row[0] for row in rows]


async def fails_within_a_second(store):
    before = time.monotonic()
    with pytest.raises(StoreDown):
        await store.poll(0)
    return time.monotonic() - before < 1.0


async def test_a_change_on_one_node_wakes_the_other(nodes):
    one, two = nodes
    await two.poll(0)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(two.wait, 60.0)
            group.start_soon(two.wait, 60.0)
            await anyio.wait_all_tasks_blocked()
            await one.change(lambda tx: tx.record(fact()))
            while (await two.poll(0)).gov == 0:
                await anyio.wait_all_tasks_blocked()


async def test_an_announcement_that_came_with_a_poll_is_not_waited_for(nodes):
    one, two = nodes
    await two.poll(0)
    await one.change(lambda tx: tx.record(fact()))
    with anyio.fail_after(10):
        await two.wait(60.0)
        assert (await two.poll(0)).gov == 1


@pytest.mark.parametrize("said", ["9" * 7_000, "9" * 18, "9" * 19, "-1", "\u0669", ""])
async def test_nothing_that_is_said_beside_announcements_stops_a_node_or_keeps_it_awake(
    nodes, url, said
):
    one, two = nodes
    await two.poll(0)
    with psycopg.connect(url, autocommit=True) as anyone:
        anyone.execute("SELECT pg_notify('gatelodge_gov', %s)", [said])
    woken = anyio.Event()

    async def wait():
        await two.wait(60.0)
        woken.set()

    with anyio.fail_after(20):
        await two.wait(60.0)
        for _ in range(2):
            assert (await two.poll(0)).gov == 0
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not woken.is_set()
            await one.change(lambda tx: tx.record(fact()))
            await woken.wait()
    assert (await two.poll(0)).gov == 1


@pytest.mark.guarantee("revoke:under-a-second")
async def test_a_lost_connection_is_told_within_a_second_and_made_anew(nodes, url):
    _, two = nodes
    await two.poll(0)
    with psycopg.connect(url, autocommit=True) as connection:
        for pid in watchers(url):
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    assert await fails_within_a_second(two)
    assert (await two.poll(0)).gov == 0


@pytest.mark.guarantee("revoke:under-a-second")
async def test_a_database_that_hangs_is_told_within_a_second_and_asked_again(nodes, url):
    _, two = nodes
    await two.poll(0)
    frozen = watchers(url)
    assert frozen
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert await fails_within_a_second(two)
        with anyio.fail_after(5):
            while True:
                try:
                    assert (await two.poll(0)).gov == 0
                    break
                except StoreDown:
                    continue
        assert set(watchers(url)) - set(frozen)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


async def test_a_lost_pooled_connection_fails_no_later_change(nodes, url):
    one, _ = nodes
    await one.change(lambda tx: tx.record(fact()))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert (await one.change(lambda tx: tx.record(fact())))[1].gov == 2


async def test_a_connection_lost_inside_a_change_keeps_nothing(nodes, url):
    one, _ = nodes

    def cut(tx):
        tx.put(Workspace(id="wsp_1", slug="main", name="", created_at=1))
        tx.record(fact())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'gatelodge'"
                " AND state = 'idle in transaction'"
            )

    with pytest.raises(StoreDown):
        await one.change(cut)
    assert (await one.poll(0)).gov == 0
    assert await one.read(lambda tx: tx.find(Workspace)) == []


def test_a_server_that_cannot_be_reached_is_told_without_its_password(tmp_path):
    with pytest.raises(StoreDown) as caught:
        open_database("postgresql://gate:hunter2@127.0.0.1:1/gate", tmp_path)
    assert "hunter2" not in caught.value.detail + caught.value.remedy + repr(caught.value)


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql+asyncpg://x/y", "nonsense", ":"])
def test_another_kind_of_url_is_refused(url, tmp_path):
    with pytest.raises(Invalid, match=r"store\.url"):
        open_database(url, tmp_path)


HOLD = """
import sys
from pathlib import Path
from gatelodge.adapters.store.database import open_database
open_database("", Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(Conflict) as caught:
            open_database("", tmp_path)
        assert caught.value.detail == (f"another gatelodge process ({holder.pid}) uses {tmp_path}")
        assert "data_dir" in caught.value.remedy
    finally:
        holder.kill()
        holder.communicate(timeout=10)
    open_database("", tmp_path).close()


def test_a_directory_that_cannot_be_written_is_told_with_a_remedy():
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o555)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65_534)
        try:
            for directory in (place, place / "below"):
                with pytest.raises(StoreDown, match="Permission denied") as caught:
                    open_database("", directory)
                assert str(directory) in caught.value.detail
                assert "data_dir" in caught.value.remedy
        finally:
            os.seteuid(was)
            place.chmod(0o755)


def test_a_file_that_is_no_database_is_told_and_left_as_it_is(tmp_path):
    (tmp_path / "gatelodge.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreDown):
        open_database("", tmp_path)
    assert (tmp_path / "gatelodge.db").read_bytes() == b"not a database at all" * 100


CHANGE = """
import sys
import anyio
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import migrate
from gatelodge.adapters.store.store import SqlStore
from gatelodge.core.people import Workspace
from gatelodge.core.records.governance import GovFact
from tests.fakes.world import StillClock
from tests.gov_log import open_gov_log

async def main():
    database = open_database("", Path(sys.argv[1]))
    migrate(database)
    store = SqlStore(database, open_gov_log(database), StillClock(), "nod_1")
    for number in range(1, 1_000_000):
        def work(tx):
            row = Workspace(id=f"wsp_{number}", slug=f"s{number}", name="", created_at=number)
            tx.put(row)
            tx.record(GovFact(t="workspace.created", by="local", subject={"workspace": row.id}))
        await store.change(work)
        print(number, flush=True)

anyio.run(main)
"""


@pytest.mark.parametrize("after", [1, 5, 20])
def test_a_killed_process_leaves_rows_and_leaves_that_agree(tmp_path, after):
    writer = subprocess.Popen(
        [sys.executable, "-c", CHANGE, str(tmp_path), str(ROOT)],
        stdout=subprocess.PIPE,
        text=True,
    )
    told = 0
    try:
        for line in writer.stdout:
            told = int(line)
            if told >= after:
                break
    finally:
        writer.kill()
        writer.wait(10)
        writer.stdout.close()
    state, leaves = anyio.run(_look, tmp_path)
    assert len(leaves) == state.gov >= told
    recorded = [msgspec.json.decode(leaf)["subject"]["workspace"] for leaf in leaves]
    assert recorded == [row.id for row in state.workspaces]


async def _look(directory):
    database = open_database("", directory)
    store = SqlStore(database, open_gov_log(database), StillClock(), "nod_1")
    state, leaves = await store.load(None, None), (await store.poll(0)).leaves
    database.close()
    return state, leaves
