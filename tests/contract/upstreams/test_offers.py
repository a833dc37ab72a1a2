"""The contract of `Upstreams`: what real servers offer, ask, and tell of, over each way."""

import asyncio
import contextlib
import json

import pytest
from msgspec import Raw, structs
from tests.contract.upstreams.real import (
    WAYS,
    everything,
    sdk_server,
)
from tests.upstreams import pools
from tests.upstreams.pools import ask, asker, call, ready, text, until

from gatelodge.ports.upstream import UpstreamReply, UpstreamRequest, always

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ADDED = {
    "get-roots-list",
    "trigger-elicitation-request",
    "trigger-url-elicitation",
    "trigger-sampling-request",
}
"""What it offers only to clients that declare something."""
ANN = asker("ann", elicitation={}, sampling={}, roots={})


@pytest.mark.parametrize("way", WAYS)
async def test_everything_that_a_real_server_offers_is_observed(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    observed = await pool.observe(real.at)
    assert {json.loads(bytes(each))["name"] for each in observed.prompts} >= {"simple-prompt"}
    assert all(json.loads(bytes(each))["uri"] for each in observed.resources)
    assert len(observed.templates) == 2
    said = json.loads(bytes(observed.capabilities))
    assert said["resources"]["subscribe"] is True
    assert observed.instructions
    assert "that declare a capability: 4 of its tools" in pool.health(real.at.id).detail
    assert observed.added == ADDED
    assert pool.counts()["tasks"] == 2


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_is_not_in_use_is_looked_at_whole_and_left(pool, served, way):
    real = await everything(way, served)
    observed = await pool.observe(real.at)
    assert len(observed.tools) == real.tools
    assert observed.added == ADDED
    assert pool.counts()["tasks"] == 0


async def answered(exchange, answers):
    """The result of a call, each question of which is answered by its method."""
    asked = []
    async with asyncio.timeout(pools.WAIT):
        while questions := (reply := await exchange.reply).questions:
            for question in questions:
                asked.append(question.method)
                said = Raw(json.dumps(answers[question.method]).encode())
                exchange.answer(question.number, UpstreamReply(result=said), always)
    return asked, bytes(reply.result)


ROOTS = {"roots/list": {"roots": [{"uri": "file:///work", "name": "Work"}]}}


ASKS = {
    "elicitation/create": (
        call("trigger-elicitation-request", asker=ANN),
        {"action": "accept", "content": {"name": "Ann of the gate"}},
    ),
    "sampling/createMessage": (
        call("trigger-sampling-request", {"prompt": "Hi"}, asker=ANN),
        {
            "role": "assistant",
            "model": "m",
            "content": {"type": "text", "text": "Ann of the gate"},
        },
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ASKS)
async def test_a_real_server_asks_the_one_who_called(pool, served, way, method):
    real = await everything(way, served)
    await ready(pool, real.at)
    request, answer = ASKS[method]
    exchange = pool.begin(real.at.id, request, None)
    asked, result = await answered(exchange, {method: answer, **ROOTS})
    assert method in asked
    assert b"Ann of the gate" in result


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_goes_up_though_its_call_rests_again(pool, served, way):
    real, rests = await everything(way, served), []
    await ready(pool, real.at)
    request, answer = ASKS["elicitation/create"]
    request = structs.replace(request, admitted=lambda: not rests)
    exchange = pool.begin(real.at.id, request, None)
    async with asyncio.timeout(pools.WAIT):
        while questions := (reply := await exchange.reply).questions:
            for question in questions:
                said = {"elicitation/create": answer, **ROOTS}[question.method]
                told = UpstreamReply(result=Raw(json.dumps(said).encode()))
                exchange.answer(question.number, told, always)
            rests.append(True)  # the server asked more, and the call waits for its client
    assert b"Ann of the gate" in bytes(reply.result)


@pytest.mark.parametrize("way", WAYS)
async def test_a_real_server_that_is_told_of_changed_roots_asks_for_them(pool, served, way):
    real, tells = await everything(way, served), asker("ann", roots={"listChanged": True})
    await ready(pool, real.at)
    lists = call("get-roots-list", asker=tells)
    assert b"file:///work" in (await answered(pool.begin(real.at.id, lists, None), ROOTS))[1]
    long = call("trigger-long-running-operation", {"duration": 60, "steps": 2}, asker=tells)
    runs = pool.begin(real.at.id, long, None)
    pool.roots_changed(tells)
    async with asyncio.timeout(pools.WAIT):
        (asked,) = (await runs.reply).questions
        assert asked.method == "roots/list"
        moved = UpstreamReply(result=Raw(b'{"roots":[{"uri":"file:///moved"}]}'))
        runs.answer(asked.number, moved, always)
        while b"file:///moved" not in bytes((await ask(pool, real.at, lists)).result):
            pass  # the answer goes beside the requests
    runs.abort("cancelled")


@pytest.mark.parametrize("way", WAYS)
async def test_resources_of_a_real_server_are_watched(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    updated = []
    pool.on_updated(lambda server, uri: updated.append((server, uri)))
    uri = "demo://resource/dynamic/text/1"
    pool.subscribe(real.at.id, frozenset({uri}))
    async with asyncio.timeout(pools.WAIT):
        while (real.at.id, uri) not in updated:  # on each turn it tells at once, then in 5 s
            await ask(pool, real.at, call("toggle-subscriber-updates"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await until(lambda: (real.at.id, uri) in updated, "told")


@pytest.mark.parametrize("way", WAYS)
async def test_prompts_and_resources_of_a_real_server_are_read(pool, served, way):
    real = await everything(way, served)
    await ready(pool, real.at)
    named = {"name": Raw(b'"simple-prompt"')}
    prompt = await ask(pool, real.at, UpstreamRequest(method="prompts/get", params=named))
    assert json.loads(bytes(prompt.result))["messages"]
    uri = {"uri": Raw(b'"demo://resource/dynamic/text/1"')}
    read = await ask(pool, real.at, UpstreamRequest(method="resources/read", params=uri, asker=ANN))
    assert json.loads(bytes(read.result))["contents"]


async def test_a_real_server_of_both_eras_is_spoken_to_in_the_callers(pool, served):
    real = await sdk_server("auto", served)
    await ready(pool, real.at)
    assert pool.health(real.at.id).era == "modern"
    for era in ("modern", "legacy"):
        told = text(await ask(pool, real.at, call("declared", era=era, asker=ANN)))
        assert told.keys() == {"elicitation", "sampling", "roots"}
    exchange = pool.begin(real.at.id, call("greet", era="legacy", asker=ANN), None)
    accept = {"action": "accept", "content": {"name": "Ann"}}
    asked, result = await answered(exchange, {"elicitation/create": accept})
    assert asked == ["elicitation/create"]
    assert b"Hello Ann" in result
    assert pool.counts()["tasks"] == 2


async def test_a_real_modern_server_tells_of_its_lists_and_its_resources(pool, served):
    real = await sdk_server("modern", served)
    await ready(pool, real.at)
    changed, updated = [], []
    pool.on_updated(lambda server, uri: updated.append((server, uri)))
    pool.subscribe(real.at.id, frozenset({"res://counter"}))
    pool.on_list_changed(changed.append)

    async def touched():
        await ask(pool, real.at, call("touch"))
        return updated and changed

    for _ in range(500):  # it listens anew at its own pace
        if await touched():
            break
    assert set(updated) == {(real.at.id, "res://counter")}
    assert set(changed) == {real.at.id}
