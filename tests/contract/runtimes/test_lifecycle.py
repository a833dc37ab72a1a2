"""Instances are spoken to and end; whatever they do, nothing of them stays."""

import asyncio
import os
import signal
import time

import pytest
from tests.contract.runtimes.conftest import Heard
from tests.contract.runtimes.kinds import run_and_kill_gate
from tests.upstreams.pools import alive, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOON = 5.0
"""What a stop may take beyond the time that it gives, on a busy machine."""
CLUSTERS_SOON = 25.0
"""The same where objects of a cluster have to go; the processes are gone much earlier."""


@pytest.fixture
def soon(kind):
    return CLUSTERS_SOON if kind.elsewhere else SOON


async def test_an_instance_is_spoken_to_and_says_what_it_is(host, kind):
    guest = await host.start("serve")
    assert await guest.ask("echo", "a", 1) == ["a", 1]
    assert guest.instance.pid == 0 if kind.elsewhere else alive(guest.instance.pid)
    assert host.runtime.instances() == (guest.instance,)
    assert (guest.instance.status, guest.instance.closed, guest.instance.unread) == (None, False, 0)
    assert not guest.output.ended
    await guest.instance.stop(SOON)
    assert host.running == []
    assert host.runtime.instances() == ()
    await guest.instance.stop(SOON)  # idempotent


async def test_the_end_of_its_input_is_asked_for_first(host):
    guest = await host.start("ends")
    await guest.instance.stop(20.0)
    assert guest.output.lines == ["input closed"]
    assert guest.instance.status == 4


async def test_one_that_goes_on_is_told_by_a_signal(host):
    guest = await host.start("told")
    await guest.ask("echo")
    await guest.instance.stop(0.5)
    assert guest.output.lines == [[], "told"]
    assert guest.instance.status == 5


async def test_one_that_does_not_hear_is_killed_within_the_time(host, soon):
    guest = await host.start("stubborn")
    await until(lambda: guest.output.lines, "up")
    begun = time.monotonic()
    await guest.instance.stop(0.2)
    assert 0.4 <= time.monotonic() - begun < 0.4 + soon
    assert guest.instance.status == -signal.SIGKILL
    assert host.running == []


async def test_a_stop_that_is_cancelled_kills_at_once_and_is_cancelled_then(host, soon):
    guest = await host.start("stubborn")
    stopping = asyncio.create_task(guest.instance.stop(60.0))
    await asyncio.sleep(0.1)
    stopping.cancel()
    await asyncio.wait((stopping,), timeout=soon)
    assert stopping.cancelled()
    assert host.running == []
    assert host.runtime.instances() == ()


async def test_what_is_written_while_it_is_being_ended_goes_nowhere(host):
    guest = await host.start("stubborn")
    await until(lambda: guest.output.lines, "up")
    stopping = asyncio.create_task(guest.instance.stop(0.2))
    await asyncio.sleep(0)
    while not stopping.done():
        guest.instance.write(b"anybody?\n")
        assert guest.instance.closed
        await asyncio.wait((stopping,), timeout=0.02)
    await stopping
    guest.instance.write(b"anybody?\n")
    assert guest.instance.status == -signal.SIGKILL


async def test_what_it_left_behind_ends_with_it(host, kind):
    guest = await host.start("serve")
    await guest.ask("leave", host.mark, "stay")
    await guest.ask("leave", host.mark, "stay")
    await until(lambda: len(host.running) >= 3, "both are there")
    guest.instance.write(b'["exit", 6]\n')
    await until(lambda: guest.instance.status == 6, "its own end is told")
    if kind.goes_with_first:  # what it started is in its namespace of processes
        await until(lambda: guest.output.ended and not host.running, "all of it is over")
    else:
        # They hold its output, and go on: only whoever owns it ends them.
        assert not guest.output.ended
        assert len(host.running) >= 2
    await guest.instance.stop(0.0)
    assert host.running == []


async def test_whoever_forks_away_all_the_time_is_caught(host):
    guest = await host.start("chain", "50000")
    await until(lambda: guest.output.lines, "up")
    await guest.instance.stop(0.0)
    assert host.running == []


async def test_the_last_words_of_one_that_dies_are_whole(host):
    guest = await host.start("dies")
    await until(lambda: guest.instance.status is not None and guest.output.ended, "dead")
    assert guest.instance.status == 3
    assert bytes(guest.errors.data) == b"why it died\n" * 3


@pytest.mark.parametrize("stream", ["1", "2"])
async def test_a_flood_waits_while_nobody_takes_it(host, stream, soon):
    guest = await host.start("flood", stream, paused=True)
    await asyncio.sleep(0.3)
    assert len(guest.output.data) + len(guest.errors.data) <= 1 << 20
    begun = time.monotonic()
    await guest.instance.stop(0.0)
    assert time.monotonic() - begun < soon
    assert host.running == []


async def test_a_flood_that_is_taken_does_not_hold_up_its_end(host, soon):
    guest = await host.start("flood", "1")
    await until(lambda: len(guest.output.data) > 1 << 22, "flooded")
    assert b"\n" not in guest.output.data
    begun = time.monotonic()
    await guest.instance.stop(0.1)
    assert time.monotonic() - begun < 0.2 + soon


async def test_what_is_not_read_is_counted_and_holds_up_nothing(host):
    guest = await host.start("deaf")
    await until(lambda: guest.output.lines, "up")
    size = 4 << 20
    guest.instance.write(b"x" * size)
    await asyncio.sleep(0.1)
    assert 0 < size - guest.instance.unread <= 1 << 20  # what the pipe holds is the guest's
    assert not guest.instance.closed
    await guest.instance.stop(0.0)
    assert host.running == []


async def test_an_input_that_was_closed_is_known_to_be(host, kind):
    if kind.engine:
        pytest.skip("no engine tells that a container closed its input")
    guest = await host.start("serve")
    await guest.ask("close")
    guest.instance.write(b"anybody?\n")
    await until(lambda: guest.instance.closed, "closed")
    guest.instance.write(b"anybody?\n")
    assert guest.instance.status is None


@pytest.mark.parametrize("way", [("stubborn",), ("chain", "50000"), ("flood", "1")])
async def test_of_a_gate_that_was_killed_nothing_stays(host, kind, way):
    await host.runtime.close()  # one gate of a data directory at a time
    words = host.script, host.mark, *way
    run_and_kill_gate(host.kind_name, str(host.caches), *words, started=lambda: bool(host.running))
    if kind.engine:
        later = host.again()
        later.keep(frozenset())
        await later.close()
    await until(lambda: host.running == [], "all is gone")


async def test_one_home_however_deep_goes_with_its_instance(host, on_this_machine):
    guest = await host.start("serve")
    home = (await guest.ask("facts"))["env"]["HOME"]
    await guest.ask("deep", 2100)
    await guest.instance.stop(0.0)
    await until(lambda: not os.path.lexists(home), "removed")


async def test_many_instances_of_one_server_end_each_by_itself(host, kind):
    guests = [await host.start("serve") for _ in range(3)]
    assert set(host.runtime.instances()) == {each.instance for each in guests}
    await guests[1].ask("leave", host.mark, "stay")
    await guests[1].instance.stop(0.0)
    assert set(host.runtime.instances()) == {guests[0].instance, guests[2].instance}
    for each in (guests[0], guests[2]):
        assert await each.ask("echo", "still here") == ["still here"]
    assert guests[1].instance.pid not in host.running
    if kind.elsewhere:
        assert len(host.running) == 2
    elif not kind.own_kernel:  # gVisor's own processes are more than one for each guest
        assert len(host.running) == len({each.instance.pid for each in guests}) - 1


async def test_a_guest_that_is_not_there_for_its_owner_ends_all_the_same(host):
    """An owner may end what it never heard of: nothing was read, nothing written."""
    heard = Heard()
    instance = await host.runtime.start(host.spec("told"), heard, asyncio.Protocol())
    await instance.stop(0.0)
    assert heard.ended
    assert host.running == []
