"""Servers over HTTP with SSE (2024-11-05): found, spoken to, lost, and what they must not do."""

import asyncio
import json

import pytest
from msgspec import Raw
from tests.upstreams.asking.relay import Relay
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import (
    Secrets,
    ask,
    asker,
    call,
    each_loop,
    http,
    make_pool,
    names,
    ready,
    text,
    until,
)

from gatelodge.adapters.upstream.http import http_sse
from gatelodge.core.errors import (
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)

pytestmark = [pytest.mark.anyio, each_loop]


@pytest.fixture
async def relay():
    made = await Relay(via="sse").start()
    yield made
    await made.stop()


@pytest.fixture
async def pool(relay):
    made = make_pool(Secrets(TOKEN="s3cret"))
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


async def test_it_is_found_after_both_handshakes_were_not_taken(pool, relay):
    at = http(relay.url)
    await ready(pool, at)
    assert pool.health(at.id).era == "legacy"
    assert "HTTP with SSE" in pool.health(at.id).detail
    verbs = [(seen.verb, seen.path.partition("?")[0]) for seen in relay.requests[:4]]
    assert verbs == [("POST", "/sse"), ("POST", "/sse"), ("GET", "/sse"), ("POST", "/messages")]
    assert relay.requests[2].header("Accept") == "text/event-stream"
    answers = await asyncio.gather(*(ask(pool, at, call("echo", n)) for n in range(20)))
    assert [text(answer) for answer in answers] == list(range(20))
    assert "echo" in names(await pool.observe(at))


async def test_a_wished_era_holds_here_too(pool, relay):
    at = http(relay.url, era="legacy")
    await ready(pool, at)
    assert relay.requests[0].message["method"] == "initialize"
    with pytest.raises(UpstreamBrokeProtocol):
        await pool.observe(http(relay.url, name="two", era="modern"))


async def test_secrets_go_to_the_address_that_was_named(pool, relay):
    at = http(relay.url, headers={"Authorization": "env:TOKEN"})
    await ready(pool, at)
    await ask(pool, at, call("echo"))
    assert {seen.header("Authorization") for seen in relay.requests} == {"s3cret"}


@pytest.mark.parametrize("endpoint", ["messages?session={}", "http://127.0.0.1:PORT/m?session={}"])
async def test_an_address_of_the_same_origin_is_taken(pool, relay, endpoint):
    relay.endpoint = endpoint.replace("PORT", str(relay.port))
    at = http(relay.url)
    await ready(pool, at)
    assert text(await ask(pool, at, call("echo", 1))) == 1


@pytest.mark.guarantee("secrets:stay-here")
@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:1/messages?session={}",
        "http://localhost:PORT/messages?session={}",
        "https://127.0.0.1:PORT/messages?session={}",
        "//elsewhere.test/messages?session={}",
        "http://name:word@127.0.0.1:PORT/messages?session={}",
        "/messages?session={}#part",
    ],
)
async def test_any_other_address_is_refused_and_never_posted_to(pool, relay, endpoint):
    relay.endpoint = endpoint.replace("PORT", str(relay.port))
    posts = len([seen for seen in relay.requests if seen.verb == "POST"])
    with pytest.raises((UpstreamBrokeProtocol, UpstreamUnreachable)):
        await pool.observe(http(relay.url, era="legacy"))
    seen = [seen.path for seen in relay.requests if seen.verb == "POST"][posts:]
    assert seen == ["/sse?key=1"]


async def test_a_stream_that_names_no_address_is_none(pool, relay, monkeypatch):
    monkeypatch.setattr(http_sse, "ENDPOINT_SECONDS", 0.2)
    relay.endpoint = ""
    with pytest.raises(UpstreamUnreachable) as nothing:
        await pool.observe(http(relay.url))
    assert "no MCP endpoint" in nothing.value.detail


async def test_a_server_with_neither_is_told_as_before(pool):
    other = await HttpUpstream(era="legacy", stream=False).start()
    refused = other.methods
    refused["initialize"] = refused["server/discover"] = lambda talk: talk.answer("404 No", b"")
    with pytest.raises(UpstreamUnreachable) as nothing:
        await pool.observe(http(other.url))
    assert "no MCP endpoint" in nothing.value.detail
    await other.stop()


async def test_a_lost_stream_fails_what_runs_and_is_opened_again(pool, relay):
    at = http(relay.url)
    await ready(pool, at)
    running = pool.begin(at.id, call("hang"), None)
    await until(lambda: relay.of("tools/call"), "it runs")
    relay.end("session-1")
    with pytest.raises(UpstreamBrokeProtocol):
        await running.reply

    def asked():
        exchange = pool.begin(at.id, call("echo", 1), None)
        return None if exchange.reply.done() and exchange.reply.exception() else exchange

    assert text(await (await until(asked, "opened again")).reply) == 1
    assert pool.health(at.id).restarts == 1


async def test_a_server_that_moved_on_is_spoken_to_the_newer_way(relay):
    pool = make_pool()
    at = http(relay.url)
    await ready(pool, at)
    relay.via = "post"
    relay.end("session-1")
    await until(lambda: pool.health(at.id).restarts == 1, "its loss is noticed")
    await until(lambda: pool.health(at.id).state == "ready", "met again")
    assert "SSE" not in pool.health(at.id).detail
    assert text(await ask(pool, at, call("echo", 1))) == 1
    await pool.close()


async def test_a_hanging_call_ends_at_its_deadline_and_the_server_is_told(pool, relay):
    at = http(relay.url)
    await ready(pool, at)
    with pytest.raises(UpstreamTimeout):
        await ask(pool, at, call("hang", seconds=0.2))
    [told] = await until(lambda: relay.of("notifications/cancelled"), "told")
    assert told.message["params"]["reason"] == "timeout"


async def test_a_result_over_its_limit_is_refused(pool, relay):
    at = http(relay.url)
    await ready(pool, at)
    with pytest.raises(LimitReached):
        await ask(pool, at, call("echo", "x" * 50_000, max_bytes=10_000))
    assert text(await ask(pool, at, call("echo", 1))) == 1


async def test_progress_bears_the_callers_own_token(pool, relay):
    at = http(relay.url)
    await ready(pool, at)
    heard = []
    asked = call("steps", meta={"progressToken": Raw(b'"mine"')})
    await ask(pool, at, asked, lambda _, params: heard.append(json.loads(params)))
    assert [step["progressToken"] for step in heard] == ["mine", "mine"]


async def test_a_secret_that_is_rotated_during_the_handshake_is_read_anew(relay, monkeypatch):
    monkeypatch.setattr(http_sse, "STEADY_SECONDS", 0)  # it is met again at once
    secrets, answer = Secrets(TOKEN="old"), relay._answer
    wanted = "old"

    async def guard(talk):
        nonlocal wanted
        if talk.seen.header("Authorization") != wanted:
            talk.answer("401 Unauthorized", b"")
            return
        if talk.seen.verb == "POST" and talk.seen.message["method"] == "notifications/initialized":
            secrets.known["TOKEN"] = wanted = "new"
        await answer(talk)

    relay._answer = guard
    pool = make_pool(secrets)
    at = http(relay.url, era="legacy", headers={"Authorization": "env:TOKEN"})
    await ready(pool, at)
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, at, call("echo", 1))
    await until(lambda: len(relay.spawned) == 2, "met with the new secret")
    await until(lambda: pool.health(at.id).state == "ready", "met again")
    assert text(await ask(pool, at, call("echo", 1))) == 1
    await pool.close()


async def test_a_server_that_refuses_several_callers_is_told_of_until_it_serves_one(pool, relay):
    answer, refuses = relay._answer, False

    async def guard(talk):
        if refuses:
            talk.answer("401 Unauthorized", b"")
        else:
            await answer(talk)

    relay._answer = guard
    at = http(relay.url)
    await ready(pool, at)
    refuses = True
    for who, told in (("ann", False), ("ann", False), ("bob", True)):
        with pytest.raises(UpstreamUnreachable):
            await ask(pool, at, call("echo", asker=asker(who)))
        assert ("refuses our credentials" in pool.health(at.id).detail) is told
    refuses = False
    await ask(pool, at, call("echo", asker=asker("ann")))
    assert "refuses our credentials" not in pool.health(at.id).detail


async def test_a_refused_post_fails_its_call(pool, relay):
    at = http(relay.url)
    await ready(pool, at)
    relay.sessions.pop("session-1")
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, at, call("echo"))
