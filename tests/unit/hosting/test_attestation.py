"""A running instance is compared anew with its promises, on record, and ended if need be."""

import asyncio

import pytest
from msgspec import structs
from tests.fakes.runtimes import STANDARD
from tests.unit.hosting.test_recorded_runtime import Hosting

from gatelodge.core.errors import LedgerDown, UpstreamUnreachable
from gatelodge.flows.hosting.attestation import attest_instance


@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_one_that_is_as_promised_goes_on_and_the_moment_is_on_record():
    host = Hosting()
    instance = await host.start()
    host.clock.step(60.0)
    found = await attest_instance(host.runtime, instance, host.clock)
    assert (found.ended, found.deviations) == (False, ())
    assert {each.name: (each.promised, each.found) for each in found.promises} == {
        "tier": ("standard", "standard"),
        "new privileges": ("none", "none"),
        "seccomp": ("a filter", "a filter"),
        "root": ("read-only", "read-only"),
        "capabilities": ("none", "none"),
        "uid outside": ("not 0", "310001"),
        "namespaces": ("ipc, mnt, net, pid, user, uts", "ipc, mnt, net, pid, user, uts"),
        "interfaces": ("none but lo", "lo"),
        "limit of memory": ("268435456", "268435456"),
        "limit of processes": ("64", "64"),
        "limit of processor": ("1", "1.0"),
    }
    log, leaf = host.journal.bodies[-1]
    assert (log, leaf["t"], leaf["instance"]) == (
        "calls:wsp_1",
        "instance.attested",
        instance.name,
    )
    assert "deviations" not in leaf
    assert "processes=64" in leaf["facts"]
    assert host.below.started[0].stops == []


@pytest.mark.guarantee("isolation:attested")
async def test_a_deviation_ends_it_at_once_and_its_record_says_why():
    host = Hosting()
    instance = await host.start()
    host.below.started[0].now = structs.replace(STANDARD, processes=0)
    found = await attest_instance(host.runtime, instance, host.clock)
    assert found.ended
    assert found.deviations == ("the limit of processes is none, and 64 was asked for",)
    assert host.below.started[0].stops == [0.0]
    _, attested, stopped = (leaf for _, leaf in host.journal.bodies)
    assert attested["deviations"] == found.deviations[0]
    assert (stopped["t"], stopped["reason"]) == ("instance.stopped", "isolation")
    assert host.runtime.instances() == ()


async def test_what_cannot_be_read_ends_nothing_and_leaves_no_record():
    host = Hosting()
    instance = await host.start()
    host.below.started[0].now = UpstreamUnreachable("The engine does not answer.")
    with pytest.raises(UpstreamUnreachable, match="engine"):
        await attest_instance(host.runtime, instance, host.clock)
    assert host.journal.words == ["instance.started"]
    assert host.below.started[0].stops == []


async def test_nothing_is_told_that_is_not_on_record_and_a_deviation_ends_all_the_same():
    host = Hosting()
    one, other = await host.start(), await host.start()
    host.below.started[1].now = structs.replace(STANDARD, seccomp=False)
    host.journal.held = True
    asked = [
        asyncio.create_task(attest_instance(host.runtime, each, host.clock))
        for each in (one, other)
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(each.done() for each in asked)
    host.journal.refuse()
    for each in asked:
        with pytest.raises(LedgerDown):
            await each
    assert [each.stops for each in host.below.started] == [[], [0.0]]
