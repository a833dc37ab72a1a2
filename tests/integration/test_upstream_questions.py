"""What a legacy server asks on the stream of its session: whose question that is, and who hears."""

import asyncio

import pytest
from msgspec import Raw
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import ask, call, http, make_pool, ready, until

from gatelodge.config.schema import UpstreamSettings
from gatelodge.core.errors import LimitReached
from gatelodge.ports.upstream import OnBehalfOf, UpstreamReply, always

pytestmark = pytest.mark.anyio

ADA = OnBehalfOf(principal="mem_ada", capabilities=b'{"roots":{}}')
BEN = OnBehalfOf(principal="mem_ben", capabilities=b'{"roots":{}}')
ROOTS = {"jsonrpc": "2.0", "method": "roots/list"}
FOUND = Raw(b'{"roots":[]}')


class Aside(HttpUpstream):
    """A legacy server that asks on its session's own stream, and whose head comes late there."""

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__(era="legacy")
        self.pause = pause
        self.tools = {"echo": self.look}
        self.asking = []

    def look(self, talk) -> None:
        """Ask where the session listens, if it does, and answer when that is answered."""
        self.asking.append(talk)
        for stream in self.listening[-1:]:
            stream.event({**ROOTS, "id": f"q{len(self.asking)}"})

    @property
    def told(self):
        """The answers to questions that came so far."""
        posts = [seen.message for seen in self.requests if seen.verb == "POST"]
        return [message for message in posts if str(message.get("id")).startswith("q")]

    def _listen(self, talk) -> None:
        if self.pause:
            asyncio.get_running_loop().call_later(self.pause, super()._listen, talk)
        else:
            super()._listen(talk)


@pytest.fixture
async def pool():
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


@pytest.fixture
async def upstream(request):
    made = await Aside(getattr(request, "param", 0.0)).start()
    yield made
    await made.stop()


@pytest.mark.parametrize("upstream", [0.2], indirect=True)
async def test_the_first_call_of_a_session_waits_for_the_stream_on_which_it_is_asked(
    pool, upstream
):
    at = http(upstream.url)
    await ready(pool, at)
    await until(lambda: upstream.listening, "the gate's own stream is open")
    upstream.listening.clear()
    exchange = pool.begin(at.id, call("echo", asker=ADA), None)
    async with asyncio.timeout(5):
        [question] = (await exchange.reply).questions
    assert question.method == "roots/list"
    exchange.answer(question.number, UpstreamReply(result=FOUND), always)
    await until(lambda: upstream.told, "it is answered")
    upstream.asking[0].result({})
    async with asyncio.timeout(5):
        assert bytes((await exchange.reply).result) == b"{}"


@pytest.mark.parametrize("upstream", [3600], indirect=True)
async def test_a_session_whose_stream_says_nothing_is_used_all_the_same(pool, upstream):
    upstream.tools.clear()
    at = http(upstream.url)
    await ready(pool, at)
    async with asyncio.timeout(5):
        assert (await ask(pool, at, call("echo", asker=ADA))).result is not None


@pytest.mark.parametrize(
    ("era", "code", "words"),
    [
        ("modern", -32021, "did not declare"),
        ("legacy", -32601, "did not declare"),
    ],
)
async def test_a_question_to_who_declared_nothing_is_refused_at_once(
    pool, upstream, era, code, words
):
    upstream.tells = False
    at = http(upstream.url)
    await ready(pool, at)
    await until(lambda: upstream.listening, "a server with nothing to tell may ask all the same")
    exchange = pool.begin(at.id, call("echo", era=era), None)
    [told] = await until(lambda: upstream.told, "it is refused")
    assert told["error"]["code"] == code
    assert words in told["error"]["message"]
    exchange.abort("cancelled")


async def test_a_question_of_one_of_two_calls_is_refused_with_the_reason(pool, upstream):
    at = http(upstream.url)
    await ready(pool, at)
    upstream.tools["hang"] = upstream.asking.append
    first = pool.begin(at.id, call("hang", asker=ADA), None)
    await until(lambda: upstream.asking, "the first call runs")
    second = pool.begin(at.id, call("echo", asker=ADA), None)
    [told] = await until(lambda: upstream.told, "it is refused")
    assert told["error"]["code"] == -32603
    assert "several calls" in told["error"]["message"]
    assert not first.reply.done()
    assert not second.reply.done()
    for each in (first, second):
        each.abort("cancelled")


async def test_a_call_that_waits_for_an_answer_is_not_the_one_that_asks_next(pool, upstream):
    at = http(upstream.url)
    await ready(pool, at)
    parked = pool.begin(at.id, call("echo", asker=ADA), None)
    async with asyncio.timeout(5):
        [first] = (await parked.reply).questions
    again = pool.begin(at.id, call("echo", asker=ADA), None)
    async with asyncio.timeout(5):
        [second] = (await again.reply).questions
    again.answer(second.number, UpstreamReply(result=FOUND), always)
    await until(lambda: len(upstream.told) == 1, "it is answered")
    upstream.asking[1].result({"of": "the second"})
    async with asyncio.timeout(5):
        assert bytes((await again.reply).result) == b'{"of": "the second"}'
    parked.answer(first.number, UpstreamReply(result=FOUND), always)
    await until(lambda: len(upstream.told) == 2, "so is the first")
    parked.abort("cancelled")


async def test_a_call_that_waits_for_an_answer_is_asked_more_when_it_is_alone(pool, upstream):
    at = http(upstream.url)
    await ready(pool, at)
    exchange = pool.begin(at.id, call("echo", asker=ADA), None)
    async with asyncio.timeout(5):
        [first] = (await exchange.reply).questions
    upstream.listening[-1].event({**ROOTS, "id": "q2"})
    exchange.answer(first.number, UpstreamReply(result=FOUND), always)
    async with asyncio.timeout(5):
        [second] = (await exchange.reply).questions
    assert second.key == "q2"
    exchange.abort("cancelled")


async def test_a_session_that_is_idle_makes_room_and_one_that_works_does_not(upstream):
    pool = make_pool(upstream=UpstreamSettings(backoff_seconds=0.2, sessions_per_server=1))
    upstream.tools["answer"] = lambda talk: talk.result({})
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("answer", asker=ADA))
    await ask(pool, at, call("answer", asker=BEN))
    await until(lambda: [r for r in upstream.requests if r.verb == "DELETE"], "Ada's made room")
    exchange = pool.begin(at.id, call("echo", asker=BEN), None)
    async with asyncio.timeout(5):
        assert (await exchange.reply).questions
    with pytest.raises(LimitReached):
        await ask(pool, at, call("answer", asker=ADA))
    exchange.abort("cancelled")
    await ask(pool, at, call("answer", asker=ADA))
    await pool.close()


async def test_a_session_ends_with_the_access_of_its_owner(pool, upstream):
    at = http(upstream.url)
    await ready(pool, at)
    exchange = pool.begin(at.id, call("echo", asker=ADA), None)
    async with asyncio.timeout(5):
        await exchange.reply
    exchange.abort("revoked")
    pool.leave(ADA.principal)
    await until(lambda: [r for r in upstream.requests if r.verb == "DELETE"], "it is ended")
    await until(lambda: upstream.of("notifications/cancelled"), "and its call was cancelled")
