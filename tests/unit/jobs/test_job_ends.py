"""How a job ends is bounded, kept, and told by nobody but the gate."""

import asyncio

import pytest
from sqlalchemy import text
from tests.fault.scene.watching import until
from tests.unit.jobs.nodes import COUNT, OPERATOR

from gatelodge.core.errors import Conflict, JobBroken, KeyUnreachable, StoreDown
from gatelodge.flows.health import NodeHealth
from gatelodge.flows.jobs.kinds import JobKind
from gatelodge.flows.jobs.runner import MOST_ATTEMPTS

pytestmark = pytest.mark.anyio


async def test_work_that_fails_leaves_its_error(nodes, caplog):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.fault = Conflict("there is one already", remedy="Take another.")
    work.step(1)
    record, end = await nodes.ended(runner, job.id)
    assert record.state == "failed"
    assert (end.error, end.detail) == ("error.refused.conflict", "there is one already")
    assert end.remedy == "Take another."
    assert f"job {job.id} (count) failed: there is one already" in caplog.text


async def test_work_that_dies_tells_of_what_kind_and_nothing_of_what_was_sent(nodes, caplog):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.fault = ValueError("canary-payload")
    work.step(1)
    _, end = await nodes.ended(runner, job.id)
    assert (end.error, end.detail) == ("error.broken.job", "its work died of ValueError")
    assert not any("canary" in each.getMessage() for each in caplog.records)


async def test_work_for_which_something_was_not_there_is_tried_again_later(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(2)
    await nodes.counted(runner, work, 2)
    work.fault = KeyUnreachable("the key is away")
    work.step(1)

    async def stopped():
        return not runner.running

    await nodes.until(runner, stopped)
    work.fault = None
    for _ in range(3):
        await runner.step(nodes.follower)
    assert work.began == [0]
    nodes.clock.step(10)
    work.step(8)
    assert (await nodes.ended(runner, job.id))[1].result == {"total": 10}
    assert work.began == [0, 2]


async def test_a_job_that_takes_too_long_fails_and_says_so(nodes):
    quick = JobKind(name="count", act="local", seconds=0.01, position_bytes=100, result_bytes=200)
    runner, _ = nodes.node(kind=quick)
    job = await runner.start(quick, OPERATOR)
    _, end = await nodes.ended(runner, job.id)
    assert end.error == "error.refused.limit"


async def test_the_time_of_a_job_goes_on_while_no_node_runs_it(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(2)
    await nodes.counted(runner, work, 2)
    nodes.leader = "nod_2"
    with nodes.database.write() as connection:
        connection.execute(text("UPDATE jobs SET begun_at = begun_at - 3600000000"))
    other, _ = nodes.node("nod_2")
    assert (await nodes.ended(other, job.id))[1].error == "error.refused.limit"


async def test_a_result_beyond_its_bound_is_not_kept(nodes):
    small = JobKind(name="count", act="local", seconds=60, position_bytes=100, result_bytes=10)
    runner, work = nodes.node(kind=small)
    job = await runner.start(small, OPERATOR)
    work.step(10)
    _, end = await nodes.ended(runner, job.id)
    assert (end.result, end.error) == (None, "error.refused.limit")


async def test_a_position_beyond_its_bound_is_told_of_and_not_kept(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(2)
    await nodes.counted(runner, work, 2)
    work.words = b" " * 200
    work.step(2)
    await nodes.counted(runner, work, 4)
    nodes.leader = "nod_2"
    other, rest = nodes.node("nod_2")
    rest.step(8)
    await nodes.ended(other, job.id)
    assert rest.began == [2]


async def test_a_job_that_ends_its_node_each_time_does_not_do_so_for_ever(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    with nodes.database.write() as connection:
        connection.execute(text(f"UPDATE jobs SET state='running', attempts={MOST_ATTEMPTS}"))
    _, end = await nodes.ended(runner, job.id)
    assert (end.error, work.began) == ("error.broken.job", [])


@pytest.mark.guarantee("audit:tamper-evident")
@pytest.mark.parametrize(
    "change", ["content = 'x'", "started_by = 'local:0'", "workspace = 'wsp_2'", "id = 'job_2'"]
)
async def test_a_job_that_somebody_wrote_into_the_database_is_not_run(nodes, change):
    runner, work = nodes.node()
    await runner.start(COUNT, OPERATOR)
    with nodes.database.write() as connection:
        connection.execute(text(f"UPDATE jobs SET {change}"))
    (job,) = await runner.listed(None)
    _, end = await nodes.ended(runner, job.id)
    assert (end.error, work.began) == ("error.broken.job", [])


@pytest.mark.guarantee("audit:tamper-evident")
async def test_a_result_that_somebody_wrote_into_the_database_is_not_shown(nodes):
    runner, work = nodes.node()
    first = await runner.start(COUNT, OPERATOR)
    work.step(20)
    await nodes.ended(runner, first.id)
    second = await runner.start(COUNT, OPERATOR)
    await nodes.ended(runner, second.id)
    with nodes.database.write() as connection:
        other = f"SELECT content FROM jobs WHERE id = '{first.id}'"
        connection.execute(text(f"UPDATE jobs SET content = ({other}) WHERE id = '{second.id}'"))
    assert (await runner.get(first.id))[1].result == {"total": 10}
    with pytest.raises(JobBroken):
        await runner.get(second.id)


async def test_a_result_that_could_not_be_kept_is_kept_when_the_store_is_back(nodes, monkeypatch):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(9)
    await nodes.counted(runner, work, 9)
    put, refused = nodes.table.put, []

    async def away(job, content):
        if job.state == "finished" and len(refused) < 2:
            refused.append(job.state)
            raise StoreDown("the store failed")
        kept = await put(job, content)
        nodes.kept.append(job.state)
        return kept

    monkeypatch.setattr(nodes.table, "put", away)
    work.step(1)
    health = NodeHealth(nodes.clock.boottime)
    task = asyncio.create_task(runner.run(nodes.follower, health))
    await until(lambda: "finished" in nodes.kept, "it is not kept")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await runner.get(job.id))[1].result == {"total": 10}
    assert (len(refused), work.began) == (2, [0])


async def test_a_stop_leaves_the_job_to_the_next_node(nodes):
    runner, work = nodes.node()
    task = asyncio.create_task(runner.run(nodes.follower, NodeHealth(nodes.clock.boottime)))
    job = await runner.start(COUNT, OPERATOR)
    work.step(2)
    await until(lambda: work.counted == 2, "it is not begun")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await runner.get(job.id))[0].state == "running"
    nodes.leader = "nod_2"
    other, rest = nodes.node("nod_2")
    rest.step(10)
    assert (await nodes.ended(other, job.id))[1].result == {"total": 10}
