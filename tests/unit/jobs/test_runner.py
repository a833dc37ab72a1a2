"""The node that leads runs each job once, goes on where it was, and stops when it may not."""

import asyncio
import gc

import pytest
from msgspec.structs import replace
from tests.gate import WAIT
from tests.unit.jobs.nodes import COUNT, OPERATOR
from tests.unit.view.rows import HOME, member, view

from gatelodge.core.errors import Conflict, NotFound
from gatelodge.flows.health import NodeHealth

pytestmark = pytest.mark.anyio


async def test_a_job_is_run_and_its_result_is_seen_from_every_node(nodes, caplog):
    caplog.set_level("INFO")
    runner, work = nodes.node()
    other, _ = nodes.node("nod_2")
    job = await other.start(COUNT, OPERATOR)
    work.step(10)
    record, end = await nodes.ended(runner, job.id)
    assert (record.state, record.done, record.total, record.node) == ("finished", 10, 10, "nod_1")
    assert end.result == {"total": 10}
    seen, told = await other.get(job.id)
    assert (replace(seen, now=record.now), told) == (record, end)
    told = [each.getMessage() for each in caplog.records]
    assert told == [f"job {job.id} (count) started", f"job {job.id} (count) finished"]


async def test_a_look_says_whether_anything_is_left_to_look_after(nodes):
    runner, work = nodes.node()
    assert not await runner.step(nodes.follower)
    job = await runner.start(COUNT, OPERATOR)
    assert await runner.step(nodes.follower)
    work.step(10)
    await nodes.ended(runner, job.id)
    assert not await runner.step(nodes.follower)
    nodes.leader = "nod_2"
    assert await runner.step(nodes.follower), "another node leads, and what it leaves is taken up"


async def test_a_node_that_is_alone_runs_what_is_asked_for_whenever_that_is(nodes):
    runner, work = nodes.node()
    running = asyncio.create_task(
        runner.run(nodes.follower, NodeHealth(nodes.clock.boottime), alone=True)
    )
    for _ in range(2):
        job = await runner.start(COUNT, OPERATOR)
        work.step(10)
        async with asyncio.timeout(WAIT):
            while (await runner.get(job.id))[0].state != "finished":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])


async def test_whoever_starts_one_again_joins_the_one_that_runs(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    await runner.step(nodes.follower)
    assert (await runner.start(COUNT, "local:1")).id == job.id
    work.step(10)
    await nodes.ended(runner, job.id)
    assert (await runner.start(COUNT, "local:1")).id != job.id


async def test_those_of_a_kind_that_run_together_are_taken_up_once_each(nodes):
    kind = replace(COUNT, at_once=2)
    runner, work = nodes.node(kind=kind)
    first = await runner.start(kind, OPERATOR, subject="one")
    second = await runner.start(kind, OPERATOR, subject="two")
    assert (await runner.start(kind, "local:1", subject="two")).id == second.id
    for _ in range(3):
        await runner.step(nodes.follower)
    assert [job.kind for job in runner.running] == ["count one", "count two"]
    work.step(20)
    for each in (first, second):
        record, _ = await nodes.ended(runner, each.id)
        assert (record.state, record.attempts) == ("finished", 1)


async def test_jobs_of_a_kind_run_one_after_the_other_the_oldest_first(nodes):
    runner, work = nodes.node()
    nodes.follower.view = view(member("mem_ann", role="owner"))
    first = await runner.start(COUNT, OPERATOR)
    second = await runner.start(COUNT, "mem_ann", HOME)
    await runner.step(nodes.follower)
    await runner.step(nodes.follower)
    assert [each.id for each in runner.running] == [first.id]
    work.step(20)
    await nodes.ended(runner, first.id)
    assert (await nodes.ended(runner, second.id))[0].state == "finished"
    assert work.began == [0, 0]


async def test_a_job_whose_node_died_goes_on_where_it_was_kept(nodes, caplog):
    caplog.set_level("INFO")
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(4)
    await nodes.counted(runner, work, 4)
    nodes.leader = "nod_2"  # and the first one is never heard of again
    other, rest = nodes.node("nod_2")
    rest.step(6)
    record, end = await nodes.ended(other, job.id)
    assert (rest.began, end.result, record.attempts) == ([4], {"total": 10}, 2)
    assert f"job {job.id} (count) is resumed at 4 of 10" in caplog.text


async def test_a_node_that_lost_the_lead_stops_and_keeps_nothing_more(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(2)
    await nodes.counted(runner, work, 2)
    nodes.leader = "nod_2"
    await runner.step(nodes.follower)
    work.step(8)

    async def stopped():
        return not runner.running

    await nodes.until(runner, stopped)
    assert work.counted == 2
    assert (await runner.get(job.id))[0].done == 2


async def test_a_node_that_does_not_know_that_it_lost_the_lead_keeps_nothing_more(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(2)
    await nodes.counted(runner, work, 2)
    nodes.leader = "nod_2"
    other, rest = nodes.node("nod_2")
    await other.step(nodes.follower)
    work.step(1)

    async def stopped():
        nodes.leader = "nod_1"  # as it believes
        return not runner.running

    await nodes.until(runner, stopped)
    assert (await runner.get(job.id))[0].done == 2
    nodes.leader = "nod_2"
    rest.step(8)
    assert (await nodes.ended(other, job.id))[1].result == {"total": 10}
    assert (work.began, rest.began) == ([0], [2])


async def test_an_attempt_that_found_its_job_lost_is_let_go_without_a_word_of_the_loop(
    nodes, caplog
):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    await runner.step(nodes.follower)
    (attempt,) = runner._attempts.values()
    await runner.cancel(job.id)
    work.step(1)
    await asyncio.wait([attempt.task])
    nodes.leader = "nod_2"
    await runner.step(nodes.follower)
    del attempt
    gc.collect()
    assert (runner.running, [each for each in caplog.records if each.name == "asyncio"]) == ((), [])


async def test_a_cancelled_job_takes_no_further_step_and_has_no_result(nodes):
    runner, work = nodes.node()
    other, _ = nodes.node("nod_2")
    job = await runner.start(COUNT, OPERATOR)
    work.step(2)
    await nodes.counted(runner, work, 2)
    assert (await other.cancel(job.id)).state == "cancelled"
    await runner.step(nodes.follower)
    work.step(8)

    async def stopped():
        return not runner.running

    await nodes.until(runner, stopped)
    assert work.counted == 2
    record, end = await runner.get(job.id)
    assert (record.state, end.result) == ("cancelled", None)
    assert (await other.cancel(job.id)).state == "cancelled"


async def test_what_has_ended_cannot_be_cancelled_and_what_is_not_there_not_found(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, OPERATOR)
    work.step(10)
    await nodes.ended(runner, job.id)
    with pytest.raises(Conflict, match="it is finished"):
        await runner.cancel(job.id)
    with pytest.raises(NotFound):
        await runner.cancel("job_none")


@pytest.mark.parametrize(
    "rows",
    [(), (member("mem_ann", role="member"),), (member("mem_ann", role="owner", status="revoked"),)],
)
async def test_a_job_ends_with_the_access_of_whoever_started_it(nodes, caplog, rows):
    runner, work = nodes.node()
    job = await runner.start(COUNT, "mem_ann", HOME)
    work.step(2)
    await nodes.counted(runner, work, 2)
    nodes.follower.view = view(*rows)
    record, _ = await nodes.ended(runner, job.id)
    work.step(8)
    await runner.step(nodes.follower)
    assert (record.state, work.counted) == ("cancelled", 2)
    assert f"job {job.id} (count) is cancelled: who started it may not do so" in caplog.text


async def test_a_job_waits_while_nobody_knows_whether_its_starter_may(nodes):
    runner, work = nodes.node()
    job = await runner.start(COUNT, "mem_ann", HOME)
    work.step(2)
    await nodes.counted(runner, work, 2)
    nodes.follower.proven = False

    async def stopped():
        return not runner.running

    await nodes.until(runner, stopped)
    work.step(8)
    await runner.step(nodes.follower)
    assert (work.counted, (await runner.get(job.id))[0].state) == (2, "running")
    nodes.follower.proven = True
    nodes.clock.step(10)
    assert (await nodes.ended(runner, job.id))[1].result == {"total": 10}
    assert work.began == [0, 2]
