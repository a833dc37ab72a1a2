"""What the one way out brings, and what it does not wait for or take in."""

import asyncio
import gzip
import socket
import zlib

import pytest
from tests.integration.net.service import OK, SECRET, Service, redirect, refusal, whole
from tests.upstreams.pools import until

from gatelodge.adapters.net import fetch
from gatelodge.adapters.net.connection import MOST_HEAD
from gatelodge.adapters.net.fetch import OutboundRequest
from gatelodge.core.errors import LimitReached

pytestmark = pytest.mark.anyio

CHUNKED = OK + b"transfer-encoding: chunked\r\n"


async def test_an_answer_is_handed_on_whatever_its_status(client, service):
    service.answers["/keys?a=1"] = whole(b"{}", OK + b"ETag: v1\r\nSet-Cookie: a=b\r\n")
    service.answers["/none"] = whole(b"gone", b"HTTP/1.1 404 Not Found\r\n")
    reply = await client.fetch(service.asked("/keys?a=1", headers={"X-Key": SECRET}))
    assert (reply.status, reply.body, reply.fields[b"etag"]) == (200, b"{}", b"v1")
    assert b"set-cookie" not in reply.fields
    assert (await client.fetch(service.asked("/none"))).status == 404
    lines = service.heads[0].split("\r\n")
    assert lines[:2] == ["GET /keys?a=1 HTTP/1.1", f"Host: 127.0.0.1:{service.port}"]
    assert {"User-Agent: gatelodge/1.2", f"X-Key: {SECRET}", "Connection: close"} < set(lines)
    await until(lambda: not service.open, "no connection is kept")


async def test_what_is_posted_arrives_as_what_it_is(client, service):
    service.answers["/tsa"] = whole(b"\0signed")
    kind = {"accept": "application/timestamp-reply", "content_type": "application/timestamp-query"}
    reply = await client.fetch(service.asked("/tsa", method="POST", body=b"\0hash", **kind))
    assert (reply.body, service.bodies) == (b"\0signed", [b"\0hash"])
    assert "Content-Type: application/timestamp-query\r\n" in service.heads[0]
    assert "Accept: application/timestamp-reply\r\n" in service.heads[0]


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        OK[:9],
        OK + b"content-length: 9\r\n\r\nhalf",
        OK + b"transfer-encoding: chunked\r\n\r\n",
    ],
)
async def test_the_deadline_is_for_the_whole_of_it(client, service, opening):
    async def slow(writer):
        writer.write(opening)
        while not writer.is_closing():
            # Each piece comes in time: it is the sum of them that does not.
            writer.write(b"1\r\nx\r\n" if b"chunked" in opening else b"")
            await writer.drain()
            await asyncio.sleep(0.02)

    service.answers["/"] = slow
    begun = asyncio.get_running_loop().time()
    detail = await refusal(client, service.asked(seconds=0.3, headers={"X-Key": SECRET}))
    assert detail == "The server gave no whole answer within 0.3 s."
    assert asyncio.get_running_loop().time() - begun < 2
    await until(lambda: not service.open, "the connection is closed")


async def test_redirects_have_no_deadline_of_their_own(client, service):
    async def slow(writer):
        await asyncio.sleep(0.2)
        writer.write(redirect("/"))

    service.answers["/"] = slow
    assert "0.5 s" in await refusal(client, service.asked(seconds=0.5, redirects=100))
    assert len(service.heads) <= 4


async def test_a_name_that_is_looked_up_for_ever_ends_at_the_deadline(client, monkeypatch):
    async def never(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    assert "0.2 s" in await refusal(
        client, OutboundRequest(url="https://service.test/", seconds=0.2)
    )


@pytest.mark.parametrize(
    "answer",
    [
        whole(bytes(1001)),
        OK + b"content-length: 99999999999\r\n\r\n",
        CHUNKED + b"\r\n" + b"fa0\r\n" + bytes(4000) + b"\r\n",
        OK + b"\r\n" + bytes(4000),
        whole(gzip.compress(bytes(5_000_000), mtime=0), OK + b"content-encoding: gzip\r\n"),
        whole(zlib.compress(bytes(5_000_000)), OK + b"content-encoding: deflate\r\n"),
        whole(b"data: x\n\n" * 200, OK + b"content-type: text/event-stream\r\n"),
    ],
)
async def test_an_answer_that_is_too_large_is_not_read_to_its_end(client, service, answer):
    service.answers["/"] = answer
    detail = await refusal(client, service.asked(max_bytes=1000))
    assert detail == "The server's answer is larger than 1000 bytes."


@pytest.mark.parametrize(
    ("body", "head"),
    [
        (bytes(1000), OK),
        (gzip.compress(bytes(1000), mtime=0), OK + b"content-encoding: gzip\r\n"),
        (b"data: " + bytes(994), OK + b"content-type: text/event-stream\r\n"),
    ],
)
async def test_what_just_fits_is_read_whole(client, service, body, head):
    service.answers["/"] = whole(body, head)
    assert len((await client.fetch(service.asked(max_bytes=1000))).body) == 1000


@pytest.mark.parametrize("piece", [b"x-field: " + b"y" * 1000 + b"\r\n", b"HTTP/1.1 103 E\r\n\r\n"])
async def test_a_head_without_end_ends_here(client, service, piece):
    async def endless(writer):
        writer.write(b"" if piece.startswith(b"HTTP") else OK)
        for _ in range(4 * MOST_HEAD // len(piece)):
            writer.write(piece)
            await writer.drain()
        await asyncio.sleep(5)

    service.answers["/"] = endless
    assert "endless head" in await refusal(client, service.asked())


@pytest.mark.parametrize("cut", [b"", OK, OK + b"content-length: 9\r\n\r\nhalf", b"\x16\x03\x01"])
async def test_a_connection_that_ends_early_brings_no_answer_and_is_not_tried_again(
    client, service, cut
):
    service.answers["/"] = cut
    assert "The server" in await refusal(client, service.asked(method="POST"))
    assert len(service.heads) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"headers": {"X-Key": f"{SECRET}\r\nX-Other: 1"}},
        {"headers": {"X-Key": f"{SECRET}\u2028"}},
        {"headers": {"X Key": SECRET}},
        {"headers": {"Host": SECRET}},
        {"headers": {"Content-Length": SECRET}},
        {"accept": f"a/b\r\nX-Other: {SECRET}"},
        {"content_type": f"a/b\nX-Other: {SECRET}", "method": "POST"},
    ],
)
async def test_a_header_that_would_change_the_request_does_not_go(client, service, told):
    assert "headers: " in await refusal(client, service.asked(**told))
    assert not service.heads


async def test_no_proxy_of_the_environment_stands_on_the_way(client, service, monkeypatch):
    proxy = await Service().start()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    service.answers["/"] = whole(b"direct")
    assert (await client.fetch(service.asked())).body == b"direct"
    assert not proxy.heads
    await proxy.stop()


async def test_a_port_that_nobody_serves_is_told(client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    asked = OutboundRequest(url=f"http://127.0.0.1:{port}/", ports=frozenset((port,)), private=True)
    assert await refusal(client, asked) == "The server refused the connection."


async def test_no_more_are_under_way_than_may_be_and_each_ends_with_its_caller(
    client, service, monkeypatch
):
    monkeypatch.setattr(fetch, "MOST_AT_ONCE", 2)
    service.answers["/"] = lambda writer: asyncio.sleep(60)
    waiting = [asyncio.ensure_future(client.fetch(service.asked())) for _ in range(2)]
    await until(lambda: len(service.heads) == 2, "both are asked")
    with pytest.raises(LimitReached):
        await client.fetch(service.asked())
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    service.answers["/"] = whole(b"room again")
    assert (await client.fetch(service.asked())).body == b"room again"
