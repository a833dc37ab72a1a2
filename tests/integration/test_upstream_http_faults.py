"""What goes wrong with servers over HTTP, what the caller is told, and that nothing runs twice."""

import asyncio

import pytest
from tests.integration.net.certificates import certificate
from tests.upstreams import pools
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import ask, call, each_loop, http, make_pool, ready, text, until

from gatelodge.config.schema import UpstreamSettings
from gatelodge.core.errors import (
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.ports.upstream import UpstreamRequest

pytestmark = [pytest.mark.anyio, each_loop]

CANARY = "canary words of an upstream"
PAGE = CANARY.encode()
OK = "HTTP/1.1 200 OK\nContent-Type: application/json\n"


@pytest.fixture
async def upstream():
    made = await HttpUpstream().start()
    yield made
    await made.stop()


@pytest.fixture
async def pool():
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


def raw(head, body=b"", *, close=False):
    """Answer with these very bytes."""

    def tool(talk):
        talk.write(head, body)
        if close:
            talk.close()

    return tool


def status(line, body=PAGE, **headers):
    return lambda talk: talk.answer(line, body, **headers)


def of_stranger(talk):
    talk.answer("200 OK", {"jsonrpc": "2.0", "id": 999_999, "result": {}})


def half_a_stream(talk):
    talk.stream()
    talk.chunk(f'data: {{"jsonrpc":"2.0","{CANARY}')
    talk.close()


def stream_without_answer(talk):
    talk.stream()
    talk.chunk(": nothing\n\n")
    talk.end()


def error_with(line):
    def tool(talk):
        number = talk.seen.message["id"]
        fault = {"code": -32602, "message": "Unknown tool"}
        talk.answer(line, {"jsonrpc": "2.0", "id": number, "error": fault})

    return tool


BROKEN = {
    "not json": status("200 OK", b"<html>" + PAGE),
    "bad utf-8": status("200 OK", b'{"jsonrpc":"2.0","id":1,"result":"\xff"}'),
    "another id": of_stranger,
    "neither result nor error": status("200 OK", b'{"jsonrpc":"2.0","id":1}'),
    "a batch": status("200 OK", b"[]"),
    "accepted only": raw("HTTP/1.1 202 Accepted\nContent-Length: 0\n\n"),
    "closed before a byte": lambda talk: talk.close(),
    "closed in the head": raw("HTTP/1.1 200 OK\nContent-Ty", close=True),
    "closed in the body": raw(OK + "Content-Length: 99\n\n", b'{"json', close=True),
    "closed in a stream": half_a_stream,
    "a stream without an answer": stream_without_answer,
    "not http": raw("SSH-2.0-OpenSSH_9.2\n", close=False),
    "an endless head": raw("HTTP/1.1 200 OK\nX: " + "y" * 200_000),
    "an upgrade": raw("HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: x\n\n"),
    "compressed": status("200 OK", b"\x1f\x8b", Content_Encoding="gzip"),
    "a 500 page": status("500 Internal Server Error"),
    "a 502 page": status("502 Bad Gateway"),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_what_is_not_mcp_is_told_as_such_and_tools_run_once(pool, upstream, fault):
    upstream.tools["echo"] = BROKEN[fault]
    at = http(upstream.url)
    await ready(pool, at)
    with pytest.raises(UpstreamBrokeProtocol) as broke:
        await ask(pool, at, call("echo"))
    assert CANARY not in broke.value.detail + broke.value.remedy
    assert len(upstream.of("tools/call")) == 1
    assert pool.counts()["calls"] == 0
    upstream.tools.clear()
    assert text(await ask(pool, at, call("echo", 1))) == 1


REFUSED = {
    "a redirect": status("307 Temporary Redirect", Location="http://169.254.169.254/"),
    "a challenge": status("401 Unauthorized", WWW_Authenticate="Bearer x"),
    "forbidden": status("403 Forbidden"),
    "nothing there": status("404 Not Found"),
    "busy": status("503 Service Unavailable", Retry_After="7"),
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_refusal_is_told_without_its_words(pool, upstream, fault):
    upstream.tools["echo"] = REFUSED[fault]
    at = http(upstream.url)
    await ready(pool, at)
    with pytest.raises(UpstreamUnreachable) as refused:
        await ask(pool, at, call("echo"))
    assert CANARY not in refused.value.detail + refused.value.remedy
    assert len(upstream.of("tools/call")) == 1
    assert refused.value.retry_after == (7.0 if fault == "busy" else None)


@pytest.mark.parametrize("line", ["400 Bad Request", "404 Not Found", "500 Internal Server Error"])
async def test_an_error_answer_in_json_is_the_answer(pool, upstream, line):
    upstream.tools["echo"] = error_with(line)
    at = http(upstream.url)
    await ready(pool, at)
    reply = await ask(pool, at, call("echo"))
    assert bytes(reply.error) == b'{"code": -32602, "message": "Unknown tool"}'


async def test_a_body_that_ends_with_its_connection_is_whole(pool, upstream):
    def old(talk):
        body = b'{"jsonrpc":"2.0","id":%d,"result":{"ok":1}}' % talk.seen.message["id"]
        talk.write("HTTP/1.0 200 OK\nContent-Type: application/json\n\n", body)
        talk.close()

    upstream.tools["echo"] = old
    at = http(upstream.url)
    await ready(pool, at)
    assert bytes((await ask(pool, at, call("echo"))).result) == b'{"ok":1}'


async def test_interim_answers_are_passed_over(pool, upstream):
    def early(talk):
        talk.write("HTTP/1.1 103 Early Hints\nLink: x\n\n")
        talk.result({"ok": 1})

    upstream.tools["echo"] = early
    at = http(upstream.url)
    await ready(pool, at)
    assert bytes((await ask(pool, at, call("echo"))).result) == b'{"ok": 1}'


def _announced(talk):
    talk.write(OK + "Content-Length: 100000000\n\n", b"x" * 65536)


async def _poured(talk):
    talk.write(OK + "Transfer-Encoding: chunked\n\n")
    for _ in range(1600):
        talk.chunk(b"x" * 65536)
        await talk.writer.drain()


async def _streamed(talk):
    talk.stream()
    for _ in range(1600):
        talk.chunk(b": " + b"x" * 65536 + b"\n\n")
        await talk.writer.drain()


@pytest.mark.parametrize("flood", [_announced, _poured, _streamed])
async def test_a_hundred_megabytes_are_cut_off_at_the_limit(pool, upstream, flood):
    upstream.tools["echo"] = flood
    at = http(upstream.url)
    await ready(pool, at)
    with pytest.raises(LimitReached):
        await ask(pool, at, call("echo", max_bytes=1_000_000))
    upstream.tools.clear()
    assert text(await ask(pool, at, call("echo", 1))) == 1


async def test_a_hanging_call_ends_at_its_deadline(pool, upstream):
    held = []
    upstream.tools["echo"] = held.append
    at = http(upstream.url)
    await ready(pool, at)
    with pytest.raises(UpstreamTimeout):
        await ask(pool, at, call("echo", seconds=0.2))
    assert pool.counts()["calls"] == 0
    await until(lambda: held[0].writer not in upstream.open, "its connection is closed")


async def test_a_caller_that_vanished_is_noticed(pool, upstream):
    held = []
    upstream.tools["echo"] = held.append
    at = http(upstream.url)
    await ready(pool, at)
    task = asyncio.ensure_future(ask(pool, at, call("echo")))
    await until(lambda: held, "the call came")
    task.cancel()
    await until(lambda: pool.counts()["calls"] == 0, "the call is given up")
    await until(lambda: held[0].writer not in upstream.open, "its connection is closed")


async def test_a_list_swallowed_by_a_stale_connection_is_asked_again_and_a_call_is_not(
    pool, upstream
):
    at = http(upstream.url)
    await ready(pool, at)
    await ask(pool, at, call("echo"))
    swallowed = []

    def swallow(talk):
        swallowed.append(talk.seen.connection)
        del upstream.methods["tools/list"]
        talk.close()

    upstream.methods["tools/list"] = swallow
    reply = await ask(pool, at, UpstreamRequest(method="tools/list", params={}))
    assert reply.result is not None
    again = upstream.of("tools/list")
    assert len(again) == 2
    assert again[0].connection != again[1].connection


@pytest.mark.parametrize("form", ["404", "400"])
async def test_a_lost_session_is_begun_anew_and_the_call_runs_once(pool, upstream, form):
    upstream.era = "legacy"
    ran = []

    def count(talk):
        if talk.seen.header("Mcp-Session-Id") != upstream.session:
            fault = {"code": -32000, "message": "Bad Request: No valid session ID provided"}
            body = {"jsonrpc": "2.0", "id": None, "error": fault}
            talk.answer("404 Not Found", b"") if form == "404" else talk.answer("400 Bad", body)
            return
        ran.append(talk.seen)
        talk.result({"content": [{"type": "text", "text": "1"}]})

    upstream.tools["echo"] = count
    at = http(upstream.url)
    await ready(pool, at)
    upstream.session = "session-2"
    answers = await asyncio.gather(*(ask(pool, at, call("echo")) for _ in range(8)))
    assert [text(answer) for answer in answers] == [1] * 8
    assert len(ran) == 8
    assert len(upstream.of("initialize")) == 2
    assert pool.health(at.id).restarts == 1


async def test_a_server_that_comes_back_is_found_by_the_next_call():
    pool = make_pool(upstream=UpstreamSettings(start_seconds=5, backoff_seconds=0.05))
    upstream = await HttpUpstream().start()
    at = http(upstream.url)
    await ready(pool, at)
    await upstream.stop()
    # A call may be under way on a connection whose end was not heard yet: it fails all the same.
    while pool.health(at.id).state == "ready":
        with pytest.raises(UpstreamError):
            await ask(pool, at, call("echo"))
    again = await HttpUpstream(port=upstream.port, era="legacy").start()

    def asked():
        exchange = pool.begin(at.id, call("echo", 1), None)
        return None if exchange.reply.done() and exchange.reply.exception() else exchange

    exchange = await until(asked, "it is tried again")
    assert text(await exchange.reply) == 1
    assert pool.health(at.id).era == "legacy"
    await pool.close()
    await again.stop()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/mcp",
        "http://name:word@127.0.0.1/mcp",
        "http://127.0.0.1/mcp#part",
        "http://127.0.0.1:99999/mcp",
        "http://127.0.0.1/a b",
        "http://no-such-host.invalid/mcp",
        "http://127.0.0.1:1/mcp",
        "not a url",
    ],
)
async def test_a_url_that_leads_nowhere_is_told(pool, url):
    with pytest.raises(UpstreamUnreachable):
        await pool.observe(http(url))


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/mcp", "https://[::ffff:10.0.0.1]/mcp", "https://localhost/mcp"]
)
async def test_a_private_address_needs_an_admins_word(pool, url):
    with pytest.raises(UpstreamUnreachable) as refused:
        await pool.observe(http(url, allow_private=False))
    assert "not a public one" in refused.value.detail


async def test_plain_http_needs_an_admins_word(pool, upstream):
    with pytest.raises(UpstreamUnreachable) as refused:
        await pool.observe(http(upstream.url, allow_private=False))
    assert "http" in refused.value.detail
    assert upstream.connections == 0


async def test_plain_http_never_goes_to_a_public_address(pool):
    with pytest.raises(UpstreamUnreachable) as refused:
        await pool.observe(http("http://8.8.8.8/mcp", allow_private=True))
    assert "over https" in refused.value.detail


async def test_metadata_addresses_are_out_of_reach_even_then(pool):
    with pytest.raises(UpstreamUnreachable) as refused:
        await pool.observe(http("http://169.254.169.254/latest", allow_private=True))
    assert "cloud metadata" in refused.value.detail


@pytest.mark.parametrize("name", ["localhost", "elsewhere.test"])
async def test_a_certificate_must_be_for_the_name(tmp_path, name):
    serving, trusting = certificate(tmp_path, name)
    upstream = await HttpUpstream().start(serving)
    pool = make_pool(tls=trusting)
    at = http(f"https://localhost:{upstream.port}/mcp")
    if name == "localhost":
        assert pools.names(await pool.observe(at)) == ["echo"]
    else:
        with pytest.raises(UpstreamUnreachable) as refused:
            await pool.observe(at)
        assert "certificate" in refused.value.detail
    await pool.close()
    await upstream.stop()


async def test_an_untrusted_certificate_is_refused(tmp_path, pool):
    serving, _ = certificate(tmp_path, "localhost")
    upstream = await HttpUpstream().start(serving)
    with pytest.raises(UpstreamUnreachable) as refused:
        await pool.observe(http(f"https://localhost:{upstream.port}/mcp"))
    assert "certificate" in refused.value.detail
    await upstream.stop()
