"""Names are looked up a few at a time in the whole process, off the threads that the gate needs."""

import asyncio
import socket
import threading

import pytest
from tests.upstreams.pools import until

from gatelodge.adapters.net.lookups import AT_ONCE, NameLookups, resolve_apart
from gatelodge.core.errors import UpstreamUnreachable

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


class SlowNames:
    """A resolver that answers when it is told to."""

    def __init__(self):
        self.asked, self.threads = [], set()
        self.answers = threading.Event()

    def look(self, host):
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        assert self.answers.wait(20)
        if host == "unknown.test":
            raise socket.gaierror(-2, "no such name")
        return ["192.0.2.1"]


@pytest.fixture
def slow():
    made = SlowNames()
    yield made
    made.answers.set()


async def test_many_slow_names_take_no_more_than_a_few_threads_and_none_of_the_gates(slow):
    lookups = NameLookups(slow.look)
    waiting = [asyncio.create_task(lookups.resolve(f"n{n}.test")) for n in range(3 * AT_ONCE)]
    await until(lambda: len(slow.asked) == AT_ONCE, "as many as may be are looked up")
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"
    assert len(slow.asked) == AT_ONCE
    slow.answers.set()
    assert await asyncio.gather(*waiting) == [["192.0.2.1"]] * (3 * AT_ONCE)
    assert slow.threads == {"gatelodge-lookup"}


async def test_one_name_is_looked_up_once_however_many_instances_ask(slow):
    lookups = NameLookups(slow.look)
    waiting = [asyncio.create_task(lookups.resolve("a.test")) for _ in range(20)]
    await until(lambda: slow.asked, "it is looked up")
    waiting[0].cancel()
    slow.answers.set()
    assert await asyncio.gather(*waiting[1:]) == [["192.0.2.1"]] * 19
    assert slow.asked == ["a.test"]


async def test_who_finds_no_room_in_time_is_refused_and_a_thread_that_hangs_keeps_its_place(slow):
    lookups = NameLookups(slow.look, seconds=0.1)
    waiting = [lookups.resolve(f"n{n}.test") for n in range(AT_ONCE + 1)]
    for fault in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(fault, UpstreamUnreachable)
    with pytest.raises(UpstreamUnreachable):
        await lookups.resolve("late.test")
    assert len(slow.asked) == AT_ONCE


async def test_a_name_that_is_unknown_is_told_as_such(slow):
    slow.answers.set()
    with pytest.raises(UpstreamUnreachable, match="cannot be resolved"):
        await NameLookups(slow.look).resolve("unknown.test")
    assert "127.0.0.1" in await resolve_apart("localhost", 80)
