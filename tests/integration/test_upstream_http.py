"""Servers over streamable HTTP: both eras, what goes over the wire, and how requests are kept."""

import asyncio
import json

import pytest
from msgspec import Raw
from tests.upstreams import pools
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import Secrets, ask, call, each_loop, http, make_pool, ready, text, until

from gatelodge.core.errors import KeyUnreachable, UpstreamBrokeProtocol, UpstreamUnreachable
from gatelodge.core.protocol.upstream_headers import header_value, mirrors
from gatelodge.ports.upstream import UpstreamRequest

pytestmark = [pytest.mark.anyio, each_loop]

MODERN, LEGACY = "2026-07-28", "2025-11-25"


@pytest.fixture
async def upstream():
    made = await HttpUpstream().start()
    yield made
    await made.stop()


@pytest.fixture
async def pool():
    made = make_pool(Secrets(TOKEN="s3cret", BAD="a\r\nX: y"))
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


@pytest.mark.parametrize(
    ("era", "wish", "spoken"),
    [
        ("both", "auto", "modern"),
        ("modern", "auto", "modern"),
        ("legacy", "auto", "legacy"),
        ("both", "legacy", "legacy"),
        ("both", "modern", "modern"),
    ],
)
async def test_the_era_of_a_server_is_found_out(pool, upstream, era, wish, spoken):
    upstream.era = era
    at = http(upstream.url, era=wish)
    await ready(pool, at)
    assert pool.health(at.id).era == spoken
    assert text(await ask(pool, at, call("echo", {"a": 1}))) == {"a": 1}
    assert bool(upstream.of("server/discover")) is (wish != "legacy")
    assert bool(upstream.of("initialize")) is (spoken == "legacy")


@pytest.mark.parametrize(("era", "wish"), [("legacy", "modern"), ("modern", "legacy")])
async def test_a_server_without_the_wished_era_is_refused(pool, upstream, era, wish):
    upstream.era = era
    with pytest.raises(UpstreamBrokeProtocol):
        await pool.observe(http(upstream.url, era=wish))


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
async def test_each_legacy_revision_is_taken_and_named_back(pool, upstream, version):
    upstream.era, upstream.version = "legacy", version
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("echo"))
    assert pool.health(at.id).version == version
    assert upstream.of("tools/call")[0].header("MCP-Protocol-Version") == version


async def test_an_unknown_legacy_revision_is_refused(pool, upstream):
    upstream.era, upstream.version = "legacy", "2030-01-01"
    with pytest.raises(UpstreamBrokeProtocol):
        await pool.observe(http(upstream.url))


async def test_a_modern_request_tells_all_about_itself(pool, upstream):
    at = http(upstream.url, headers={"Authorization": "env:TOKEN", "X-Team": "blue"})
    await ready(pool, at)
    asked = call(
        "naïve tool", meta={"a/b": Raw(b"1E400"), "progressToken": Raw(b"5")}, client="cc/2"
    )
    await ask(pool, at, asked)
    seen = upstream.of("tools/call")[0]
    assert seen.path == "/mcp?key=1"
    assert seen.header("Host") == f"127.0.0.1:{upstream.port}"
    assert seen.header("Accept") == "application/json, text/event-stream"
    assert seen.header("MCP-Protocol-Version") == MODERN
    assert seen.header("Mcp-Method") == "tools/call"
    assert seen.header("Mcp-Name") == "=?base64?bmHDr3ZlIHRvb2w=?="
    assert seen.header("Authorization") == "s3cret"
    assert seen.header("X-Team") == "blue"
    assert seen.header("Mcp-Session-Id") is None
    assert b'"a/b":1E400' in seen.body
    assert seen.message["params"]["_meta"].keys() == {
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/clientInfo",
        "a/b",
    }
    meta = seen.message["params"]["_meta"]
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
    named = meta["io.modelcontextprotocol/clientInfo"]
    assert named == {"name": "gatelodge", "version": "9.9 (cc/2)"}


@pytest.mark.parametrize(
    ("method", "member", "value"),
    [
        ("prompts/get", "name", "greet"),
        ("resources/read", "uri", "file:///naïve"),
        ("tasks/get", "taskId", "t-1"),
        ("tasks/update", "taskId", "t-1"),
        ("tasks/cancel", "taskId", "t-1"),
        ("completion/complete", "", ""),
    ],
)
@pytest.mark.parametrize("named", [True, False])
async def test_each_method_names_in_its_header_what_it_is_about(
    pool, upstream, method, member, value, named
):
    at = http(upstream.url)
    await ready(pool, at)
    upstream.methods[method] = lambda talk: talk.result({})
    params = {member: Raw(json.dumps(value).encode())} if member else {}
    for said in (value, "another") if member == "taskId" else (value,):
        params = {member: Raw(json.dumps(said).encode())} if member else {}
        name = said if named and member else ""
        await ask(pool, at, UpstreamRequest(method=method, params=params, name=name))
        seen = upstream.of(method)[-1]
        assert seen.header("Mcp-Method") == method
        given = seen.header("Mcp-Name")
        assert given == (header_value(said) if member else None)


async def test_a_legacy_request_bears_its_session_and_nothing_modern(pool, upstream):
    upstream.era = "legacy"
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("echo"))
    first = upstream.of("initialize")[0]
    assert first.header("MCP-Protocol-Version") is None
    assert first.message["params"]["capabilities"] == {}
    assert upstream.of("notifications/initialized")[0].header("Mcp-Session-Id") == "session-1"
    seen = upstream.of("tools/call")[0]
    assert seen.header("Mcp-Session-Id") == "session-1"
    assert seen.header("MCP-Protocol-Version") == LEGACY
    assert seen.header("Mcp-Method") is None
    assert "_meta" not in seen.message["params"]
    await pool.close()
    assert upstream.requests[-1].verb == "DELETE"


async def test_the_end_of_the_pool_cuts_no_goodbye_short(pool, upstream):
    upstream.era = "legacy"
    answers = asyncio.Event()
    upstream.methods["DELETE"] = lambda _: answers.wait()
    at = http(upstream.url)
    await ready(pool, at)
    await asyncio.gather(ask(pool, at, call("echo")), ask(pool, at, call("echo")))
    await pool.reconcile(())
    await until(lambda: upstream.requests[-1].verb == "DELETE", "its session is ended")
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    answers.set()
    await closing
    await until(lambda: not upstream.open, "every connection is closed")


@pytest.mark.guarantee("protocol:lossless")
async def test_arguments_pass_byte_for_byte(pool, upstream):
    at = http(upstream.url)
    await ready(pool, at)
    exact = b'{ "n":123456789012345678901234567890, "e":1E400,"s":"\\u00e9/\\/" }'
    upstream.tools["echo"] = lambda talk: talk.answer(
        "200 OK",
        b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (talk.seen.message["id"], exact),
    )
    params = {"name": Raw(b'"echo"'), "arguments": Raw(exact)}
    reply = await ask(pool, at, UpstreamRequest(method="tools/call", name="echo", params=params))
    assert exact in upstream.of("tools/call")[0].body
    assert bytes(reply.result) == exact


async def test_marked_arguments_are_repeated_in_headers(pool, upstream):
    at = http(upstream.url)
    await ready(pool, at)
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "x-mcp-header": "City"},
            "deep": {"properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
            "gone": {"type": "boolean", "x-mcp-header": "Gone"},
        },
    }
    wanted = mirrors(Raw(json.dumps(schema).encode()))
    arguments = {"city": "Zürich", "deep": {"n": 42.0}, "gone": None}
    await ask(pool, at, call("echo", arguments, mirrors=wanted))
    seen = upstream.of("tools/call")[0]
    assert seen.header("Mcp-Param-City") == "=?base64?WsO8cmljaA==?="
    assert seen.header("Mcp-Param-N") == "42"
    assert seen.header("Mcp-Param-Gone") is None


async def test_tools_with_invalid_header_marks_are_left_out_and_counted(pool, upstream):
    bad = {"type": "object", "properties": {"a": {"type": "number", "x-mcp-header": "A"}}}
    upstream.definitions = [{"name": "good"}, {"name": "bad", "inputSchema": bad}, {"name": ""}]
    at = http(upstream.url)
    await ready(pool, at)
    observed = await pool.observe(at)
    assert pools.names(observed) == ["good"]
    assert observed.refused == (
        "tool 2: the x-mcp-header of a parameter is not valid",
        "tool 3: it has no usable name",
    )
    assert "2 unusable tools" in pool.health(at.id).detail
    upstream.era = "legacy"
    old = http(upstream.url, name="old", era="legacy")
    assert pools.names(await pool.observe(old)) == ["good", "bad"]


async def test_connections_are_kept_and_shared(pool, upstream):
    upstream.tells = False
    at = http(upstream.url)
    await ready(pool, at)
    before = upstream.connections
    for number in range(20):
        assert text(await ask(pool, at, call("echo", number))) == number
    assert upstream.connections == before
    await asyncio.gather(*(ask(pool, at, call("echo", n)) for n in range(50)))
    assert upstream.connections <= before + 50
    # One that was opened and not needed, as another was free again, may not be accepted yet.
    await until(lambda: pool.counts()["connections"] == upstream.connections, "each is there")


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_stream_brings_progress_and_the_answer(pool, upstream, era):
    upstream.era, upstream.tells = era, False
    at = http(upstream.url)
    await ready(pool, at)

    def streamed(talk):
        number = talk.seen.message["id"]
        token = talk.seen.message["params"]["_meta"]["progressToken"]
        talk.stream()
        talk.chunk(b": comment\r\nid: 1\r\ndata:\r\n\r\n")
        for found in (token, 999_999):
            params = {"progressToken": found, "progress": 1}
            talk.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        talk.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x"}})
        talk.event({"jsonrpc": "2.0", "id": 12345678, "result": {"not": "ours"}})
        body = json.dumps({"jsonrpc": "2.0", "id": number, "result": {"ok": True}})
        for piece in (f"event: message\ndata: {body[:9]}", f"{body[9:]}\n", "\n"):
            talk.chunk(piece)
        talk.end()

    upstream.tools["echo"] = streamed
    heard = []
    asked = call("echo", meta={"progressToken": Raw(b'"mine"')})
    reply = await ask(pool, at, asked, lambda method, params: heard.append((method, params)))
    assert json.loads(bytes(reply.result)) == {"ok": True}
    assert [method for method, _ in heard] == ["notifications/progress", "notifications/message"]
    assert json.loads(heard[0][1])["progressToken"] == "mine"
    before = upstream.connections
    upstream.tools.clear()
    await ask(pool, at, call("echo"))
    assert upstream.connections == before


async def test_a_legacy_server_that_asks_is_answered(pool, upstream):
    upstream.era = "legacy"
    at = http(upstream.url)
    await ready(pool, at)

    def asking(talk):
        talk.stream()
        talk.event({"jsonrpc": "2.0", "id": "q1", "method": "ping"})
        talk.event({"jsonrpc": "2.0", "id": "q2", "method": "sampling/createMessage"})
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": {}})
        talk.end()

    upstream.tools["echo"] = asking
    await ask(pool, at, call("echo"))

    def answers():
        posts = [r.message for r in upstream.requests if r.verb == "POST"]
        return {m["id"]: m for m in posts if str(m.get("id", "")).startswith("q")}

    await until(lambda: len(answers()) == 2, "both are answered")
    assert answers()["q1"]["result"] == {}
    assert answers()["q2"]["error"]["code"] == -32021


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_an_abort_reaches_the_server(pool, upstream, era):
    upstream.era = era
    at = http(upstream.url)
    await ready(pool, at)
    held = []
    upstream.tools["echo"] = held.append
    exchange = pool.begin(at.id, call("echo"), None)
    await until(lambda: held, "the call came")
    exchange.abort("revoked")
    with pytest.raises(asyncio.CancelledError):
        await exchange.reply
    writer = held[0].writer
    await until(lambda: writer not in upstream.open, "its connection is closed")
    if era == "legacy":
        [cancelled] = await until(lambda: upstream.of("notifications/cancelled"), "told")
        expected = {"requestId": held[0].seen.message["id"], "reason": "revoked"}
        assert cancelled.message["params"] == expected
    else:
        assert not upstream.of("notifications/cancelled")
    assert pool.counts()["calls"] == 0


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_change_of_tools_is_heard_and_a_lost_stream_is_opened_again(pool, upstream, era):
    upstream.era = era
    changed = []
    pool.on_list_changed(changed.append)
    at = http(upstream.url)
    await ready(pool, at)
    await until(lambda: upstream.listening, "it listens")
    assert changed == [at.id]  # it was met
    upstream.listening[0].event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    await until(lambda: changed == [at.id] * 2, "heard")
    upstream.listening[0].close()
    await until(lambda: len(upstream.listening) == 2, "opened again")
    await until(lambda: changed == [at.id] * 3, "what was said meanwhile may have been missed")


async def test_a_session_lost_while_listening_is_begun_anew(pool, upstream):
    upstream.era = "legacy"
    at = http(upstream.url)
    await ready(pool, at)
    await until(lambda: upstream.listening, "it listens")
    upstream.session = "session-2"
    upstream.listening[0].close()
    await until(lambda: len(upstream.of("initialize")) == 2, "begun anew")
    await until(lambda: upstream.listening[-1].seen.header("Mcp-Session-Id") == "session-2", "")


async def test_a_legacy_server_without_a_stream_is_left_in_peace(pool, upstream):
    upstream.era, upstream.stream = "legacy", False
    at = http(upstream.url)
    await ready(pool, at)
    await until(lambda: [r for r in upstream.requests if r.verb == "GET"], "asked once")
    await ask(pool, at, call("echo"))
    assert len([r for r in upstream.requests if r.verb == "GET"]) == 1


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Host": "x"}, UpstreamUnreachable),
        ({"content-length": "1"}, UpstreamUnreachable),
        ({"Mcp-Session-Id": "x"}, UpstreamUnreachable),
        ({"A b": "x"}, UpstreamUnreachable),
        ({"X-Key": "env:BAD"}, UpstreamUnreachable),
        ({"X-Key": "env:ABSENT"}, KeyUnreachable),
    ],
)
async def test_headers_that_must_not_be_sent_are_refused(pool, upstream, headers, error):
    with pytest.raises(error) as refused:
        await pool.observe(http(upstream.url, headers=headers))
    assert "X: y" not in f"{refused.value.detail} {refused.value.remedy}"
    assert not upstream.requests
