"""What fails below the gate at one instance ends neither the gate nor what is done for others."""

import pytest
from tests.unit.hosting.test_recorded_runtime import Hosting

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.ports.runtime import InstanceStats

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def raises(fault):
    raise fault


@pytest.mark.parametrize("fault", [UpstreamUnreachable("no engine"), RuntimeError("tok_secret")])
async def test_an_instance_that_cannot_be_asked_keeps_its_numbers_and_nobody_elses(fault, caplog):
    host = Hosting()
    one, other = await host.start(server="srv_a"), await host.start(server="srv_b")
    for each in (one, other):
        each.running.stats = lambda: answers(InstanceStats(memory_bytes=5))
    await host.runtime.usage.sample()
    one.running.stats = lambda: raises(fault)
    other.running.stats = lambda: answers(InstanceStats(memory_bytes=7))
    await host.runtime.usage.sample()
    assert host.runtime.usage.memory == {("wsp_1", "srv_a"): 5, ("wsp_1", "srv_b"): 7}
    assert "tok_secret" not in "".join(each.message for each in caplog.records)
    assert ("incident inc_" in caplog.text) == isinstance(fault, RuntimeError)


async def answers(stats):
    return stats


@pytest.mark.parametrize("fault", [UpstreamUnreachable("no engine"), RuntimeError("tok_secret")])
async def test_one_that_cannot_be_ended_keeps_no_other_from_its_end_nor_the_gate_from_going_on(
    fault, caplog
):
    host = Hosting()
    one, other = await host.start(owner="mem_a", person="mem_a"), await host.start(person="mem_a")
    one.running.stop = lambda _seconds: raises(fault)
    await host.runtime.end_owned("mem_a")
    assert other.running.status == 0
    assert "ending instances" in caplog.text
    again = await host.start()
    again.running.stop = lambda _seconds: raises(fault)
    with pytest.raises(type(fault)):  # whoever asked for it is told
        await host.runtime.end_now([again], "killed")
