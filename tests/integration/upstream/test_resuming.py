"""A legacy answer whose stream ends too early goes on after its last event (SEP-1699)."""

import json

import pytest
from msgspec import Raw
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import ask, asker, call, each_loop, http, make_pool, ready, text, until

from gatelodge.adapters.upstream.http.streamable_http import MOST_TRIES
from gatelodge.core.errors import LimitReached, UpstreamBrokeProtocol, UpstreamTimeout
from gatelodge.ports.upstream import UpstreamReply, always

pytestmark = [pytest.mark.anyio, each_loop]


class Polled(HttpUpstream):
    """Numbers the events of its tool `echo` and ends each stream after those of one `part`."""

    def __init__(self, **given):
        super().__init__(era="legacy", **given)
        self.parts = []
        self.number = 0
        self.rest = []
        self.tools["echo"] = self.first

    def first(self, talk):
        self.number = talk.seen.message["id"]
        self.part(talk)

    def part(self, talk):
        talk.stream()
        for kind, value in self.parts.pop(0) if self.parts else ():
            if kind == "close":
                talk.close()
                return
            talk.chunk(f"{kind}: {value}\n")
            if kind == "data":
                talk.chunk("\n")
        talk.end()

    def done(self, event="9"):
        result = {"content": [{"type": "text", "text": "1"}]}
        return [("id", event), ("data", json.dumps(self.message(id=self.number, result=result)))]

    def message(self, **members):
        return {"jsonrpc": "2.0", **members}

    def _listen(self, talk):
        last = talk.seen.header("Last-Event-ID")
        if last is None:
            super()._listen(talk)
            return
        self.rest.append(last)
        if self.parts and self.parts[0] == "result":
            self.parts[0] = self.done()
        if self.parts and isinstance(self.parts[0], str):
            talk.answer(self.parts.pop(0), b"")
            return
        self.part(talk)


@pytest.fixture
async def upstream():
    made = await Polled().start()
    yield made
    await made.stop()


@pytest.fixture
async def pool(upstream):
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


PRIMED = [("id", "e1"), ("retry", "1"), ("data", "")]


@pytest.fixture
async def at(pool, upstream):
    server = http(upstream.url)
    await ready(pool, server)
    return server


@pytest.mark.parametrize("end", [[], [("close", "")]])
async def test_the_rest_is_asked_for_after_the_last_event(pool, upstream, at, end):
    upstream.parts = [PRIMED + end, "result"]
    assert text(await ask(pool, at, call("echo"))) == 1
    assert upstream.rest == ["e1"]
    rest = [seen for seen in upstream.requests if seen.header("Last-Event-ID")]
    assert rest[0].header("Mcp-Session-Id") == upstream.session
    assert rest[0].header("Accept") == "text/event-stream"
    assert len(upstream.of("tools/call")) == 1


async def test_a_server_may_be_polled_for_as_long_as_something_comes(pool, upstream, at):
    upstream.parts = [
        *([("id", f"e{n}"), ("retry", "1"), ("data", "")] for n in range(MOST_TRIES * 3)),
        "result",
    ]
    assert text(await ask(pool, at, call("echo"))) == 1
    assert upstream.rest == [f"e{n}" for n in range(MOST_TRIES * 3)]


@pytest.mark.slow
async def test_a_server_with_nothing_new_is_given_up_on(pool, upstream, at):
    upstream.parts = [PRIMED]
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, at, call("echo"))
    assert upstream.rest == ["e1"] * MOST_TRIES


async def test_an_event_that_was_not_whole_is_asked_for_again(pool, upstream, at):
    upstream.parts = [[*PRIMED, ("id", "e2"), ("event", "message"), ("close", "")], "result"]
    assert text(await ask(pool, at, call("echo"))) == 1
    assert upstream.rest == ["e1"]


@pytest.mark.parametrize("status", ["405 Method Not Allowed", "404 Not Found", "400 Bad Request"])
async def test_a_server_that_keeps_no_events_fails_the_call(pool, upstream, at, status):
    upstream.parts = [PRIMED, status]
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, at, call("echo"))
    assert len(upstream.of("tools/call")) == 1


async def test_a_stream_without_numbers_is_not_asked_for(pool, upstream, at):
    upstream.parts = [[("retry", "1"), ("data", "")]]
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, at, call("echo"))
    assert upstream.rest == []


async def test_a_modern_stream_is_never_asked_for(pool, upstream):
    upstream.era = "modern"
    modern = http(upstream.url, name="modern")
    await ready(pool, modern)
    upstream.parts = [PRIMED]
    with pytest.raises(UpstreamBrokeProtocol):
        await ask(pool, modern, call("echo"))
    assert upstream.rest == []


async def test_the_deadline_runs_while_the_server_is_polled(pool, upstream, at):
    upstream.parts = [[("id", "e1"), ("retry", "10000"), ("data", "")]]
    with pytest.raises(UpstreamTimeout):
        await ask(pool, at, call("echo", seconds=0.3))
    await until(lambda: upstream.of("notifications/cancelled"), "the server is told")
    assert upstream.rest == []


async def test_an_abort_while_the_server_is_polled_is_told(pool, upstream, at):
    upstream.parts = [[("id", "e1"), ("retry", "10000"), ("data", "")]]
    exchange = pool.begin(at.id, call("echo"), None)
    await until(lambda: exchange.last, "the stream ended")
    exchange.abort("revoked")
    [told] = await until(lambda: upstream.of("notifications/cancelled"), "told")
    assert told.message["params"]["reason"] == "revoked"


async def test_progress_and_questions_go_on_after_the_last_event(pool, upstream, at):
    progress = upstream.message(
        method="notifications/progress", params={"progressToken": 1, "progress": 1}
    )
    asked = upstream.message(id="q", method="roots/list")
    upstream.parts = [
        PRIMED,
        [("id", "e2"), ("data", json.dumps(progress)), ("id", "e3"), ("data", json.dumps(asked))],
        "result",
    ]
    heard = []
    request = call("echo", asker=asker("ann", roots={}), meta={"progressToken": Raw(b'"t"')})
    exchange = pool.begin(at.id, request, lambda _, params: heard.append(json.loads(params)))
    reply = await exchange.reply
    assert reply.questions[0].method == "roots/list"
    assert heard == [{"progressToken": "t", "progress": 1}]
    exchange.answer(reply.questions[0].number, UpstreamReply(result=Raw(b'{"roots":[]}')), always)
    assert text(await exchange.reply) == 1
    assert upstream.rest[:2] == ["e1", "e3"]
    assert upstream.answer_to("q")["result"] == {"roots": []}


async def test_a_flood_is_not_asked_for_again(pool, upstream, at):
    upstream.parts = [[*PRIMED, ("data", "x" * 100_000)]]
    with pytest.raises(LimitReached):
        await ask(pool, at, call("echo", max_bytes=10_000))
    assert upstream.rest == []
