"""Servers that speak both eras, and can ask their client in one of them only."""

import json

import pytest
from msgspec import Raw, structs
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import ask, asker, call, http, ready, text, until

from gatelodge.ports.upstream import UpstreamReply, always

pytestmark = pytest.mark.anyio

ANN, BOB, NOBODY = asker("ann", elicitation={}), asker("bob", elicitation={}), asker("cho")
FORM = {"message": "Sure?", "requestedSchema": {"type": "object"}}
YES = {"action": "accept", "content": {}}
RMCP = (-32600, "InputRequiredResult requires negotiated protocol version 2026-07-28 or newer")
TYPESCRIPT = (
    -32603,
    (
        "Handler for tools/call returned an input-required result, but this request is served on "
        "protocol revision 2025-11-25, which has no input_required vocabulary"
    ),
)
NO_WAY = "transport context has no back-channel for server-initiated requests"
PYTHON = (-32603, "Handler returned an invalid result")


@pytest.fixture
async def upstream():
    made = await HttpUpstream(era="both", many=True).start()
    made.tools["push"] = pushing(made)
    yield made
    await made.stop()


@pytest.fixture
async def at(pool, upstream):
    server = http(upstream.url)
    await ready(pool, server)
    return server


def modern(seen):
    return seen.header("MCP-Protocol-Version") == "2026-07-28"


def needs(error):
    """A tool that ends with its question; in a legacy session its SDK makes that an error."""

    def tool(talk):
        number, params = talk.seen.message["id"], talk.seen.message["params"]
        if not modern(talk.seen):
            code, message = error
            fault = {"code": code, "message": message}
            talk.answer("200 OK", {"jsonrpc": "2.0", "id": number, "error": fault})
        elif "inputResponses" in params:
            answered = json.dumps(params["inputResponses"]["q"])
            talk.result({"content": [{"type": "text", "text": answered}]})
        else:
            asked = {"q": {"method": "elicitation/create", "params": FORM}}
            talk.result({"resultType": "input_required", "inputRequests": asked})

    return tool


def pushing(upstream):
    """A tool that asks in the middle of the call and waits; in the modern era it cannot."""

    async def tool(talk):
        number = talk.seen.message["id"]
        if modern(talk.seen):
            said = [{"type": "text", "text": f"This {NO_WAY}."}]
            talk.result({"resultType": "complete", "isError": True, "content": said})
            return
        asks = f"q-{len(upstream.requests)}"
        talk.stream()
        talk.event({"jsonrpc": "2.0", "id": asks, "method": "elicitation/create", "params": FORM})
        await until(lambda: upstream.answer_to(asks))
        done = {"content": [{"type": "text", "text": '"asked"'}]}
        talk.event({"jsonrpc": "2.0", "id": number, "result": done})
        talk.end()

    return tool


def input_required(reply):
    return reply.result is not None and b"input_required" in bytes(reply.result)


def again(request, reply):
    """The next round of a call, with its question answered."""
    assert input_required(reply)
    answers = Raw(json.dumps({"q": YES}).encode())
    return structs.replace(request, params=request.params | {"inputResponses": answers})


def eras(upstream):
    """In which era each call came."""
    return ["modern" if modern(seen) else "legacy" for seen in upstream.of("tools/call")]


async def test_one_that_keeps_no_legacy_session_is_asked_in_the_modern_era(pool, upstream, at):
    upstream.session, upstream.knows = "", lambda seen: True
    upstream.tools["ask"] = needs(TYPESCRIPT)
    asked = call("ask", era="legacy", asker=ANN)
    reply = await ask(pool, at, asked)
    assert text(await ask(pool, at, again(asked, reply))) == YES
    assert input_required(await ask(pool, at, call("ask", era="legacy", asker=BOB)))
    assert eras(upstream) == ["modern"] * 3
    await ask(pool, at, call("echo", era="legacy", asker=NOBODY))
    assert eras(upstream)[-1] == "legacy"
    assert "no session in a legacy revision" in pool.health(at.id).detail


@pytest.mark.parametrize("error", [RMCP, TYPESCRIPT], ids=["rmcp", "typescript"])
async def test_a_question_that_its_session_cannot_carry_is_asked_in_the_modern_era_at_once(
    pool, upstream, at, error
):
    upstream.tools["ask"] = needs(error)
    asked = call("ask", era="legacy", asker=ANN)
    reply = await ask(pool, at, asked)
    assert text(await ask(pool, at, again(asked, reply))) == YES
    assert eras(upstream) == ["legacy", "modern", "modern"]
    assert input_required(await ask(pool, at, call("ask", era="legacy", asker=BOB)))
    assert eras(upstream)[3:] == ["modern"]
    assert "Only in 2026-07-28 a client is asked by ask." in pool.health(at.id).detail


async def test_a_tool_that_may_have_run_is_not_run_again_but_known_from_then_on(pool, upstream, at):
    upstream.tools["ask"] = needs(PYTHON)
    reply = await ask(pool, at, call("ask", era="legacy", asker=ANN))
    assert (reply.result, eras(upstream)) == (None, ["legacy"])
    error = json.loads(bytes(reply.error))
    assert error["code"] == PYTHON[0]
    assert error["message"].startswith(PYTHON[1])
    assert "call it again" in error["message"]
    assert input_required(await ask(pool, at, call("ask", era="legacy", asker=ANN)))


async def test_a_tool_reviewed_as_read_only_is_asked_in_the_modern_era_at_once(pool, upstream, at):
    upstream.tools["ask"] = needs(PYTHON)
    assert input_required(await ask(pool, at, call("ask", era="legacy", asker=ANN, read_only=True)))


async def test_whoever_can_be_asked_nothing_hears_the_servers_error_as_it_is(pool, upstream, at):
    upstream.tools["ask"] = needs(RMCP)
    reply = await ask(pool, at, call("ask", era="legacy", asker=NOBODY))
    assert json.loads(bytes(reply.error)) == {"code": RMCP[0], "message": RMCP[1]}
    assert eras(upstream) == ["legacy"]


@pytest.mark.parametrize("first", ["modern", "legacy"])
async def test_tools_that_push_and_tools_that_end_with_questions_are_served_for_both_eras(
    pool, upstream, at, first
):
    upstream.tools["need"] = needs(RMCP)
    for name in ("push", "need"):  # a first call may find out
        await _asks(pool, at, name, first)
    for era in ("modern", "legacy"):
        for name in ("push", "need"):
            assert await _asks(pool, at, name, era), (name, era)


async def _asks(pool, at, name, era):
    """Say whether a call of this tool asks its client, in either way."""
    exchange = pool.begin(at.id, call(name, era=era, asker=ANN), None)
    reply = await exchange.reply
    for question in reply.questions:
        exchange.answer(
            question.number, UpstreamReply(result=Raw(json.dumps(YES).encode())), always
        )
    if reply.questions:
        assert text(await exchange.reply) == "asked"
    return bool(reply.questions) or input_required(reply)


async def test_the_next_round_of_a_call_stays_in_the_modern_era(pool, upstream, at):
    """Whatever was learned of the tool meanwhile."""
    upstream.tools["ask"] = needs(RMCP)
    asked = call("ask", era="legacy", asker=ANN)
    reply = await ask(pool, at, asked)
    upstream.tools["ask"] = pushing(upstream)
    assert await _asks(pool, at, "ask", "modern") is False
    upstream.tools["ask"] = needs(RMCP)
    assert text(await ask(pool, at, again(asked, reply))) == YES
