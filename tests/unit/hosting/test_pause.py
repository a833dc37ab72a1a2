"""An instance that stands still goes on for the first who needs it, and is ended as any other."""

import asyncio

import pytest
from tests.unit.hosting.test_recorded_runtime import Hosting
from tests.upstreams.pools import until

from gatelodge.core.errors import Conflict
from gatelodge.flows.hosting.pause import pause_instance
from gatelodge.ports.runtime import RuntimeGap


@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio

GAP = RuntimeGap("It cannot be.", remedy="Do without.")


class CountedCalls:
    """Upstreams of which a test says how many calls run."""

    def __init__(self, calls=0):
        self.calls = calls
        self.asked = []

    def calls_in(self, server, principal):
        self.asked.append((server, principal))
        return self.calls


async def test_many_who_need_a_paused_instance_have_it_go_on_once_and_on_record():
    host = Hosting()
    instance = await host.start()
    (below,) = host.below.started
    assert await pause_instance(CountedCalls(), instance) is None
    assert instance.pausing.since is not None
    for each in range(50):
        instance.write(b"%d\n" % each)
    await until(lambda: instance.pausing.since is None, "it goes on")
    await until(lambda: "instance.woken" in host.journal.words, "on record")
    assert below.turns == ["pause", "resume"]
    assert len(below.written) == 50
    instance.write(b"more\n")
    await asyncio.sleep(0)
    assert below.turns == ["pause", "resume"]
    _, leaf = host.journal.bodies[-1]
    assert (leaf["instance"], leaf["server"]) == (instance.name, "srv_a")
    assert 0 <= leaf["ms"] < 10_000
    assert host.journal.words == ["instance.started", "instance.woken"]


async def test_who_needs_it_while_it_is_being_paused_has_it_go_on():
    host = Hosting()
    instance = await host.start()
    pausing = asyncio.create_task(instance.pause())
    await until(lambda: host.below.started[0].turns, "it is being paused")
    instance.write(b"call\n")
    await pausing
    await until(lambda: instance.pausing.since is None, "it goes on")
    assert host.below.started[0].turns == ["pause", "resume"]


async def test_an_instance_in_which_calls_run_is_not_paused():
    host = Hosting()
    instance = await host.start(owner="mem_ann", person="mem_ann")
    upstreams = CountedCalls(2)
    with pytest.raises(Conflict, match="2 calls run") as refused:
        await pause_instance(upstreams, instance)
    assert f"gatelodge instance stop {instance.name}" in refused.value.remedy
    assert upstreams.asked == [("srv_a", "mem_ann")]
    assert host.below.started[0].turns == []


async def test_what_its_runtime_cannot_do_is_told_and_it_runs_on():
    host = Hosting()
    instance = await host.start()
    host.below.started[0].gap = GAP
    assert await pause_instance(CountedCalls(), instance) == GAP
    assert instance.pausing.since is None
    instance.write(b"call\n")
    await asyncio.sleep(0)
    assert host.below.started[0].turns == ["pause"]


async def test_one_that_does_not_go_on_is_ended_so_that_the_next_one_serves():
    host = Hosting()
    instance = await host.start()
    await instance.pause()
    host.below.started[0].gap = GAP
    instance.write(b"call\n")
    await until(lambda: host.runtime.instances() == (), "it is ended")
    assert host.below.started[0].stops == [0.0]
    assert host.journal.words == ["instance.started", "instance.stopped"]


@pytest.mark.guarantee("revoke:under-a-second")
async def test_a_paused_instance_of_somebody_who_is_revoked_is_killed():
    host = Hosting()
    instance = await host.start(owner="mem_ann", person="mem_ann")
    await instance.pause()
    await host.runtime.end_owned("mem_ann")
    assert host.below.started[0].stops == [0.0]
    assert host.journal.bodies[-1][1]["reason"] == "revoked"


async def test_a_pause_that_is_given_up_in_between_is_woken_like_a_whole_one():
    host = Hosting()
    instance = await host.start()
    pausing = asyncio.create_task(instance.pause())
    await asyncio.sleep(0)
    pausing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pausing
    instance.write(b"call\n")
    await until(lambda: instance.pausing.since is None, "it goes on")
    assert host.below.started[0].turns == ["pause", "resume"]
