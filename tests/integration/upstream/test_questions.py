"""What a legacy server asks during a call: it reaches the one who caused it, and nobody else."""

import asyncio
import json

import pytest
from msgspec import Raw
from tests.upstreams.asking.relay import Relay
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import (
    WAIT,
    ask,
    asker,
    asking,
    call,
    http,
    make_pool,
    ready,
    text,
    until,
)

from gatelodge.adapters.upstream.question import MOST_WAITING
from gatelodge.core.errors import UpstreamBrokeProtocol, UpstreamError, UpstreamTimeout
from gatelodge.ports.upstream import UpstreamReply, always

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

WAYS = ["stdio", "post", *(pytest.param(way, marks=pytest.mark.slow) for way in ("get", "sse"))]
WAYS_ASIDE = ["stdio", "post", pytest.param("sse", marks=pytest.mark.slow)]
"""The same without the one whose stream is no request's."""
FORM = ("elicitation/create", {"message": "Sure?", "requestedSchema": {"type": "object"}})
SAMPLE = ("sampling/createMessage", {"messages": [], "maxTokens": 1})
ROOTS = ("roots/list", {})
ANN = asker("ann", elicitation={}, roots={})
BOB = asker("bob", elicitation={}, roots={})


@pytest.fixture
async def relay():
    made = await Relay(via="post").start()
    yield made
    await made.stop()


@pytest.fixture
async def pool(relay):
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


@pytest.fixture(params=WAYS)
async def at(request, pool, relay):
    """The asking server, reached by each way on which a server can ask, and met."""
    if request.param == "stdio":
        server = asking("legacy")
    else:
        relay.via = request.param
        server = http(relay.url)
    await ready(pool, server)
    return server


def questions(*asked, who=ANN, **more):
    at_once = more.pop("at_once", False)
    return call("ask", {"questions": list(asked), "at_once": at_once}, asker=who, **more)


async def told(exchange):
    async with asyncio.timeout(WAIT):
        return await exchange.reply


def only(reply):
    """The one question of this round."""
    (question,) = reply.questions
    return question


def answer(exchange, reply, value):
    exchange.answer(
        only(reply).number, UpstreamReply(result=Raw(json.dumps(value).encode())), always
    )


async def answered(pool, at):
    """What the server was answered, as soon as it was: an answer may come after a later call."""
    async with asyncio.timeout(WAIT):
        while not (found := text(await ask(pool, at, call("answered", asker=ANN)))):
            pass
    return found


async def test_a_question_reaches_the_caller_and_the_answer_the_server(pool, at):
    exchange = pool.begin(at.id, questions(FORM), None)
    reply = await told(exchange)
    assert (reply.result, reply.error) == (None, None)
    assert only(reply).method == "elicitation/create"
    assert json.loads(bytes(only(reply).params)) == FORM[1]
    answer(exchange, reply, {"action": "accept", "content": {"n": 1}})
    assert text(await told(exchange)) == [{"action": "accept", "content": {"n": 1}}]
    assert pool.counts()["calls"] == 0


async def test_an_error_is_an_answer_too(pool, at):
    exchange = pool.begin(at.id, questions(FORM), None)
    reply = await told(exchange)
    exchange.answer(
        only(reply).number, UpstreamReply(error=Raw(b'{"code":-1,"message":"no"}')), always
    )
    assert text(await told(exchange)) == [{"code": -1, "message": "no"}]


async def test_questions_come_in_their_order(pool, at):
    exchange = pool.begin(at.id, questions(FORM, ROOTS, FORM), None)
    methods = []
    for number in range(3):
        reply = await told(exchange)
        methods.append(only(reply).method)
        answer(exchange, reply, {"n": number})
    assert methods == ["elicitation/create", "roots/list", "elicitation/create"]
    assert text(await told(exchange)) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_questions_that_are_asked_at_once_are_one_round(pool, at):
    exchange = pool.begin(at.id, questions(FORM, ROOTS, FORM, at_once=True), None)
    asked = (await told(exchange)).questions
    methods = [each.method for each in asked]
    assert methods == ["elicitation/create", "roots/list", "elicitation/create"]
    assert len({each.key for each in asked}) == 3
    for number, each in reversed(list(enumerate(asked))):
        exchange.answer(each.number, UpstreamReply(result=Raw(b'{"n":%d}' % number)), always)
    assert text(await told(exchange)) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_more_questions_than_may_wait_are_refused(pool, at, tmp_path):
    many, every, go_on = MOST_WAITING + 3, asyncio.Event(), tmp_path / "go on"
    given = {"questions": [ROOTS] * (1 + many), "at_once": True, "until": str(go_on)}

    def heard(_method, params):
        if b"all asked" in params:
            every.set()

    exchange = pool.begin(at.id, call("ask", given, asker=ANN), heard)
    reply, rounds = await told(exchange), []
    go_on.touch()
    await asyncio.wait_for(every.wait(), WAIT)  # until then a round is open, and others wait
    while reply.questions:
        rounds.append(len(reply.questions))
        for each in reply.questions:
            exchange.answer(each.number, UpstreamReply(result=Raw(b'{"roots":[]}')), always)
        reply = await told(exchange)
    codes = [each.get("code", 0) for each in text(reply)]
    assert rounds == [1, MOST_WAITING]
    assert codes == [0] * (1 + MOST_WAITING) + [-32603] * 3


async def test_what_was_not_declared_is_refused_at_once(pool, at):
    link = ("elicitation/create", {"mode": "url", "message": "Go", "url": "https://a.test"})
    reply = await ask(pool, at, questions(SAMPLE, ("ping", {}), ("no/such", {}), link))
    codes = [each.get("code") for each in text(reply)]
    assert codes == [-32021, None, -32601, -32021]


async def test_nothing_can_be_asked_in_the_shared_session(pool, at):
    reply = await ask(pool, at, questions(FORM, ROOTS, who=asker("ann")))
    assert [each["code"] for each in text(reply)] == [-32021, -32021]


async def test_questions_of_two_callers_do_not_cross(pool, at):
    first = pool.begin(at.id, questions(FORM, who=ANN), None)
    second = pool.begin(at.id, questions(ROOTS, who=BOB), None)
    for exchange, name in ((second, "bob"), (first, "ann")):
        answer(exchange, await told(exchange), {"for": name})
    assert text(await told(first)) == [{"for": "ann"}]
    assert text(await told(second)) == [{"for": "bob"}]


@pytest.mark.parametrize("at", ["stdio", "get", "sse"], indirect=True)
async def test_a_question_that_may_be_of_two_requests_is_refused(pool, at):
    hanging = pool.begin(at.id, call("hang", asker=ANN), None)
    await until(lambda: pool.counts()["calls"] == 1, "it runs")
    reply = await ask(pool, at, questions(ROOTS))
    assert text(reply)[0]["code"] == -32603
    hanging.abort("cancelled")


@pytest.mark.parametrize("at", ["get", "sse"], indirect=True)
async def test_a_question_outside_any_request_is_refused(pool, relay, at):
    await ask(pool, at, call("stray", asker=ANN))
    refused = await until(lambda: relay.answer_to("stray"), "it is answered")
    assert refused["error"]["code"] == -32603


async def test_the_deadline_stands_still_while_a_question_is_open(pool, at):
    exchange = pool.begin(at.id, questions(FORM, seconds=1.0), None)
    reply = await told(exchange)
    opened = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() > opened + 1.2, "the deadline is past")
    answer(exchange, reply, {"late": True})
    assert text(await told(exchange)) == [{"late": True}]


async def test_the_deadline_goes_on_after_the_answer(pool, at):
    exchange = pool.begin(at.id, questions(FORM, FORM, seconds=1.0), None)
    reply = await told(exchange)
    exchange.answer(
        only(reply).number + 7, UpstreamReply(result=Raw(b"{}")), always
    )  # of no question: nothing
    assert exchange.reply.done()
    late = pool.begin(at.id, call("hang", asker=BOB, seconds=0.3), None)
    with pytest.raises(UpstreamTimeout):
        await told(late)
    answer(exchange, reply, {})
    answer(exchange, await told(exchange), {})
    assert text(await told(exchange)) == [{}, {}]


async def test_an_abort_with_an_open_question_is_told_to_the_server(pool, at):
    exchange = pool.begin(at.id, questions(FORM, FORM), None)
    reply = await told(exchange)
    exchange.abort("revoked")
    answer(exchange, reply, {"too": "late"})
    with pytest.raises(asyncio.CancelledError):
        await exchange.reply
    assert pool.counts()["calls"] == 0

    async def cancelled():
        heard = text(await ask(pool, at, call("seen", asker=ANN)))["told"]
        return [m["params"]["reason"] for m in heard if m["method"].endswith("/cancelled")]

    for _ in range(1000):
        if (reasons := await cancelled()) == ["revoked"]:
            break
    assert reasons == ["revoked"]


async def test_a_server_that_dies_fails_what_comes_after_the_question(pool, at):
    exchange = pool.begin(at.id, call("ask_and_go", {"die": True}, asker=ANN), None)
    reply = await told(exchange)
    await until(lambda: pool.counts()["calls"] == 0, "its end is noticed")
    answer(exchange, reply, {"roots": []})
    with pytest.raises(UpstreamError):
        await told(exchange)


@pytest.mark.parametrize("at", WAYS_ASIDE, indirect=True)
async def test_a_result_that_overtakes_the_answer_is_kept(pool, at):
    exchange = pool.begin(at.id, call("ask_and_go", {"what": FORM}, asker=ANN), None)
    reply = await told(exchange)
    await until(lambda: pool.counts()["calls"] == 0, "it was answered")
    answer(exchange, reply, {"action": "accept"})
    assert text(await told(exchange)) == []


@pytest.mark.parametrize("at", WAYS_ASIDE, indirect=True)
@pytest.mark.parametrize("pause", [0, 0.1], ids=["at-once", "soon"])
async def test_a_server_that_answers_before_it_was_told_the_roots_is_told_them(pool, at, pause):
    exchange = pool.begin(at.id, call("ask_and_go", {"pause": pause}, asker=ANN), None)
    reply = await told(exchange)
    answer(exchange, reply, {"roots": [{"uri": "file:///home/ann"}]})
    assert text(await told(exchange)) == []
    assert await answered(pool, at) == {"gone": {"roots": [{"uri": "file:///home/ann"}]}}
    assert pool.counts()["calls"] == 0


@pytest.mark.parametrize("at", WAYS_ASIDE, indirect=True)
async def test_a_result_is_kept_though_the_answer_to_a_question_may_not_be_sent(pool, at):
    exchange = pool.begin(at.id, call("ask_and_go", {"pause": 0}, asker=ANN), None)
    reply = await told(exchange)
    await ask(pool, at, call("echo", asker=ANN))  # what the server said before it was heard
    exchange.answer(only(reply).number, UpstreamReply(result=Raw(b"{}")), lambda: False)
    assert text(await told(exchange)) == []
    assert pool.counts()["calls"] == 0


@pytest.mark.parametrize("at", WAYS_ASIDE, indirect=True)
async def test_a_call_that_was_answered_is_not_taken_back_while_roots_are_asked_for(pool, at):
    exchange = pool.begin(at.id, call("ask_and_go", {"pause": 0}, asker=ANN), None)
    await told(exchange)
    await ask(pool, at, call("echo", asker=ANN))  # what the server said before it was heard
    exchange.abort("cancelled")
    told_of = text(await told(pool.begin(at.id, call("seen", asker=ANN), None)))["told"]
    assert "notifications/cancelled" not in [each["method"] for each in told_of]
    answers = await answered(pool, at)
    assert list(answers) == ["gone"]
    assert "code" in answers["gone"]


async def test_a_question_that_is_taken_back_is_not_answered(pool, at):
    exchange = pool.begin(at.id, call("ask_and_go", {"withdraw": True}, asker=ANN), None)
    reply = await told(exchange)
    answer(exchange, reply, {"first": 1})
    second = await told(exchange)
    answer(exchange, second, {"second": 2})
    said = text(await told(exchange))
    assert "kept" in said


async def test_a_lost_session_fails_the_call_that_was_asked(pool, relay):
    at = http(relay.url)
    await ready(pool, at)
    exchange = pool.begin(at.id, questions(FORM), None)
    reply = await told(exchange)
    relay.sessions.pop(f"session-{relay.begun}")
    answer(exchange, reply, {})
    with pytest.raises(UpstreamBrokeProtocol):
        await told(exchange)


async def test_a_session_that_was_begun_anew_knows_no_old_question(pool):
    upstream = await HttpUpstream(era="legacy").start()
    at = http(upstream.url)
    await ready(pool, at)

    def asking_for_ever(talk):
        talk.stream()
        talk.event({"jsonrpc": "2.0", "id": "q", "method": "roots/list"})

    upstream.tools["echo"] = asking_for_ever
    exchange = pool.begin(at.id, call("echo", asker=ANN), None)
    reply = await told(exchange)
    upstream.session = "session-2"
    del upstream.tools["echo"]
    assert text(await ask(pool, at, call("echo", 1, asker=ANN))) == 1
    answer(exchange, reply, {"roots": []})
    with pytest.raises(UpstreamBrokeProtocol):
        await told(exchange)
    assert upstream.answer_to("q") is None
    await pool.reconcile(())
    await upstream.stop()


@pytest.mark.parametrize("at", WAYS_ASIDE, indirect=True)
async def test_log_messages_go_to_the_caller_of_a_session_of_its_own(pool, at):
    heard = []
    asked = call("log", {"words": "w"}, asker=ANN)
    await ask(pool, at, asked, lambda method, params: heard.append((method, json.loads(params))))
    assert heard == [("notifications/message", {"level": "info", "data": "w"})]


@pytest.mark.parametrize("at", ["stdio", "get", "sse"], indirect=True)
async def test_a_log_message_after_the_answer_is_told_with_whose_session_it_is(pool, at):
    told = []
    pool.on_notification(lambda said: bool(told.append(said)))
    await ask(pool, at, call("stray"))  # in the shared session it is nobody's
    await ask(pool, at, call("stray", asker=ANN))
    await until(lambda: told, "it is told")
    (said,) = told
    assert (said.server, said.asker, said.method) == (at.id, ANN, "notifications/message")
    assert said.used == (("tools/call", "stray"),)
    assert json.loads(said.params) == {"level": "info", "data": "stray"}


@pytest.mark.parametrize("at", ["stdio", "get", "sse"], indirect=True)
async def test_log_messages_of_a_shared_session_go_to_nobody(pool, at):
    heard = []
    await ask(pool, at, call("log", {"words": "w"}), lambda *told: heard.append(told))
    assert heard == []


async def test_log_messages_of_a_modern_child_go_to_the_one_who_asked_for_them(pool):
    at = asking("modern")
    await ready(pool, at)
    heard, others = [], []
    other = pool.begin(at.id, call("hang"), lambda *told: others.append(told))
    asked = call("log", {"words": "w"}, asker=asker("ann", level="info"))
    await ask(pool, at, asked, lambda method, _: heard.append(method))
    assert (heard, others) == (["notifications/message"], [])
    other.abort("cancelled")


async def test_a_modern_server_is_asked_for_log_messages_that_a_legacy_client_hears(pool):
    at = asking("modern")
    await ready(pool, at)

    async def level(heard=None, **fields):
        return text(await ask(pool, at, call("declared", **fields), heard))["level"]

    def hears(_method, _params):
        pass

    assert await level(hears, era="legacy") == "info"
    assert await level(hears, era="legacy", asker=asker("ann", level="error")) == "error"
    assert await level(era="legacy") is None
    assert await level(hears, era="modern") is None
    heard = []
    asked = call("log", {"words": "w"}, era="legacy")
    await ask(pool, at, asked, lambda *told: heard.append(told))
    assert [method for method, _ in heard] == ["notifications/message"]
