"""Servers over stdio, as the pool keeps them: real children, real pipes."""

import asyncio
import os

import pytest
from msgspec import Raw
from tests.upstreams import pools
from tests.upstreams.pools import alive, ask, call, each_loop, make_pool, ready, stdio, text, until

from gatelodge.config.schema import HostingSettings, UpstreamSettings
from gatelodge.core.errors import (
    KeyUnreachable,
    UpstreamBrokeProtocol,
    UpstreamUnreachable,
)
from gatelodge.ports.upstream import UpstreamRequest

pytestmark = [pytest.mark.anyio, pytest.mark.slow, each_loop]

DEBIAN = "/usr/bin/python3"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a child its own uid")


@pytest.fixture
async def pool():
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


@pytest.mark.parametrize(
    ("era", "spoken", "version"),
    [
        ("modern", "modern", "2026-07-28"),
        ("legacy", "legacy", "2025-11-25"),
        ("strict", "legacy", "2025-11-25"),
        ("old", "legacy", "2024-11-05"),
    ],
)
async def test_the_era_of_a_server_is_found_out_and_kept(pool, era, spoken, version):
    at = stdio(era)
    await ready(pool, at)
    health = pool.health(at.id)
    assert (health.era, health.version, health.restarts) == (spoken, version, 0)
    assert alive(health.pid)
    assert text(await ask(pool, at, call("echo", {"a": 1}))) == {"a": 1}


async def test_a_server_that_is_silent_to_the_probe_is_legacy():
    pool = make_pool(
        upstream=UpstreamSettings(start_seconds=1.5, backoff_seconds=0.2),
        hosting=HostingSettings(stop_seconds=1.0),
    )
    at = stdio("silent")
    await ready(pool, at)
    assert pool.health(at.id).era == "legacy"
    await pool.close()


async def test_a_wished_era_is_not_probed(pool):
    at = stdio("strict", era="legacy")
    await ready(pool, at)
    assert pool.health(at.id).era == "legacy"


@pytest.mark.parametrize(
    ("era", "wish", "code"),
    [
        ("strange", "modern", UpstreamBrokeProtocol),
        ("legacy", "modern", UpstreamBrokeProtocol),
        ("modern", "legacy", UpstreamBrokeProtocol),
        ("dead", "auto", UpstreamUnreachable),
    ],
)
async def test_a_server_that_shares_no_era_with_the_wish_is_refused(pool, era, wish, code):
    with pytest.raises(code):
        await pool.observe(stdio(era, era=wish))


async def test_tools_are_read_from_all_pages_as_they_were_sent(pool):
    observed = await pool.observe(stdio("modern", status="proposed"))
    assert pools.names(observed)[:6] == ["echo", "hang", "die", "close", "garbage", "big"]
    assert all(b"12345678901234567890123" in bytes(tool) for tool in observed.tools)
    assert observed.instructions == "Be kind."
    assert pool.counts()["children"] == 0


@pytest.mark.guarantee("isolation:no-second-path")
async def test_only_approved_servers_are_started(pool):
    proposed, disabled = stdio(name="a", status="proposed"), stdio(name="b", status="disabled")
    await pool.reconcile((proposed, disabled))
    assert pool.counts()["tasks"] == 0
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, proposed, call("echo"))
    assert pool.health(proposed.id).state == "off"


async def test_calls_wait_while_the_server_starts(pool):
    at = stdio("legacy")
    await pool.reconcile((at,))
    answers = await asyncio.gather(*(ask(pool, at, call("echo", n)) for n in range(20)))
    assert [text(answer) for answer in answers] == list(range(20))


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_progress_bears_the_callers_own_token(pool, era):
    at = stdio(era)
    await ready(pool, at)
    heard = []
    asked = call("progress", meta={"progressToken": Raw(b'"mine"'), "x/y": Raw(b"1e400")})
    reply = await ask(pool, at, asked, lambda method, params: heard.append((method, params)))
    assert [method for method, _ in heard] == ["notifications/progress"] * 2
    assert all(b'"progressToken":"mine"' in params for _, params in heard)
    meta = text(reply)
    assert isinstance(meta["progressToken"], int)
    assert "x/y" in meta
    assert ("io.modelcontextprotocol/clientInfo" in meta) is (era == "modern")


async def test_without_a_listener_no_progress_is_asked_for(pool):
    at = stdio("legacy")
    await ready(pool, at)
    reply = await ask(pool, at, call("progress", meta={"progressToken": Raw(b"7")}))
    assert text(reply) == {}


async def test_a_server_that_asks_is_answered_ping_and_nothing_else(pool):
    at = stdio("legacy")
    await ready(pool, at)
    await ask(pool, at, call("ask"))
    told = text(await ask(pool, at, call("told")))  # our answers were written before this call
    answers = {message["id"]: message for message in told if "id" in message}
    assert answers["q1"]["result"] == {}
    assert answers["q2"]["error"]["code"] == -32021


async def test_the_servers_own_error_is_handed_on_raw(pool):
    at = stdio("modern")
    await ready(pool, at)
    reply = await ask(pool, at, call("error"))
    assert bytes(reply.error) == b'{"code":-32602,"message":"no","data":[1]}'


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_change_of_tools_is_told(pool, era):
    changed = []
    pool.on_list_changed(changed.append)
    at = stdio(era)
    await ready(pool, at)
    assert changed == [at.id]  # it was met
    await ask(pool, at, call("change"))
    await until(lambda: changed == [at.id] * 2, "told")


async def test_a_modern_server_is_subscribed_to(pool):
    at = stdio("modern")
    await ready(pool, at)
    health = await ask(pool, at, UpstreamRequest(method="tools/list", params={}))
    assert health.result is not None
    assert pool.counts()["calls"] == 0


async def test_a_missing_secret_names_the_reference_and_starts_nothing(pool):
    at = stdio("modern", env={"TOKEN": "env:ABSENT"})
    with pytest.raises(KeyUnreachable) as missing:
        await pool.observe(at)
    assert "env:ABSENT" in missing.value.detail
    assert pool.counts()["children"] == 0


@root_only
async def test_a_server_has_a_uid_of_its_own_and_leaves_nobody_behind():
    pool = make_pool(root=True, hosting=pools.ROOT)
    with pools.reachable(pools.STDIO) as script:
        one = stdio(name="a", command=(DEBIAN, script, "modern"), run_as="own")
        two = stdio(name="b", command=(DEBIAN, script, "modern"), run_as="own")
        await pool.reconcile((one, two))
        who = [text(await ask(pool, at, call("whoami"))) for at in (one, two)]
    uids = {each["uid"] for each in who}
    assert len(uids) == 2
    assert all(uid >= pools.ROOT.first_uid for uid in uids)
    assert pool.health(one.id).isolation == f"not isolated, uid {who[0]['uid']}"
    left = text(await ask(pool, one, call("fork")))
    assert alive(left)
    await pool.reconcile((two,))
    await until(lambda: not alive(left), "the descendant is gone")
    assert text(await ask(pool, two, call("echo", 1))) == 1
    await pool.close()


async def test_a_changed_definition_restarts_and_an_equal_one_does_not(pool):
    at = stdio("modern")
    await ready(pool, at)
    first = pool.health(at.id).pid
    await pool.reconcile((stdio("modern", tags=("x",)),))
    assert pool.health(at.id).pid == first
    running = pool.begin(at.id, call("hang"), None)
    await ready(pool, stdio("modern", env={"A": "1"}))
    with pytest.raises(UpstreamBrokeProtocol):
        await running.reply
    assert pool.health(at.id).pid != first
    await until(lambda: not alive(first), "the old child is gone")


async def test_what_left_the_list_is_out_of_reach_at_once(pool):
    at = stdio("modern")
    await ready(pool, at)
    await pool.reconcile(())
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, at, call("echo"))
    await until(lambda: pool.counts()["children"] == 0, "stopped")
