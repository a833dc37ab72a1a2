"""The contract of the table of jobs, on SQLite and on PostgreSQL."""

import sqlite3

import anyio
import pytest
from msgspec.structs import replace
from sqlalchemy import text
from tests.ledgers import new_database
from tests.postgres import fresh_database

from gatelodge.adapters.store.copying import copy_sqlite
from gatelodge.adapters.store.shared.jobs import SqlJobs
from gatelodge.core.errors import Conflict
from gatelodge.ports.jobs import KEPT_JOBS, JobRecord

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request, tmp_path):
    postgres = request.param == "postgresql"
    url = fresh_database(request.getfixturevalue("postgres_url")) if postgres else ""
    opened = new_database(tmp_path / "gate", url)
    yield opened
    opened.close()


@pytest.fixture
def table(database):
    return SqlJobs(database)


def job(name="job_1", kind="fsck", workspace=""):
    return JobRecord(id=name, kind=kind, workspace=workspace, started_by="local:0")


async def taken(table, asked=None, node="nod_1"):
    """A job that this node runs."""
    asked = asked or job()
    await table.add(asked, "asked")
    (queued,) = [each for each in await table.active() if each.id == asked.id]
    assert await table.take(queued, node) == "asked"
    return (await table.get(asked.id))[0]


async def test_what_was_added_is_queued_by_the_clock_of_the_database(table):
    await table.add(job(workspace="wsp_1"), "asked")
    (found,) = await table.active()
    assert (found.state, found.started_by, found.workspace) == ("queued", "local:0", "wsp_1")
    assert 0 < found.asked_at <= found.now
    assert (found.begun_at, found.ended_at, found.attempts) == (0, 0, 0)
    shown, content = await table.get("job_1")
    assert (replace(shown, now=found.now), content) == (found, "asked")
    assert await table.get("job_2") is None


async def test_of_a_kind_and_workspace_one_job_is_active_at_a_time(table):
    await table.add(job(), "")
    with pytest.raises(Conflict):
        await table.add(job("job_2"), "")
    await table.add(job("job_3", kind="export"), "")
    await table.add(job("job_4", workspace="wsp_1"), "")
    assert await table.cancel("job_1")
    await table.add(job("job_2"), "")
    assert {each.id for each in await table.active()} == {"job_2", "job_3", "job_4"}


async def test_of_several_nodes_that_take_a_job_one_gets_it(table):
    await table.add(job(), "asked")
    (queued,) = await table.active()
    found = []

    async def take(node):
        found.append(await table.take(queued, node))

    async with anyio.create_task_group() as group:
        for node in ("nod_1", "nod_2", "nod_3"):
            group.start_soon(take, node)
    assert sorted(map(str, found)) == ["None", "None", "asked"]
    (running,) = await table.active()
    assert (running.state, running.attempts) == ("running", 1)


async def test_whoever_a_job_was_taken_from_keeps_nothing_of_it_any_more(table):
    first = await taken(table)
    assert await table.put(replace(first, done=5, total=9, stage="gov"), "at 5")
    assert await table.take(first, "nod_2") == "at 5"
    assert not await table.put(replace(first, done=6), "at 6")
    assert not await table.put(replace(first, state="finished"), "result")
    found, content = await table.get("job_1")
    assert (found.node, found.attempts, found.done, content) == ("nod_2", 2, 5, "at 5")
    assert found.begun_at == first.begun_at
    assert (await table.get("job_1"))[0].state == "running"


async def test_numbers_may_be_kept_without_a_place_and_then_the_place_before_stays(table):
    running = await taken(table)
    assert await table.put(replace(running, done=7), None)
    found, content = await table.get("job_1")
    assert (found.done, content) == (7, "asked")


async def test_what_has_ended_is_not_taken_kept_or_cancelled_again(table):
    running = await taken(table)
    assert await table.put(replace(running, state="finished", done=9), "result")
    found, content = await table.get("job_1")
    assert (found.state, content) == ("finished", "result")
    assert found.ended_at >= found.begun_at
    assert await table.take(found, "nod_2") is None
    assert not await table.put(running, "again")
    assert not await table.cancel("job_1")
    assert await table.active() == ()


async def test_a_cancelled_job_keeps_nothing_of_what_it_held(table):
    running = await taken(table)
    assert await table.cancel("job_1")
    assert not await table.put(replace(running, state="finished"), "result")
    found, content = await table.get("job_1")
    assert (found.state, content) == ("cancelled", "")


async def test_the_newest_jobs_are_listed_first_and_the_oldest_that_ended_are_forgotten(
    table, database
):
    for number in range(KEPT_JOBS + 3):
        await table.add(job(f"job_{number}", workspace=f"wsp_{number % 2}"), "")
        await table.cancel(f"job_{number}")
        with database.write() as connection:  # so that no two have one time
            earlier = "UPDATE jobs SET asked_at = asked_at - 9, ended_at = ended_at - 9"
            connection.execute(text(f"{earlier} WHERE ended_at > 0"))
    await table.add(job("job_last", workspace="wsp_0"), "")
    names = [each.id for each in await table.listed(None)]
    assert names[:2] == ["job_last", f"job_{KEPT_JOBS + 2}"]
    assert len(names) == KEPT_JOBS + 1
    assert "job_2" not in names
    of_one = await table.listed("wsp_1")
    assert {each.workspace for each in of_one} == {"wsp_1"}


async def test_a_copy_of_the_database_holds_no_job(tmp_path):
    opened = new_database(tmp_path)
    await SqlJobs(opened).add(job(), "canary-position")
    copy_sqlite(tmp_path / "gatelodge.db", tmp_path / "copy.db")
    opened.close()
    with sqlite3.connect(tmp_path / "copy.db") as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
    connection.close()
    assert b"canary-position" not in (tmp_path / "copy.db").read_bytes()
