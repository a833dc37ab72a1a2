"""What is paused takes no processor time, keeps its memory, goes on, and ends as anything else."""

import asyncio
import time
from pathlib import Path

import pytest
from tests.contract.runtimes.kinds import PAUSES, run_and_kill_gate
from tests.upstreams.pools import until

pytestmark = pytest.mark.anyio

STILL_SECONDS = 0.5
CANNOT = ("process", "process with uids", "kubernetes")


@pytest.fixture
def pausable(kind_name):
    if kind_name in CANNOT:
        pytest.skip("this kind pauses nothing, and says so")


async def used(guest) -> float:
    return (await guest.instance.stats()).cpu_seconds


async def busy_guest(host):
    """One with some memory, and with a process that is never done."""
    guest = await host.start("serve")
    assert await guest.ask("keep", 8) == 8
    await guest.ask("spin")
    return guest


async def test_a_paused_instance_takes_no_time_keeps_its_memory_and_goes_on(host, pausable):
    guest = await busy_guest(host)
    before = await used(guest)
    await until_used(guest, before)
    memory = (await guest.instance.stats()).memory_bytes
    assert await guest.instance.pause() is None
    assert await guest.instance.pause() is None
    before, answers = await used(guest), len(guest.output.lines)
    guest.instance.write(b'["echo", 1]\n')
    await asyncio.sleep(STILL_SECONDS)
    assert await used(guest) - before < 0.05
    assert len(guest.output.lines) == answers
    assert (await guest.instance.stats()).memory_bytes >= memory * 0.9
    assert guest.instance.status is None
    assert await guest.instance.resume() is None
    await until(lambda: len(guest.output.lines) > answers, "it answers")
    assert guest.output.lines[answers] == [1]
    await until_used(guest, await used(guest))
    assert await guest.ask("kept") == 8


async def until_used(guest, before: float) -> None:
    end = time.monotonic() + 20.0
    while await used(guest) < before + 0.03:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("seconds", [0.0, 0.3])
async def test_a_paused_instance_is_killed_or_stopped_at_once_and_leaves_nothing(
    host, kind, pausable, seconds: float
):
    guest = await busy_guest(host)
    assert await guest.instance.pause() is None
    began = time.monotonic()
    await guest.instance.stop(seconds)
    assert time.monotonic() - began < (6.0 if kind.engine else 3.0)
    assert guest.instance.status is not None
    assert host.running == []


async def test_an_instance_that_is_ended_while_it_is_brought_to_stand_leaves_nothing(
    host, kind, pausable
):
    guest = await busy_guest(host)
    pausing = asyncio.create_task(guest.instance.pause())
    await asyncio.sleep(0)
    await guest.instance.stop(0.0)
    await asyncio.wait_for(pausing, 10.0)
    assert guest.instance.status is not None
    assert host.running == []


async def test_a_paused_instance_that_is_stopped_in_order_hears_of_it(host, kind, pausable):
    if kind.engine:
        pytest.skip("what an engine's container says last may be lost with it")
    guest = await host.start("ends")
    await guest.ask("echo", "there")
    assert await guest.instance.pause() is None
    await guest.instance.stop(5.0)
    assert guest.instance.status == 4


async def test_of_a_gate_that_was_killed_no_paused_instance_stays(
    host, kind, pausable, monkeypatch
):
    monkeypatch.setenv(PAUSES, "1")
    await host.runtime.close()  # one gate of a data directory at a time
    words = host.script, host.mark, "serve"
    run_and_kill_gate(host.kind_name, str(host.caches), *words, started=lambda: bool(host.running))
    if kind.engine:
        later = host.again()
        later.keep(frozenset())
        await later.close()
    await until(lambda: host.running == [], "all is gone")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_what_forks_without_end_stands_still_too(host, kind_name, pausable):
    if not kind_name.startswith("landlock"):
        pytest.skip("a control group has its freezer")
    guest = await host.start("chain", "20000")
    await until(lambda: guest.output.lines, "begun")
    assert await guest.instance.pause() is None
    left = set(host.running)
    assert left
    await asyncio.sleep(0.2)
    assert set(host.running) == left
    assert {state_of(pid) for pid in left} <= {"T"}
    await guest.instance.stop(0.0)
    assert host.running == []


async def test_what_cannot_be_paused_says_so_and_runs_on(host, kind_name):
    if kind_name not in CANNOT:
        pytest.skip("this kind pauses what it runs")
    guest = await host.start("serve")
    gap = await guest.instance.pause()
    assert gap is not None
    assert gap.says.endswith(".")
    assert gap.remedy
    assert await guest.ask("echo", "runs on") == ["runs on"]
    assert await guest.instance.resume() is None
