"""What goes wrong with servers over stdio, and what is left of it: nothing."""

import asyncio
import os
import sys

import pytest
from msgspec import Raw
from tests.upstreams.pools import (
    alive,
    ask,
    asker,
    asking,
    call,
    each_loop,
    make_pool,
    ready,
    stdio,
    text,
    until,
)

from gatelodge.config.schema import HostingSettings, LimitSettings, UpstreamSettings
from gatelodge.core.errors import (
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.ports.upstream import OnBehalfOf, UpstreamReply, always

pytestmark = [pytest.mark.anyio, pytest.mark.slow, each_loop]

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a child its own uid")


@pytest.fixture
async def pool():
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


async def test_the_end_of_a_server_is_told_without_its_words(pool):
    at = stdio("dead")
    await pool.reconcile((at,))
    await until(lambda: pool.health(at.id).state == "failed", "failed")
    detail = pool.health(at.id).detail
    assert "exited with status 3" in detail
    assert "bytes of errors" in detail
    assert "database" not in detail


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
    await until(lambda: at.id in changed, "what it offers is looked at again")
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


async def test_what_one_person_leaves_unread_before_a_slow_server_keeps_nobody_else_out(pool):
    slow, other = stdio(name="slow"), stdio(name="other")
    await pool.reconcile((slow, other))
    for each in (slow, other):
        await until(lambda each=each: pool.health(each.id).state == "ready")
    busy = asyncio.ensure_future(ask(pool, slow, call("slow", {"seconds": 1.0})))
    ann, bob = (OnBehalfOf(name, person=name) for name in ("ann", "bob"))
    large = call("echo", {"x": "x" * (3 << 20)}, asker=ann)
    floods = [asyncio.ensure_future(ask(pool, slow, large)) for _ in range(6)]
    said = await ask(pool, slow, call("echo", {"x": "bob"}, asker=bob))
    assert text(said) == {"x": "bob"}
    assert text(await ask(pool, other, call("echo", {"x": "ann"}, asker=ann))) == {"x": "ann"}
    ended = await asyncio.gather(*floods, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, UpstreamUnreachable)]
    assert len(refused) == 3, "what lies there of one person is less than what is left for others"
    assert all("does not read" in str(each) for each in refused)
    await busy
    assert text(await ask(pool, slow, call("echo", {"x": "again"}, asker=ann))) == {"x": "again"}


async def test_an_answer_that_a_server_has_no_room_for_fails_the_call_that_was_asked(
    pool, tmp_path
):
    at, ada = asking(), asker("ada", roots={})
    await ready(pool, at)
    until_read = {"until": str(tmp_path / "reads")}
    exchange = pool.begin(at.id, call("ask_and_go", until_read, asker=ada), None)
    async with asyncio.timeout(20):
        [question] = (await exchange.reply).questions
    large = call("echo", {"x": "x" * (3 << 20)}, asker=ada)
    floods = [pool.begin(at.id, large, None) for _ in range(6)]
    exchange.answer(question.number, UpstreamReply(result=Raw(b'{"roots":[]}')), always)
    with pytest.raises(UpstreamUnreachable, match="does not read"):
        async with asyncio.timeout(20):
            await exchange.reply
    (tmp_path / "reads").touch()
    ended = await asyncio.gather(*(each.reply for each in floods), return_exceptions=True)
    assert any(isinstance(each, UpstreamReply) for each in ended)


async def test_a_question_whose_call_is_answered_before_it_is_put_is_refused(pool):
    at = stdio("legacy")
    await ready(pool, at)
    ada = OnBehalfOf(principal="ada", capabilities=b'{"elicitation":{"form":{}}}')
    reply = await ask(pool, at, call("ask", asker=ada))
    assert text(reply) == "asked"
    told = text(await ask(pool, at, call("told", asker=ada)))  # refused before this call
    (answer,) = [message for message in told if message.get("id") == "q2"]
    assert answer["error"]["code"] == -32601


async def test_an_endless_line_is_refused_and_the_server_replaced():
    pool = make_pool(limits=LimitSettings(result_bytes=100_000))
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
    pool = make_pool(
        upstream=UpstreamSettings(start_seconds=15, backoff_seconds=0.2),
        hosting=HostingSettings(stop_seconds=0.1),
    )
    at = stdio(command=(sys.executable, "-c", script), era="legacy")
    await pool.reconcile((at,))
    pid = await until(lambda: pool.health(at.id).pid, "started")
    await pool.close()
    assert not alive(pid)
