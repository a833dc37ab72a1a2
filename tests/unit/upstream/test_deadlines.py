"""How long a request may take: until its deadline, which progress moves, but not for ever."""

import asyncio

import pytest
from msgspec import Raw

from gatelodge.adapters.upstream.pending import PendingRequest, PendingRequests
from gatelodge.core.errors import UpstreamTimeout
from gatelodge.core.protocol.upstream import PROGRESS
from gatelodge.ports.upstream import UpstreamRequest

pytestmark = pytest.mark.anyio


class Nobody:
    """Carries nothing."""

    def cancel(self, *_):
        pass

    respond = cancel


class Watch:
    """A loop whose clock the test moves."""

    def __init__(self, loop):
        self.now = 100.0
        self.create_future = loop.create_future

    def time(self):
        return self.now


def begun(longest=0.0, token=b"7"):
    table = PendingRequests(Nobody(), PendingRequest)
    table.loop = Watch(asyncio.get_running_loop())
    asked = UpstreamRequest(
        method="tools/call",
        params={},
        meta={"progressToken": Raw(token)},
        seconds=10.0,
        longest=longest,
    )
    return table, table.add(asked, lambda *_: None)


def report(flight, number=None):
    token = flight.number if number is None else number
    flight.hear(PROGRESS, b'{"progressToken":%d,"progress":1}' % token)


async def test_progress_gives_a_call_as_long_again_up_to_the_longest():
    table, flight = begun(longest=25.0)
    for passed in (9.0, 9.0):
        table.loop.now += passed
        report(flight)
        table.sweep(table.loop.now)
    assert not flight.reply.done()
    table.loop.now = 124.9
    report(flight)
    table.sweep(table.loop.now)
    assert not flight.reply.done()
    table.loop.now = 125.0
    table.sweep(table.loop.now)
    with pytest.raises(UpstreamTimeout, match="25 s"):
        await flight.reply


@pytest.mark.parametrize("longest", [0.0, 5.0, 600.0])
async def test_without_progress_a_call_ends_when_its_time_is_over(longest):
    table, flight = begun(longest=longest)
    report(flight, number=flight.number + 1)  # of another call
    table.loop.now += 10.0
    table.sweep(table.loop.now)
    with pytest.raises(UpstreamTimeout, match="10 s"):
        await flight.reply
