"""What a server offers is observed, and watched: lists, their changes, single resources."""

import asyncio
import json

import pytest
from tests.upstreams.asking.relay import Relay
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import (
    ask,
    asker,
    asking,
    call,
    http,
    make_pool,
    names,
    ready,
    stdio,
    text,
    until,
)

from gatelodge.config.schema import LimitSettings
from gatelodge.core.errors import LimitReached, UpstreamError

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ALL = ["resources", "prompts", "tools"]


@pytest.fixture
async def relay():
    made = await Relay(via="get").start()
    yield made
    await made.stop()


@pytest.fixture
async def upstream():
    made = await HttpUpstream().start()
    made.can = {"prompts": {"listChanged": True}, "resources": {"subscribe": True}}
    yield made
    await made.stop()


@pytest.fixture
async def pool(relay, upstream):
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


@pytest.fixture(params=["modern", "legacy", "get", pytest.param("sse", marks=pytest.mark.slow)])
async def at(request, relay):
    """A server that has everything: over stdio in each era, over HTTP, and over HTTP with SSE."""
    if request.param in ("modern", "legacy"):
        return asking(request.param)
    relay.via = request.param
    return http(relay.url)


def keys(items, key):
    return [found[key] for found in map(json.loads, map(bytes, items)) if key in found]


async def test_every_list_is_read_and_kept_as_it_was_sent(pool, at):
    observed = await pool.observe(at)
    assert "echo" in names(observed)
    assert keys(observed.prompts, "name") == ["greet", "part"]
    assert keys(observed.resources, "uri") == ["a:1"]
    assert keys(observed.templates, "uriTemplate") == ["a:{n}"]
    assert keys(observed.prompts[1:], "x") == [1]
    assert json.loads(bytes(observed.capabilities))["completions"] == {}
    assert observed.instructions in ("L", "M")
    assert observed.refused == ()


async def test_only_what_a_server_declares_is_asked_for(pool, upstream):
    upstream.can = {}
    observed = await pool.observe(http(upstream.url))
    assert names(observed) == ["echo"]
    asked = {seen.message["method"] for seen in upstream.requests if seen.verb == "POST"}
    assert not asked & {"prompts/list", "resources/list", "resources/templates/list"}


async def test_a_server_without_tools_is_read_too(pool, upstream):
    upstream.can["tools"] = {}
    absent = {"code": -32601, "message": "Method not found"}
    upstream.methods["tools/list"] = lambda talk: talk.answer(
        "404 Not Found", {"jsonrpc": "2.0", "id": talk.seen.message["id"], "error": absent}
    )
    upstream.methods["prompts/list"] = lambda talk: talk.result({"prompts": [{"name": "p"}]})
    observed = await pool.observe(http(upstream.url))
    assert (observed.tools, keys(observed.prompts, "name")) == ((), ["p"])


async def test_a_list_that_fails_does_not_lose_the_tools_and_is_told(pool, upstream):
    upstream.methods["prompts/list"] = lambda talk: talk.answer("500 Oh", b"secret words")
    upstream.methods["resources/list"] = lambda talk: talk.result({"resources": "odd"})
    at = http(upstream.url)
    await ready(pool, at)
    observed = await pool.observe(at)
    assert names(observed) == ["echo"]
    assert (observed.prompts, observed.resources, observed.templates) == ((), (), ())
    assert observed.unread == {"prompts", "resources"}
    detail = pool.health(at.id).detail
    assert "Its prompts could not be read." in detail
    assert "Its resources could not be read." in detail
    assert "templates" not in detail
    assert "secret" not in detail


async def test_lists_have_bounds_and_only_the_tools_matter(upstream):
    pool = make_pool(limits=LimitSettings(list_seconds=0.5))

    def endless(member):
        def page(talk):
            cursor = talk.seen.message["params"].get("cursor", "0")
            talk.result({member: [{"name": "n"}], "nextCursor": str(int(cursor) + 1)})

        return page

    upstream.methods["prompts/list"] = endless("prompts")
    upstream.methods["resources/list"] = lambda talk: None  # no answer within the time
    observed = await pool.observe(http(upstream.url))
    assert (names(observed), observed.prompts, observed.resources) == (["echo"], (), ())
    upstream.methods["tools/list"] = endless("tools")
    with pytest.raises(LimitReached):
        await pool.observe(http(upstream.url))
    await pool.close()


async def test_a_server_with_too_many_tools_keeps_those_that_were_known_and_is_told_of(upstream):
    pool = make_pool(limits=LimitSettings(tools_per_server=3))
    at = http(upstream.url)
    await ready(pool, at)
    upstream.definitions = [{"name": f"t{number}", "inputSchema": {}} for number in range(4)]
    with pytest.raises(LimitReached, match="more than 3 tools"):
        await pool.observe(at)
    assert "more than 3 tools" in pool.health(at.id).detail
    upstream.definitions.pop()
    assert len((await pool.observe(at)).tools) == 3
    assert "tools" not in pool.health(at.id).detail
    await pool.close()


ENDS = {
    "an empty cursor": ({"": ""}, ""),
    "null for a cursor": ({"": None}, ""),
    "the same cursor again": ({"": "one", "one": "one"}, "circle"),
    "a cursor that was there before": ({"": "one", "one": "two", "two": "one"}, "circle"),
    "a cursor that it does not know itself": ({"": "odd"}, "refuses its own cursor"),
}
"""Which cursor comes after which; the first page has none."""


@pytest.mark.parametrize(("after", "said"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("listed", ["tools", "prompts"])
async def test_a_list_that_ends_badly_is_what_was_read_of_it(pool, upstream, listed, after, said):
    def page(talk):
        cursor = talk.seen.message["params"].get("cursor", "")
        if cursor in after:
            talk.result({listed: [{"name": f"page {cursor}"}], "nextCursor": after[cursor]})
        else:
            fault = {"code": -32602, "message": "which?"}
            number = talk.seen.message["id"]
            talk.answer("200 OK", {"jsonrpc": "2.0", "id": number, "error": fault})

    upstream.can = {listed: {}}
    upstream.methods[f"{listed}/list"] = page
    at = http(upstream.url, era="modern")
    await ready(pool, at)
    observed = await pool.observe(at)
    assert keys(getattr(observed, listed), "name") == [f"page {cursor}" for cursor in after]
    assert said in pool.health(at.id).detail


async def test_a_server_is_told_of_when_it_is_met_and_when_its_lists_change(pool, at):
    changed = []
    pool.on_list_changed(changed.append)
    await ready(pool, at)
    assert changed == [at.id]
    for what in ALL:
        changed.clear()
        await ask(pool, at, call("change", {"what": what}))
        await until(lambda: changed == [at.id], f"{what} changed")


async def test_a_change_that_a_callers_own_session_tells_counts_too(pool, at):
    await ready(pool, at)
    changed = []
    pool.on_list_changed(changed.append)
    await ask(pool, at, call("change", {"what": "tools"}, asker=asker("ann", roots={})))
    await until(lambda: changed, "told")


async def test_a_server_that_is_reached_once_tells_nobody(pool, at):
    changed = []
    pool.on_list_changed(changed.append)
    await pool.observe(at)
    assert changed == []


async def test_behind_looks_that_overlap_a_server_is_looked_at_once_more(pool, at):
    await ready(pool, at)
    changed = []
    pool.on_list_changed(changed.append)
    await pool.observe(at)
    assert changed == [], "one alone is the newest"
    await asyncio.gather(pool.observe(at), pool.observe(at), pool.observe(at))
    assert changed == [at.id]


async def watched(pool, at):
    """What the server is asked to watch, and how often it was asked to listen."""
    seen = text(await ask(pool, at, call("seen")))
    listening = [wanted for _, wanted in seen["listening"]]
    modern = [uri for wanted in listening for uri in wanted.get("resourceSubscriptions", ())]
    return sorted([*seen["watched"], *modern]), len(listening)


async def until_watched(pool, at, uris):
    for _ in range(2000):
        found = await watched(pool, at)
        if found[0] == uris and found[1] < 2:
            return
    pytest.fail(f"{found} is watched, not {uris}")


async def test_exactly_the_wanted_resources_are_watched(pool, at):
    await ready(pool, at)
    heard = []
    pool.on_updated(lambda *told: heard.append(told))
    for uris in (["a:1", "b:2"], ["b:2", "c:3"], [], ["a:1"]):
        pool.subscribe(at.id, frozenset(uris))
        await until_watched(pool, at, uris)
    for uri in ("c:3", "a:1"):
        await ask(pool, at, call("touch", {"uri": uri}))
    await until(lambda: heard, "told")
    assert heard == [(at.id, "a:1")]


async def test_watched_resources_are_watched_again_after_a_loss(pool, at):
    await ready(pool, at)
    pool.subscribe(at.id, frozenset({"a:1"}))
    await until_watched(pool, at, ["a:1"])
    heard = []
    pool.on_updated(lambda *told: heard.append(told))
    with pytest.raises(UpstreamError):
        await ask(pool, at, call("die"))
    await until(lambda: heard == [(at.id, "a:1")], "it may have changed meanwhile")
    await until(lambda: pool.health(at.id).state == "ready", "met again")
    await until_watched(pool, at, ["a:1"])


async def test_what_was_wanted_before_the_server_was_met_is_watched(pool, at):
    await pool.reconcile((at,))
    pool.subscribe(at.id, frozenset({"a:1"}))
    await until(lambda: pool.health(at.id).state == "ready", "ready")
    await until_watched(pool, at, ["a:1"])


async def test_a_new_definition_keeps_what_is_watched_and_a_removed_server_forgets_it(pool):
    at, other = asking("legacy"), asking("legacy", env={"A": "1"})
    await ready(pool, at)
    pool.subscribe(at.id, frozenset({"a:1"}))
    await pool.reconcile((other,))
    await until_watched(pool, other, ["a:1"])
    await pool.reconcile(())
    pool.subscribe(at.id, frozenset({"b:2"}))
    await ready(pool, at)
    assert await watched(pool, at) == ([], 0)


async def test_another_set_is_listened_to_before_the_old_stream_is_closed(pool, upstream):
    upstream.era = "modern"
    at = http(upstream.url)
    await ready(pool, at)
    await until(lambda: len(upstream.listening) == 1, "it listens")
    first = upstream.listening[0]
    wanted = first.seen.message["params"]["notifications"]
    assert wanted == {"toolsListChanged": True, "promptsListChanged": True}
    pool.subscribe(at.id, frozenset({"a:1"}))
    await until(lambda: len(upstream.listening) == 2, "it listens anew")
    wanted = upstream.listening[1].seen.message["params"]["notifications"]
    assert wanted["resourceSubscriptions"] == ["a:1"]
    assert wanted["toolsListChanged"] is True
    await until(lambda: first.writer not in upstream.open, "the old one is closed")
    assert upstream.listening[1].writer in upstream.open


async def test_a_set_that_is_refused_leaves_the_old_stream_open(pool, upstream):
    upstream.era = "modern"
    at = http(upstream.url)
    await ready(pool, at)
    await until(lambda: upstream.listening, "it listens")
    refused = {"code": -32602, "message": "no such resource"}
    upstream.methods["subscriptions/listen"] = lambda talk: talk.answer(
        "400 Bad", {"jsonrpc": "2.0", "id": talk.seen.message["id"], "error": refused}
    )
    pool.subscribe(at.id, frozenset({"a:1"}))
    await until(lambda: len(upstream.of("subscriptions/listen")) == 2, "it was asked")
    changed = []
    pool.on_list_changed(changed.append)
    told = {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"}
    upstream.listening[0].event(told)
    await until(lambda: changed, "still heard")


async def test_a_server_that_tells_nothing_is_not_listened_to(pool, upstream):
    upstream.era, upstream.tells, upstream.can = "modern", False, {}
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("echo"))
    assert not upstream.of("subscriptions/listen")
    pool.subscribe(at.id, frozenset({"a:1"}))
    await until(lambda: upstream.listening, "now it is")
    pool.subscribe(at.id, frozenset())
    await until(lambda: upstream.listening[0].writer not in upstream.open, "and no more")


async def test_a_tool_that_wants_other_headers_is_looked_at_again(pool, upstream):
    upstream.era = "modern"
    at = http(upstream.url)
    await ready(pool, at)
    changed = []
    pool.on_list_changed(changed.append)
    mismatch = {"code": -32020, "message": "header mismatch"}
    upstream.tools["echo"] = lambda talk: talk.answer(
        "400 Bad Request", {"jsonrpc": "2.0", "id": talk.seen.message["id"], "error": mismatch}
    )
    reply = await ask(pool, at, call("echo"))
    assert json.loads(bytes(reply.error))["code"] == -32020
    assert changed == [at.id]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_change_of_tools_only_is_all_that_a_plain_server_is_asked_for(pool, era):
    at = stdio(era)
    await ready(pool, at)
    observed = await pool.observe(at)
    assert (observed.prompts, observed.resources, observed.templates) == ((), (), ())
    assert json.loads(bytes(observed.capabilities)) == {"tools": {"listChanged": True}}
