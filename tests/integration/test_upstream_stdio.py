"""Servers over stdio, as the pool keeps them: real children, real pipes, real deaths."""

import asyncio
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
from msgspec import Raw
from tests.upstreams import pools
from tests.upstreams.pools import alive, ask, call, make_pool, ready, stdio, text, until

from gatelodge.config.schema import Hosting, Limits
from gatelodge.core.errors import (
    KeyUnreachable,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.ports.upstream import Request

pytestmark = pytest.mark.anyio

DEBIAN = "/usr/bin/python3"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a child its own uid")


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


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
    pool = make_pool(hosting=Hosting(start_seconds=1.5, backoff_seconds=0.2, stop_seconds=1.0))
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


async def test_the_end_of_a_server_is_told_without_its_words(pool):
    at = stdio("dead")
    await pool.reconcile((at,))
    await until(lambda: pool.health(at.id).state == "failed", "failed")
    detail = pool.health(at.id).detail
    assert "exited with status 3" in detail
    assert "bytes of errors" in detail
    assert "database" not in detail


async def test_tools_are_read_from_all_pages_as_they_were_sent(pool):
    observed = await pool.observe(stdio("modern", status="proposed"))
    assert pools.names(observed)[:6] == ["echo", "hang", "die", "close", "garbage", "big"]
    assert all(b"12345678901234567890123" in bytes(tool) for tool in observed.tools)
    assert observed.instructions == "Be kind."
    assert pool.counts()["children"] == 0


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
async def test_a_child_killed_in_a_call_fails_that_call_and_is_started_again(pool, era):
    at, other = stdio(era, name="dies"), stdio(era, name="lives")
    await pool.reconcile((at, other))
    await ask(pool, at, call("echo"))
    changed = []
    pool.on_list_changed(changed.append)
    running = pool.begin(at.id, call("hang"), None)
    elsewhere = pool.begin(other.id, call("slow", {"seconds": 0.5}), None)
    first = pool.health(at.id).pid
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, at, call("die"))
    with pytest.raises(UpstreamBrokeProtocol):
        await running.reply
    assert text(await elsewhere.reply) == "slow"
    await until(lambda: pool.health(at.id).state == "ready", "started again")
    assert pool.health(at.id).restarts == 1
    assert pool.health(at.id).pid != first
    assert changed == [at.id]
    assert text(await ask(pool, at, call("echo", 1))) == 1


async def test_a_server_away_is_told_with_the_time_to_wait(pool):
    at = stdio("modern")
    await ready(pool, at)
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, at, call("die"))
    with pytest.raises(UpstreamUnreachable) as away:
        await ask(pool, at, call("echo"))
    assert away.value.retry_after
    assert "exited with status 7" in pool.health(at.id).detail


async def test_a_server_that_closes_its_output_is_replaced(pool):
    at = stdio("modern")
    await ready(pool, at)
    first = pool.health(at.id).pid
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, at, call("close"))
    await until(lambda: not alive(first), "the old child is gone")
    await until(lambda: pool.health(at.id).state == "ready", "started again")


async def test_garbage_on_the_output_is_passed_over_and_counted(pool):
    at = stdio("modern")
    await ready(pool, at)
    assert text(await ask(pool, at, call("garbage"))) == "after garbage"
    assert "4 lines of its output were not MCP" in pool.health(at.id).detail
    assert pool.health(at.id).restarts == 0


async def test_a_hanging_call_ends_at_its_deadline_and_the_server_is_told(pool):
    at = stdio("modern")
    await ready(pool, at)
    with pytest.raises(UpstreamTimeout):
        await ask(pool, at, call("hang", seconds=0.2))
    assert pool.counts()["calls"] == 0
    told = text(await ask(pool, at, call("told")))
    assert told[-1]["method"] == "notifications/cancelled"
    assert told[-1]["params"]["reason"] == "timeout"


async def test_an_aborted_call_is_cancelled_here_and_there(pool):
    at = stdio("legacy")
    await ready(pool, at)
    exchange = pool.begin(at.id, call("hang"), None)
    exchange.abort("client_gone")
    exchange.abort("client_gone")
    with pytest.raises(asyncio.CancelledError):
        await exchange.reply
    told = text(await ask(pool, at, call("told")))
    assert [m["params"]["reason"] for m in told if "cancelled" in m["method"]] == ["client_gone"]
    assert pool.counts()["calls"] == 0


async def test_a_caller_that_vanished_is_noticed(pool):
    at = stdio("legacy")
    await ready(pool, at)
    task = asyncio.ensure_future(ask(pool, at, call("hang")))
    await until(lambda: pool.counts()["calls"] == 1, "the call runs")
    task.cancel()
    await until(lambda: pool.counts()["calls"] == 0, "the call is given up")


async def test_a_result_over_its_limit_is_refused_and_the_server_stays(pool):
    at = stdio("modern")
    await ready(pool, at)
    running = pool.begin(at.id, call("hang"), None)
    with pytest.raises(LimitReached):
        await ask(pool, at, call("big", {"bytes": 200_000}, max_bytes=100_000))
    assert text(await ask(pool, at, call("echo", 1))) == 1
    running.abort("cancelled")


async def test_an_endless_line_is_refused_and_the_server_replaced():
    pool = make_pool(limits=Limits(result_bytes=100_000))
    at = stdio("modern")
    await ready(pool, at)
    with pytest.raises(LimitReached):
        await ask(pool, at, call("endless", max_bytes=100_000))
    await until(lambda: pool.health(at.id).restarts == 1, "replaced")
    await pool.close()


async def test_a_hundred_megabytes_come_through_when_they_may(pool):
    at = stdio("modern")
    await ready(pool, at)
    size = 100_000_000
    reply = await ask(pool, at, call("big", {"bytes": size}, max_bytes=1 << 30))
    assert len(bytes(reply.result)) > size


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
    told = []

    async def answered():
        told[:] = text(await ask(pool, at, call("told")))
        return sum(message.get("id") in ("q1", "q2") for message in told) == 2

    while not await answered():
        await asyncio.sleep(0.01)
    answers = {message["id"]: message for message in told if "id" in message}
    assert answers["q1"]["result"] == {}
    assert answers["q2"]["error"]["code"] == -32601


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
    await ask(pool, at, call("change"))
    await until(lambda: changed == [at.id], "told")


async def test_a_modern_server_is_subscribed_to(pool):
    at = stdio("modern")
    await ready(pool, at)
    health = await ask(pool, at, Request(method="tools/list", params={}))
    assert health.result is not None
    assert pool.counts()["calls"] == 0


async def test_a_child_sees_nothing_of_our_environment(monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", "of the gate")
    pool = make_pool(pools.Secrets(TOKEN="s3cret"))
    at = stdio("modern", env={"TOKEN": "env:TOKEN", "PLAIN": "1"})
    await ready(pool, at)
    seen = text(await ask(pool, at, call("environment")))
    home = seen.pop("HOME")
    assert seen.pop("TMPDIR") == home
    seen.pop("LC_CTYPE", None)  # Python's own, at its start
    assert seen == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TOKEN": "s3cret",
        "PLAIN": "1",
    }
    who = text(await ask(pool, at, call("whoami")))
    assert who["sid"] == who["pid"]
    assert who["cwd"] == home
    assert who["fds"] <= 4
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    await pool.close()
    assert not Path(home).exists()


async def test_a_missing_secret_names_the_reference_and_starts_nothing(pool):
    at = stdio("modern", env={"TOKEN": "env:ABSENT"})
    with pytest.raises(KeyUnreachable) as missing:
        await pool.observe(at)
    assert "env:ABSENT" in missing.value.detail
    assert pool.counts()["children"] == 0


@root_only
async def test_a_server_has_a_uid_of_its_own_and_leaves_nobody_behind(tmp_path):
    script = tmp_path / "server.py"
    shutil.copy(pools.STDIO, script)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    pool = make_pool(root=True)
    one = stdio(name="a", command=(DEBIAN, str(script), "modern"), run_as="own")
    two = stdio(name="b", command=(DEBIAN, str(script), "modern"), run_as="own")
    await pool.reconcile((one, two))
    who = [text(await ask(pool, at, call("whoami"))) for at in (one, two)]
    uids = {each["uid"] for each in who}
    assert len(uids) == 2
    assert all(uid >= 210_000 for uid in uids)
    assert all(each["gid"] == each["uid"] and each["groups"] == [] for each in who)
    assert pool.health(one.id).isolation == f"own uid {who[0]['uid']}"
    left = text(await ask(pool, one, call("fork")))
    assert alive(left)
    await pool.reconcile((two,))
    await until(lambda: not alive(left), "the descendant is gone")
    assert text(await ask(pool, two, call("echo", 1))) == 1
    await pool.close()


@root_only
async def test_a_program_that_the_uid_cannot_reach_is_told_with_the_remedy(tmp_path):
    pool = make_pool(root=True)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    program = locked / "server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(UpstreamUnreachable) as barred:
        await pool.observe(stdio(command=(str(program),), run_as="own"))
    assert 'run_as = "gateway"' in barred.value.remedy
    await pool.close()


@pytest.mark.parametrize("command", [(), ("",), ("no-such-program",), ("/etc/passwd",)])
async def test_a_command_that_cannot_run_is_told(pool, command):
    with pytest.raises(UpstreamUnreachable):
        await pool.observe(stdio(command=command))


async def test_descendants_end_with_their_server(pool):
    at = stdio("modern")
    await ready(pool, at)
    left = text(await ask(pool, at, call("fork")))
    assert alive(left)
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, at, call("die"))
    await until(lambda: not alive(left), "the descendant is gone")


async def test_a_server_that_ignores_its_end_is_killed():
    script = "import signal,time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(600)"
    pool = make_pool(hosting=Hosting(start_seconds=15, backoff_seconds=0.2, stop_seconds=0.1))
    at = stdio(command=(sys.executable, "-c", script), era="legacy")
    await pool.reconcile((at,))
    pid = await until(lambda: pool.health(at.id).pid, "started")
    await pool.close()
    assert not alive(pid)


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
