"""Which session carries a request: the shared one, one of the caller's own, in which era."""

import asyncio
import contextlib
import json
import os

import pytest
from msgspec import structs
from tests.upstreams.asking.relay import Relay
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import (
    ASKING,
    ROOT,
    WAIT,
    alive,
    ask,
    asker,
    asking,
    call,
    http,
    make_pool,
    reachable,
    ready,
    stdio,
    text,
    until,
)

from gatelodge.adapters.upstream import connection
from gatelodge.config.schema import UpstreamSettings
from gatelodge.core.errors import LimitReached, UpstreamError, UpstreamUnreachable
from gatelodge.ports.upstream import UpstreamRequest

pytestmark = pytest.mark.anyio

SAYS = {"elicitation": {"form": {}}, "roots": {}}
ANN, BOB = asker("ann", **SAYS), asker("bob", **SAYS)
NOTHING = {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


@pytest.fixture
async def relay():
    made = await Relay(via="post").start()
    yield made
    await made.stop()


@pytest.fixture
async def upstream():
    made = await HttpUpstream(many=True).start()
    yield made
    await made.stop()


@pytest.fixture
async def pool(relay, upstream):
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == NOTHING


@pytest.fixture(
    params=[
        pytest.param("stdio", marks=pytest.mark.slow),
        "post",
        pytest.param("sse", marks=pytest.mark.slow),
    ]
)
async def at(request, relay):
    """A legacy server that tells what was declared to it, by each way."""
    relay.via = request.param
    return asking("legacy") if request.param == "stdio" else http(relay.url)


async def said(pool, at, **fields):
    return text(await ask(pool, at, call("declared", **fields)))


async def test_whoever_declares_nothing_shares_one_session(pool, at):
    await ready(pool, at)
    tasks = {"io.modelcontextprotocol/tasks": {}}  # which says nothing to a legacy server
    askers = (asker("ann"), asker("bob"), asker("cho", extensions=tasks))
    told = [await said(pool, at, asker=each) for each in askers]
    assert told[0] == told[1] == told[2]
    assert told[0]["capabilities"] == {}
    assert pool.counts()["tasks"] == 1


async def test_a_session_declares_what_its_callers_client_declared(pool, at):
    await ready(pool, at)
    first, again = await said(pool, at, asker=ANN), await said(pool, at, asker=ANN)
    assert first["capabilities"] == SAYS
    assert first["level"] is None
    assert again["pid"] == first["pid"]
    assert (await said(pool, at))["capabilities"] == {}


async def test_each_principal_each_declaration_and_each_level_has_its_own(pool, at):
    await ready(pool, at)
    askers = [ANN, BOB, asker("ann", roots={}), asker("ann", "debug", **SAYS), asker("ann", "info")]
    told = [await said(pool, at, asker=each) for each in askers]
    assert len({each["pid"] for each in told}) == len(askers)
    assert [each["level"] for each in told] == [None, None, None, "debug", "info"]
    assert told[4]["capabilities"] == {}
    assert pool.counts()["tasks"] == 1 + len(askers)


async def test_a_level_that_the_server_does_not_take_needs_no_session(pool, upstream):
    upstream.era = "legacy"
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("echo", asker=asker("ann", "debug")))
    assert len(upstream.of("initialize")) == 1
    assert not upstream.of("logging/setLevel")


async def test_changed_roots_are_told_to_the_sessions_of_the_client_that_tells_of_them(pool, at):
    await ready(pool, at)
    tells = {"roots": {"listChanged": True}}
    told = [asker("ann", **tells), asker("ann", "debug", **tells)]
    others = [asker("bob", **tells), asker("ann", roots={}), asker("ann", sampling={}, **tells)]
    shared = [asker("ann"), asker("ann", "debug")]
    for each in (*told, *others, *shared):
        assert (await said(pool, at, asker=each))["capabilities"] == json.loads(each.capabilities)
    for each in (*told[:1], *others[1:2], *shared):
        pool.roots_changed(each)

    async def heard(whose):
        seen = text(await ask(pool, at, call("seen", asker=whose)))["told"]
        return [each["method"] for each in seen].count("notifications/roots/list_changed")

    async with asyncio.timeout(WAIT):
        for each in told:
            while not await heard(each):
                pass  # it goes beside the requests, and may come after them
    assert [await heard(each) for each in (*told, *others, *shared)] == [1, 1, 0, 0, 0, 0, 0]


async def test_a_request_that_came_before_the_server_goes_to_its_session(pool, at):
    await pool.reconcile((at,))
    told = await asyncio.gather(*(said(pool, at, asker=each) for each in (ANN, BOB, asker("ann"))))
    assert [each["capabilities"] for each in told] == [SAYS, SAYS, {}]
    assert len({each["pid"] for each in told}) == 3


async def test_an_idle_session_is_closed_and_the_next_request_begins_another(at):
    pool = make_pool(upstream=UpstreamSettings(start_seconds=15.0, session_idle_seconds=0.3))
    await ready(pool, at)
    first = await said(pool, at, asker=ANN)
    await until(lambda: pool.counts()["tasks"] == 1, "closed")
    await until(lambda: not alive(first["pid"]), "its server's end is gone too")
    assert (await said(pool, at, asker=ANN))["pid"] != first["pid"]
    await pool.close()


async def test_a_session_with_a_running_call_is_not_idle():
    pool = make_pool(upstream=UpstreamSettings(start_seconds=15.0, session_idle_seconds=0.1))
    at = asking("legacy")
    await ready(pool, at)
    exchange = pool.begin(at.id, call("hang", asker=ANN, seconds=0.6), None)
    with pytest.raises(UpstreamError) as late:
        await exchange.reply
    assert "within 0.6 s" in late.value.detail
    await pool.close()


async def test_more_sessions_than_allowed_are_refused_with_the_setting(at):
    pool = make_pool(upstream=UpstreamSettings(start_seconds=15.0, sessions_per_server=2))
    await ready(pool, at)
    busy = []
    for each in (ANN, BOB):
        await said(pool, at, asker=each)
        busy.append(pool.begin(at.id, call("hang", asker=each), None))
    with pytest.raises(LimitReached) as refused:
        await said(pool, at, asker=asker("cho", **SAYS))
    assert "upstream.sessions_per_server" in refused.value.remedy
    assert (await said(pool, at, asker=asker("cho")))["capabilities"] == {}
    for exchange in busy:
        exchange.abort("cancelled")
    assert (await said(pool, at, asker=asker("cho", **SAYS)))["capabilities"] == SAYS
    await pool.close()


async def test_the_agents_of_one_person_leave_sessions_to_others(at):
    pool = make_pool(upstream=UpstreamSettings(start_seconds=15.0, sessions_per_server=4))
    await ready(pool, at)
    agents = [structs.replace(asker(f"a{n}", **SAYS), person="ann") for n in range(3)]
    busy = []
    for each in (*agents[:2], BOB):
        await said(pool, at, asker=each)
        busy.append(pool.begin(at.id, call("hang", asker=each), None))
    for each in (agents[2], ANN):
        with pytest.raises(LimitReached):
            await said(pool, at, asker=each)
    assert (await said(pool, at, asker=asker("cho", **SAYS)))["capabilities"] == SAYS
    for exchange in busy:
        exchange.abort("cancelled")
    await pool.close()


async def test_what_waits_for_a_server_to_start_is_shared_by_person(pool, at, monkeypatch):
    monkeypatch.setattr(connection, "MOST_HELD", 4)
    await pool.reconcile((at,))
    people = ["ann", "ann", "ann", "bob", "bob", "cho", "dan"]
    asked = [
        pool.begin(at.id, call("declared", asker=structs.replace(asker(f"a{n}"), person=who)), None)
        for n, who in enumerate(people)
    ]
    ended = await asyncio.gather(*(each.reply for each in asked), return_exceptions=True)
    refused = [isinstance(each, LimitReached) for each in ended]
    assert refused == [False, False, True, False, True, False, True]


@pytest.mark.guarantee("revoke:under-a-second")
async def test_who_leaves_takes_their_sessions_along_and_nobody_elses(pool, at):
    await ready(pool, at)
    pids = [(await said(pool, at, asker=each))["pid"] for each in (ANN, BOB, asker("ann"))]
    running = pool.begin(at.id, call("hang", asker=ANN), None)
    pool.leave("ann")
    with pytest.raises(UpstreamError):
        await running.reply
    await until(lambda: not alive(pids[0]), "the session is gone")
    assert [(await said(pool, at, asker=each))["pid"] for each in (BOB, asker("ann"))] == pids[1:]


async def test_sessions_end_with_their_server(pool, at):
    await ready(pool, at)
    pids = [(await said(pool, at, asker=each))["pid"] for each in (ANN, BOB)]
    await pool.reconcile(())
    with pytest.raises(UpstreamUnreachable):
        await said(pool, at, asker=ANN)
    await until(lambda: pool.counts() == NOTHING, "all ended")
    assert not any(alive(pid) for pid in pids)


async def test_a_session_that_dies_leaves_the_others_and_is_begun_anew(pool, at):
    await ready(pool, at)
    shared = (await said(pool, at))["pid"]
    first = (await said(pool, at, asker=ANN))["pid"]
    with pytest.raises(UpstreamError):
        await ask(pool, at, call("die", asker=ANN))
    assert (await said(pool, at))["pid"] == shared

    def asked():
        exchange = pool.begin(at.id, call("declared", asker=ANN), None)
        return None if exchange.reply.done() and exchange.reply.exception() else exchange

    exchange = await until(asked, "it may be tried again")
    assert text(await exchange.reply)["pid"] not in (first, shared)
    assert pool.health(at.id).restarts == 0


async def test_a_lost_session_is_begun_anew_with_the_same_declaration(pool, upstream):
    upstream.era = "legacy"
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("echo", asker=ANN))
    upstream.session = "session-2"
    assert text(await ask(pool, at, call("echo", 7, asker=ANN))) == 7
    declared = [s.message["params"]["capabilities"] for s in upstream.of("initialize")]
    assert declared.count(SAYS) == 2


async def test_a_session_that_cannot_be_begun_is_told_and_not_tried_without_end(pool, upstream):
    upstream.era = "legacy"
    at = http(upstream.url)
    await ready(pool, at)
    upstream.methods["initialize"] = lambda talk: talk.answer("500 Oh", b"secret words")
    for _ in range(5):
        with pytest.raises(UpstreamUnreachable):
            await ask(pool, at, call("echo", asker=ANN))
    assert len(upstream.of("initialize")) == 2
    assert "A session could not be begun" in pool.health(at.id).detail
    assert "secret" not in pool.health(at.id).detail
    assert text(await ask(pool, at, call("echo", 1))) == 1


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_a_modern_server_is_told_with_each_request(pool, upstream, way):
    upstream.era = "modern"
    at = asking("modern") if way == "stdio" else http(upstream.url)
    upstream.tools["declared"] = lambda talk: talk.result(
        {"content": [{"type": "text", "text": json.dumps(_declared(talk))}]}
    )
    await ready(pool, at)
    for asked in (ANN, asker("bob"), asker("cho", "warning", sampling={})):
        told = await said(pool, at, asker=asked)
        assert told["capabilities"] == json.loads(asked.capabilities)
        assert told["level"] == (asked.level or None)
    assert pool.counts()["tasks"] == 1


def _declared(talk):
    meta, prefix = talk.seen.message["params"]["_meta"], "io.modelcontextprotocol/"
    level = meta.get(f"{prefix}logLevel")
    return {"capabilities": meta[f"{prefix}clientCapabilities"], "level": level}


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_a_server_of_both_eras_is_spoken_to_in_the_callers(pool, upstream, way):
    at = asking("both") if way == "stdio" else http(upstream.url)
    upstream.tools["declared"] = lambda talk: talk.result(
        {"content": [{"type": "text", "text": json.dumps({"modern": _is_modern(talk), "pid": 1})}]}
    )
    await ready(pool, at)
    assert pool.health(at.id).era == "modern"
    for era, who in (("modern", ANN), ("legacy", asker("ann")), ("legacy", ANN), ("modern", BOB)):
        told = await said(pool, at, era=era, asker=who)
        assert told["modern"] is (era == "modern")
    assert pool.counts()["tasks"] == 3


def _is_modern(talk):
    return talk.seen.header("MCP-Protocol-Version") == "2026-07-28"


async def test_callers_who_declare_nothing_share_the_mirrored_session(pool, upstream):
    at = http(upstream.url)
    await ready(pool, at)
    for who in (asker("ann"), asker("bob"), asker("cho")):
        await ask(pool, at, call("echo", era="legacy", asker=who))
    assert len(upstream.of("initialize")) == 1
    assert {seen.header("Mcp-Session-Id") for seen in upstream.of("tools/call")} == {"session-1/1"}


@pytest.mark.parametrize("wish", ["modern", "legacy"])
async def test_a_definition_that_names_an_era_is_followed(pool, upstream, wish):
    at = http(upstream.url, era=wish)
    await ready(pool, at)
    for era in ("modern", "legacy"):
        await ask(pool, at, call("echo", era=era, asker=ANN))
    assert {_modern(seen) for seen in upstream.of("tools/call")} == {wish == "modern"}


def _modern(seen):
    return seen.header("MCP-Protocol-Version") == "2026-07-28"


@pytest.mark.parametrize("way", ["stdio", "http"])
async def test_a_modern_only_server_is_asked_once_and_serves_legacy_callers(pool, upstream, way):
    upstream.era = "modern"
    at = stdio("modern") if way == "stdio" else http(upstream.url)
    await ready(pool, at)
    calls = (ask(pool, at, call("echo", n, era="legacy", asker=ANN)) for n in range(5))
    assert [text(reply) for reply in await asyncio.gather(*calls)] == list(range(5))
    assert text(await ask(pool, at, call("echo", 6, era="legacy"))) == 6
    assert pool.counts()["tasks"] == 1
    assert len(upstream.of("initialize")) == (0 if way == "stdio" else 1)


async def test_what_was_found_out_is_asked_again_when_the_server_was_lost(pool, upstream):
    upstream.era = "modern"
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("echo", era="legacy"))
    upstream.era = "both"
    await ask(pool, at, call("echo", era="legacy"))
    assert len(upstream.of("initialize")) == 1
    await upstream.stop()
    while pool.health(at.id).state == "ready":
        with contextlib.suppress(UpstreamError):
            await ask(pool, at, call("echo"))
    await upstream.start()
    await until(lambda: pool.health(at.id).state == "ready", "met again")
    await ask(pool, at, call("echo", era="legacy"))
    assert upstream.of("tools/call")[-1].header("Mcp-Session-Id")


async def test_methods_of_every_kind_are_carried(pool, at):
    await ready(pool, at)
    for method in ("prompts/get", "resources/read", "completion/complete", "tasks/get"):
        for who in (ANN, asker("ann")):
            reply = await ask(pool, at, UpstreamRequest(method=method, params={}, asker=who))
            assert reply.result is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a child its own uid")
async def test_each_session_over_stdio_has_a_uid_of_its_own():
    pool = make_pool(root=True, hosting=ROOT)
    with reachable(ASKING) as script:
        at = stdio(command=("/usr/bin/python3", script, "legacy"), run_as="own")
        await ready(pool, at)
        told = [await said(pool, at, asker=each) for each in (ANN, BOB, asker("ann"))]
        await pool.close()
    assert len({each["uid"] for each in told}) == 3
    assert min(each["uid"] for each in told) >= ROOT.first_uid


async def test_the_gate_ends_with_all_of_its_sessions(at):
    pool = make_pool()
    await ready(pool, at)
    pids = [(await said(pool, at, asker=each))["pid"] for each in (ANN, BOB)]
    await pool.close()
    assert pool.counts() == NOTHING
    await until(lambda: not any(alive(pid) for pid in pids), "nothing is left")
