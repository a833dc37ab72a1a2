"""What a child said and whom its end fails: its own start, and its own requests only."""

from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from tests.upstreams.pools import HOSTING, UPSTREAM, Secrets, until

from gatelodge.adapters.runtime.process.runtime import ProcessRuntime
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.stdio.launch import StdioContext
from gatelodge.adapters.upstream.stdio.pipes import StdioPipesTransport
from gatelodge.adapters.upstream.stdio.unread import UnreadTotal
from gatelodge.adapters.upstream.transport import TransportContext
from gatelodge.core.catalog.server import StdioTransport
from gatelodge.core.errors import KeyUnreachable, UpstreamUnreachable
from gatelodge.ports.upstream import NOBODY, UpstreamRequest

pytestmark = pytest.mark.anyio


class LateRuntime(ProcessRuntime):
    """Hands a child over when it has ended, as a busy machine does."""

    async def start(self, spec, output, errors, report=None):
        child = await super().start(spec, output, errors, report)
        await until(lambda: child.status is not None and output.silent, "the child has ended")
        return child


def begun(secrets, script, kind=ProcessRuntime):
    definition = StdioTransport(
        command=("/bin/sh", "-c", script), env={"A": "env:KEY"}, run_as="gateway"
    )
    context = TransportContext(
        secrets=secrets, version="0", tls=Mock(), upstream=UPSTREAM, result_bytes=1 << 20
    )
    runtime = kind(HOSTING, uids=None, caches=None)
    shared = StdioContext(runtime=runtime, eras={}, unread=UnreadTotal())
    make = partial(
        StdioPipesTransport,
        SimpleNamespace(id="srv_x", workspace="wsp_x"),
        definition,
        context,
        shared,
    )
    return McpSession(make, "legacy", context, Mock(), NOBODY)


async def test_the_last_words_of_an_earlier_start_are_not_told_with_another_fault():
    secrets = Secrets(KEY="b")
    session = begun(secrets, "echo of the first start >&2; exit 3")
    with pytest.raises(UpstreamUnreachable) as first:
        await session.open()
    assert first.value.said == ("stderr: of the first start",)
    await session.let_go()
    secrets.known.clear()
    with pytest.raises(KeyUnreachable) as second:
        await session.open()
    assert second.value.said == ()


async def test_a_held_request_outlives_what_is_heard_while_there_is_no_child():
    session = begun(Secrets(), "exit")
    held = session.flights.add(UpstreamRequest(method="tools/list", params={}, seconds=9.0), None)
    session.transport._report_lost_child("The server sent a line that is too long.")
    assert not held.reply.done()


async def test_a_child_that_ended_before_it_was_asked_anything_is_told_with_how_it_ended():
    session = begun(Secrets(KEY="b"), "exit 3", LateRuntime)
    with pytest.raises(UpstreamUnreachable, match="exited with status 3"):
        await session.open()
    await session.let_go()
