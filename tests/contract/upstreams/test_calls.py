"""The contract of `Upstreams`: the same promises over HTTP and stdio, to real servers of both eras.

The servers are mcp-server-time, mcp-server-git, server-everything (npm) and one on the Python SDK.
"""

import asyncio
import json
import os

import pytest
from msgspec import Raw
from tests.contract.upstreams.real import (
    WAYS,
    everything,
    everything_stdio,
    sdk_server,
    time_server,
)
from tests.upstreams import pools
from tests.upstreams.pools import ask, call, ready, text, until

from gatelodge.core.errors import UpstreamTimeout, UpstreamUnreachable
from gatelodge.ports.upstream import UpstreamRequest

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_tools_are_observed_as_they_are(pool, real):
    await ready(pool, real.at)
    observed = await pool.observe(real.at)
    assert len(observed.tools) == real.tools
    assert observed.refused == ()
    assert all(json.loads(bytes(tool))["inputSchema"] for tool in observed.tools)
    assert pool.health(real.at.id).era == real.era


async def test_calls_are_answered_each_with_its_own_result(pool, real):
    await ready(pool, real.at)
    replies = await asyncio.gather(*(ask(pool, real.at, real.request) for _ in range(10)))
    assert all(real.holds in bytes(reply.result) for reply in replies)
    assert pool.counts()["calls"] == 0
    load = pool.load()[real.at.id]
    assert (load.pending, load.sessions) == (0, 0)
    assert load.connections + load.children >= 1


async def test_an_unknown_method_is_the_servers_own_error(pool, real):
    await ready(pool, real.at)
    reply = await ask(pool, real.at, UpstreamRequest(method="no/such", params={}, seconds=10))
    assert json.loads(bytes(reply.error))["code"] == -32601


async def test_an_unknown_tool_is_told_by_the_server(pool, real):
    await ready(pool, real.at)
    reply = await ask(pool, real.at, call("no_such_tool"))
    told = reply.error or reply.result
    assert b"no_such_tool" in bytes(told) or b"nknown" in bytes(told)


async def test_nothing_is_left_after_the_server_is_taken_away(pool, real):
    await ready(pool, real.at)
    pid = pool.health(real.at.id).pid
    await pool.reconcile(())
    assert pool.health(real.at.id).state == "off"
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, real.at, real.request)
    await until(lambda: pool.counts()["tasks"] == 0, "ended")
    assert pid is None or not pools.alive(pid)


@pytest.mark.parametrize("way", WAYS)
async def test_progress_of_a_long_operation_comes_with_the_callers_token(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    heard = []
    asked = call(
        "trigger-long-running-operation", {"duration": 0.3, "steps": 3},
        meta={"progressToken": Raw(b'"t-1"')},
    )  # fmt: skip
    await ask(pool, real.at, asked, lambda method, params: heard.append((method, params)))
    steps = [json.loads(params) for method, params in heard if method == "notifications/progress"]
    assert [step["progress"] for step in steps] == [1, 2, 3]
    assert {step["progressToken"] for step in steps} == {"t-1"}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_progress_of_the_sdk_comes_in_both_eras(pool, served, era):
    real = await sdk_server(era, served)
    await ready(pool, real.at)
    heard = []
    asked = call("steps", meta={"progressToken": Raw(b"41")})
    reply = await ask(pool, real.at, asked, lambda _, params: heard.append(json.loads(params)))
    assert b"done" in bytes(reply.result)
    assert [step["progress"] for step in heard] == [1, 2]
    assert {step["progressToken"] for step in heard} == {41}


@pytest.mark.parametrize("way", WAYS)
async def test_a_long_operation_ends_at_our_deadline(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    asked = call("trigger-long-running-operation", {"duration": 60, "steps": 2}, seconds=0.3)
    with pytest.raises(UpstreamTimeout):
        await ask(pool, real.at, asked)
    assert pool.counts()["calls"] == 0
    assert b"hi" in bytes((await ask(pool, real.at, real.request)).result)


@pytest.mark.guarantee("secrets:stay-here")
async def test_a_real_server_sees_nothing_of_our_environment(pool, monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", "of the gate")
    at = everything_stdio().at
    await ready(pool, at)
    seen = text(await ask(pool, at, call("get-env")))
    assert seen.keys() == {"PATH", "HOME", "TMPDIR", "LANG"}


async def test_a_killed_real_server_is_started_again(pool):
    real = time_server("auto")
    await ready(pool, real.at)
    first = pool.health(real.at.id).pid
    os.kill(first, 9)
    await until(lambda: pool.health(real.at.id).restarts == 1, "its death is noticed")
    await until(lambda: pool.health(real.at.id).state == "ready", "started again")
    assert real.holds in bytes((await ask(pool, real.at, real.request)).result)
