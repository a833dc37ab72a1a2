"""An answer to one request is that request's: the server stays for all others.

Only what the session itself says, or a server that cannot be reached at all, is taken for more.
"""

import contextlib

import pytest
from tests.upstreams.http_upstream import HttpUpstream
from tests.upstreams.pools import Secrets, ask, asker, call, http, make_pool, ready, text, until

from gatelodge.adapters.net import client
from gatelodge.adapters.upstream.http import streamable_http
from gatelodge.core.errors import UpstreamError, UpstreamUnreachable
from gatelodge.ports.upstream import OnBehalfOf

pytestmark = pytest.mark.anyio
OK = "HTTP/1.1 200 OK\nContent-Type: application/json\n"


@pytest.fixture
async def upstream():
    made = await HttpUpstream().start()
    yield made
    await made.stop()


def status(line, body=b"<html>", **headers):
    return lambda talk: talk.answer(line, body, **headers)


def in_words(talk):
    fault = {"code": -32000, "message": "no such thing"}
    number = talk.seen.message["id"]
    talk.answer("404 Not Found", {"jsonrpc": "2.0", "id": number, "error": fault})


def garbage(talk):
    talk.write(OK + "Content-Length: 2\n\n", b"\xff{")


async def test_a_server_whose_every_session_is_lost_is_not_called_ready_and_rarely_met(
    pool, upstream
):
    upstream.era = "legacy"
    at = http(upstream.url)
    await ready(pool, at)
    upstream.session = "another"
    upstream.knows = lambda seen: False
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, at, call("echo"))
    assert len(upstream.of("tools/call")) == 2
    for _ in range(20):
        with pytest.raises(UpstreamUnreachable):
            await ask(pool, at, call("echo"))
    health = pool.health(at.id)
    assert health.state in ("waiting", "failed")
    assert "lost its session" in health.detail
    assert len(upstream.of("initialize")) == 2


ONES_OWN = {
    "unauthorized": status("401 Unauthorized", WWW_Authenticate="Bearer x"),
    "forbidden": status("403 Forbidden"),
    "not found": status("404 Not Found", b""),
    "not found in words": in_words,
    "gone": status("410 Gone"),
    "too many": status("429 Too Many Requests", Retry_After="60"),
    "failing": status("500 Internal Server Error"),
    "busy": status("503 Service Unavailable", Retry_After="60"),
    "another type": status("200 OK", Content_Type="text/html"),
    "half a character": garbage,
}


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("answer", ONES_OWN)
async def test_an_answer_to_one_call_takes_the_server_from_no_other(pool, upstream, era, answer):
    upstream.era = era
    upstream.tools["refused"] = ONES_OWN[answer]
    at = http(upstream.url)
    await ready(pool, at)
    met = len(upstream.of("initialize")) + len(upstream.of("server/discover"))
    for number in range(4):
        mine = pool.begin(at.id, call("refused"), None)
        assert text(await ask(pool, at, call("echo", number))) == number
        with contextlib.suppress(UpstreamError):
            await mine.reply
        assert text(await ask(pool, at, call("echo", number))) == number
    assert len(upstream.of("tools/call")) == 12
    assert len(upstream.of("initialize")) + len(upstream.of("server/discover")) == met
    assert pool.health(at.id).restarts == 0


async def test_a_secret_that_was_rotated_is_read_anew_beside_the_traffic(upstream):
    secrets = Secrets(TOKEN="old")
    pool = make_pool(secrets)
    at = http(upstream.url, headers={"Authorization": "env:TOKEN"})
    await ready(pool, at)
    assert text(await ask(pool, at, call("echo", 1))) == 1

    def guarded(talk):
        if talk.seen.header("Authorization") == "new":
            talk.result({"content": [{"type": "text", "text": "2"}]})
        else:
            talk.answer("401 Unauthorized", b"")

    upstream.tools["echo"] = guarded
    secrets.known["TOKEN"] = "new"
    assert text(await ask(pool, at, call("echo", 2))) == 2
    assert pool.health(at.id).restarts == 0
    await pool.close()


@pytest.mark.guarantee("secrets:stay-here")
@pytest.mark.parametrize("path", ["/login/{}", "/t/%73{}", "/plain"])
async def test_where_a_redirect_leads_is_told_without_a_secret_of_ours(upstream, path):
    pool = make_pool(Secrets(TOKEN="s3cret-value"))
    to = path.replace("%73{}", "%733cret-value").format("s3cret-value")
    upstream.methods["server/discover"] = status("307 Temporary Redirect", Location=to)
    with pytest.raises(UpstreamUnreachable) as moved:
        await pool.observe(http(upstream.url, headers={"Authorization": "env:TOKEN"}))
    said = moved.value.detail + moved.value.remedy
    assert "3cret-value" not in said
    assert ("/plain" in said) is (path == "/plain")
    await pool.close()


async def test_a_server_that_refuses_several_callers_is_told_of_until_it_serves_one(pool, upstream):
    upstream.tools["refused"] = ONES_OWN["unauthorized"]
    at = http(upstream.url)
    await ready(pool, at)
    for who, told in (("ann", False), ("ann", False), ("bob", True)):
        with pytest.raises(UpstreamUnreachable):
            await ask(pool, at, call("refused", asker=asker(who)))
        assert ("refuses our credentials" in pool.health(at.id).detail) is told
    await ask(pool, at, call("echo"))
    assert pool.health(at.id).detail == ""


async def test_a_server_that_takes_no_more_connections_goes_on_with_those_it_has(
    pool, upstream, monkeypatch
):
    held, at = [], http(upstream.url)
    await ready(pool, at)
    assert text(await ask(pool, at, call("echo", 1))) == 1
    upstream.tools["hold"] = held.append
    mine = pool.begin(at.id, call("hold"), None)
    await until(lambda: held, "one call is under way")

    async def full(*_given):
        raise UpstreamUnreachable("The server refused the connection.")

    monkeypatch.setattr(streamable_http, "connect", full)
    with pytest.raises(UpstreamUnreachable):
        await ask(pool, at, call("echo"))
    assert pool.health(at.id).state == "ready"
    held[0].result({"content": [{"type": "text", "text": "3"}]})
    assert text(await mine.reply) == 3


async def test_whoever_holds_all_that_one_may_leaves_a_connection_for_the_next(
    pool, upstream, monkeypatch
):
    monkeypatch.setattr(client, "MOST_CONNECTIONS", 8)
    held: list[object] = []
    upstream.tools["hold"] = held.append
    at = http(upstream.url, era="modern")
    await ready(pool, at)
    mine = [OnBehalfOf(principal, person="ann") for principal in ("ann", "agent of ann") * 8]
    calls = [pool.begin(at.id, call("hold", asker=each), None) for each in mine]
    await until(lambda: len(held) >= 3, "ann holds what she may")
    assert text(await ask(pool, at, call("echo", 1, asker=OnBehalfOf("bob", person="bob")))) == 1
    assert len(held) <= 4
    for each in calls:
        each.abort("cancelled")


async def test_a_server_is_asked_not_to_compress(pool, upstream):
    await ready(pool, http(upstream.url))
    assert {seen.header("Accept-Encoding") for seen in upstream.requests} == {"identity"}
