"""What begins, ends, breaks and comes back while something else does: nothing is left or lost."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from msgspec import structs
from tests.upstreams.asking.relay import Relay
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import (
    ROOT,
    STDIO,
    UPSTREAM,
    Secrets,
    ask,
    asker,
    call,
    each_loop,
    http,
    make_pool,
    ready,
    stdio,
    text,
    until,
)

from gatelodge.core.errors import UpstreamTimeout, UpstreamUnreachable

pytestmark = [pytest.mark.anyio, pytest.mark.slow, each_loop]
NOTHING_OPEN = {"calls": 0, "connections": 0, "children": 0, "tasks": 0}
CLOSES_INPUT = """
import json, os, sys, time
for line in iter(sys.stdin.readline, ""):
    asked = json.loads(line)
    if asked.get("method") == "initialize":
        told = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}), flush=True)
    elif asked.get("method") == "tools/call":
        os.close(0)
        time.sleep(600)
    elif "id" in asked:
        fault = {"code": -32601, "message": "no"}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": fault}), flush=True)
"""


@pytest.fixture
async def upstream():
    made = await HttpUpstream(era="legacy").start()
    yield made
    await made.stop()


async def test_nothing_is_begun_while_the_pool_ends(pool, upstream):
    answers = asyncio.Event()
    upstream.methods["DELETE"] = lambda _: answers.wait()
    at = http(upstream.url)
    await ready(pool, at)
    closing = asyncio.create_task(pool.close())
    await until(lambda: upstream.requests[-1].verb == "DELETE", "its session is ended")
    await pool.reconcile((at,))
    with pytest.raises(UpstreamUnreachable):
        await pool.observe(at)
    answers.set()
    await closing
    assert pool.counts() == NOTHING_OPEN


async def test_a_look_that_waits_for_another_begins_nothing_with_a_server_that_left(pool, upstream):
    met = asyncio.Event()

    async def initialize(talk):
        if talk.seen.message["params"]["capabilities"]:
            await met.wait()
        upstream._legacy(talk, "initialize")

    at = http(upstream.url)
    upstream.methods["initialize"] = initialize
    await ready(pool, at)
    looks = [asyncio.create_task(pool.observe(at)) for _ in range(2)]
    await until(lambda: len(upstream.of("tools/list")) == 2 and not pool.counts()["calls"])
    for _ in range(10):
        await asyncio.sleep(0)  # the second comes to where it waits
    await pool.reconcile(())
    met.set()
    await asyncio.gather(*looks, return_exceptions=True)
    await until(lambda: pool.counts() == NOTHING_OPEN, "nothing is left of it")


async def test_an_answer_too_many_makes_no_tool_run_twice(pool, upstream):
    def twice(talk):
        result = {"content": [{"type": "text", "text": "1"}]}
        body = json.dumps({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": result})
        head = f"HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: {len(body)}\n\n"
        talk.writer.write((head.replace("\n", "\r\n") + body).encode() * 2)

    upstream.tools["twice"] = twice
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("twice"))
    both = await asyncio.gather(*(ask(pool, at, call("echo", n, seconds=1.0)) for n in (1, 2)))
    assert [text(each) for each in both] == [1, 2]
    assert len(upstream.of("tools/call")) == 3


async def test_an_older_server_whose_stream_ends_during_the_handshake_is_met_again(pool):
    class Fickle(Relay):
        ended = False

        async def _answer_sse(self, talk):
            if talk.seen.verb == "POST" and b"notifications/initialized" in talk.seen.body:
                down = self.sessions["session-1"].down
                if not self.ended:
                    self.ended, before = True, pool.counts()["connections"]
                    self.sessions["session-1"].down = None
                    down.close()
                    await until(lambda: pool.counts()["connections"] < before, "it is noticed")
            await super()._answer_sse(talk)

    relay = await Fickle(via="sse").start()
    at = http(relay.url)
    await ready(pool, at)
    assert relay.begun == 2
    assert text(await ask(pool, at, call("echo", 1))) == 1
    await pool.close()
    await relay.stop()


async def test_a_server_that_says_much_at_the_end_keeps_no_connection(pool, upstream):
    async def much(talk):
        talk.answer("200 OK", b"x" * 2_000_000)

    upstream.methods["DELETE"] = much
    at = http(upstream.url)
    await ready(pool, at)
    await asyncio.gather(ask(pool, at, call("echo")), ask(pool, at, call("echo")))
    await pool.reconcile(())
    await until(lambda: not upstream.open, "every connection is closed")


async def test_a_stream_is_opened_again_by_a_server_that_still_holds_the_lost_one(
    pool, upstream, monkeypatch
):
    monkeypatch.setattr("gatelodge.adapters.upstream.subscriptions.LISTEN_FIRST", 0.01)
    at = http(upstream.url)
    await ready(pool, at)
    [lost] = await until(lambda: list(upstream.listening), "it is listened to")
    held = iter(["409 Conflict"])

    def conflict(talk):
        if status := next(held, ""):
            talk.answer(status, b"")
        else:
            upstream._listen(talk)

    upstream.methods["GET"] = conflict
    lost.close()
    await until(lambda: len(upstream.listening) == 2, "it is listened to again")


async def test_a_look_that_fails_as_nobody_thought_of_is_an_error_that_says_so():
    class Odd(Secrets):
        def resolve(self, value):
            raise RuntimeError(value)

    pool = make_pool(Odd())
    with pytest.raises(UpstreamUnreachable) as told:
        await pool.observe(stdio(env={"KEY": "x"}))
    assert "The gate itself failed at this server" in told.value.detail
    await pool.close()


@pytest.mark.parametrize("fault", [RuntimeError("odd"), asyncio.CancelledError()])
async def test_a_server_at_which_the_gate_itself_failed_is_met_again(monkeypatch, fault):
    class Once(Secrets):
        failed = False

        def resolve(self, value):
            if not self.failed:
                self.failed = True
                raise fault
            return value

    monkeypatch.setattr("gatelodge.adapters.upstream.connection.REPLACE_SECONDS", 0.0)
    pool, at = make_pool(Once()), stdio(env={"KEY": "x"})
    await ready(pool, at)
    assert b"echo" in bytes((await ask(pool, at, call("echo", {"text": "echo"}))).result)
    await pool.close()
    assert pool.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


async def test_what_fails_at_one_server_keeps_no_other_from_being_looked_after(monkeypatch):
    class Once(Secrets):
        failed = False

        def resolve(self, value):
            if value == "twice" and not self.failed:
                self.failed = True
                raise RuntimeError(value)
            return value

    def fails(_now):
        raise RuntimeError

    monkeypatch.setattr("gatelodge.adapters.upstream.connection.REPLACE_SECONDS", 0.0)
    pool, odd, at = make_pool(Once()), stdio(name="odd"), stdio(env={"KEY": "twice"})
    await ready(pool, odd)
    (link,) = pool._links
    monkeypatch.setattr(link.session.transport, "sweep", fails)
    await pool.reconcile((odd, at))
    await until(lambda: pool.health(at.id).state == "ready", "it was begun anew")
    await until(lambda: link.dead and pool.health(odd.id).state == "ready", "so was the odd one")
    await pool.close()


async def test_a_gate_that_may_not_give_a_folder_away_says_so(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chown", refuse)
    pool = make_pool(root=True, hosting=ROOT)
    with pytest.raises(UpstreamUnreachable) as told:
        await pool.observe(stdio(command=("/bin/cat",), run_as="own"))
    assert "could not be started: Operation not permitted" in told.value.detail
    await pool.close()


async def test_a_modern_server_that_refuses_a_resource_is_heard_of_all_else(
    pool, upstream, monkeypatch
):
    monkeypatch.setattr("gatelodge.adapters.upstream.subscriptions.LISTEN_FIRST", 0.01)
    upstream.era = "modern"
    refused = []

    def listen(talk):
        if "resourceSubscriptions" not in talk.seen.message["params"]["notifications"]:
            upstream._modern(talk, "subscriptions/listen")
            return
        refused.append(talk)
        error = {"code": -32602, "message": "unknown resource"}
        number = talk.seen.message["id"]
        talk.answer("400 Bad Request", {"jsonrpc": "2.0", "id": number, "error": error})

    upstream.methods["subscriptions/listen"] = listen
    heard = []
    pool.on_list_changed(heard.append)
    at = http(upstream.url)
    await ready(pool, at)
    [first] = await until(lambda: list(upstream.listening), "it is listened to")
    pool.subscribe(at.id, frozenset({"bad:"}))
    await until(lambda: refused, "the resource is refused")
    first.close()
    again = await until(lambda: upstream.listening[1:], "it is listened to again")
    heard.clear()
    again[0].event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    await until(lambda: heard, "its change is heard")


async def test_a_server_that_closed_its_input_is_met_again(pool):
    at = stdio(command=(sys.executable, "-c", CLOSES_INPUT))
    await ready(pool, at)
    pid = pool.health(at.id).pid
    with pytest.raises(UpstreamTimeout):
        await ask(pool, at, call("close", seconds=0.3))
    await until(lambda: pool.health(at.id).restarts == 1, "its loss is noticed")
    await until(lambda: pool.health(at.id).state == "ready", "met again")
    assert pool.health(at.id).pid != pid


async def test_a_legacy_server_that_became_a_modern_one_is_met_as_such(pool, tmp_path):
    era = tmp_path / "era"
    era.write_text("legacy")
    words = f"exec {sys.executable} {STDIO} $(cat {era})"
    at = stdio(command=("/bin/sh", "-c", words))
    await ready(pool, at)
    assert pool.health(at.id).era == "legacy"
    era.write_text("modern")
    os.kill(pool.health(at.id).pid, 9)
    await until(lambda: pool.health(at.id).era == "modern", "met as a modern one")


async def test_a_resource_that_a_busy_server_did_not_watch_is_asked_for_again(
    pool, upstream, monkeypatch
):
    monkeypatch.setattr("gatelodge.adapters.upstream.subscriptions.LISTEN_FIRST", 0.01)
    upstream.can = {"resources": {"subscribe": True}}
    busy = iter([True])

    def subscribe(talk):
        if next(busy, False):
            talk.answer("503 Service Unavailable", b"")
        else:
            talk.result({})

    upstream.methods["resources/subscribe"] = subscribe
    at = http(upstream.url)
    await ready(pool, at)
    pool.subscribe(at.id, frozenset({"note:1", "note:2"}))
    asked = await until(lambda: upstream.of("resources/subscribe")[2:], "asked again")
    assert asked[0].message["params"]["uri"] == "note:1"


def probed(port):
    """For each connection to that port, whether the kernel will look if the other side is there."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # Established ones: the port may have been another test's, whose connections still linger.
    here = [row for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"]
    return [row[5].startswith("02:") for row in here]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells a socket's timer")
async def test_a_silent_stream_notices_that_its_server_is_gone(pool, upstream):
    await ready(pool, http(upstream.url))
    await until(lambda: upstream.listening, "it is listened to")
    await until(lambda: (told := probed(upstream.port)) and all(told), "its server is probed")


async def test_a_look_takes_no_session_from_a_member(upstream):
    pool = make_pool(upstream=structs.replace(UPSTREAM, sessions_per_server=1))
    looked = asyncio.Event()

    async def initialize(talk):
        if "sampling" in talk.seen.message["params"]["capabilities"]:
            await looked.wait()
        upstream._legacy(talk, "initialize")

    upstream.methods["initialize"] = initialize
    at = http(upstream.url)
    await ready(pool, at)
    look = asyncio.create_task(pool.observe(at))
    await until(lambda: len(upstream.of("initialize")) == 2, "it looks")
    ann = asker("ann", elicitation={})
    assert text(await ask(pool, at, call("echo", 1, asker=ann))) == 1
    looked.set()
    await look
    await pool.close()
