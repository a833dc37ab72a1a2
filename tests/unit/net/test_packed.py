"""A server that compresses its answers, though asked not to, is read; its bombs are not."""

import asyncio
import gzip
import json
import zlib

import pytest
from tests.unit.net.test_portions import Pipe
from tests.unit.net.test_turns import Asked

from gatelodge.adapters.net import turnstile
from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.coding import BodyDecoder
from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.core.errors import LimitReached, UpstreamBrokeProtocol

BODY = json.dumps({"rows": list(range(5000))}).encode()
RAW = zlib.compressobj(wbits=-15)
PACKED = {
    b"gzip": gzip.compress(BODY),
    b"X-GZip": gzip.compress(BODY[:100]) + gzip.compress(BODY[100:]) + bytes(7),
    b"deflate": zlib.compress(BODY),
    b" Deflate": RAW.compress(BODY) + RAW.flush(),
    b"identity": BODY,
}


def answer(coding, packed, kind=b"application/json"):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-encoding: %b\r\n" % (kind, coding)
    return head + b"content-length: %d\r\n\r\n" % len(packed) + packed


async def asked(packed, limit=1_000_000, size=1 << 20, wants=1):
    """What a turn heard of an answer that came in pieces of that size, and how many rounds went."""
    pipe, dialled = Pipe(), asyncio.Event()

    async def dial():
        connection = HttpConnection(client)
        connection.connection_made(pipe)
        dialled.set()
        return connection

    client, turn = HttpClient(dial), Asked(b"asked")
    turn.limit = limit
    turn.event = lambda message, _: turn.heard.append(message) or len(turn.heard) == wants
    client.send(turn)
    await dialled.wait()
    connection, rounds = turn.place, 0
    for start in range(0, len(packed), size):
        connection.data_received(packed[start : start + size])
        while not (pipe.reads or pipe.aborted):
            rounds += 1
            await asyncio.sleep(0)
    free = client._idle == [connection]
    await client.close()
    return turn.heard, rounds, free


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_answer_is_read_as_if_it_were_not(coding, size):
    heard, _, free = asyncio.run(asked(answer(coding, PACKED[coding]), size=size))
    assert heard == [(200, BODY)]
    assert free


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_the_events_of_a_packed_stream_are_heard_when_they_come(size):
    stream = zlib.compressobj(wbits=31)
    first = stream.compress(b"data: one\n\n") + stream.flush(zlib.Z_SYNC_FLUSH)
    second = stream.compress(b"data: two\n\n") + stream.flush(zlib.Z_SYNC_FLUSH)
    whole = answer(b"gzip", first + second, b"text/event-stream")
    assert asyncio.run(asked(whole[: -len(second)], size=size))[0] == [b"one"]
    assert asyncio.run(asked(whole, size=size, wants=2))[0] == [b"one", b"two"]


def test_the_limit_is_that_of_what_is_unpacked_and_the_work_is_spread_over_rounds(monkeypatch):
    monkeypatch.setattr(turnstile, "ROUND_SECONDS", 0.0)
    bomb = gzip.compress(bytes(20_000_000))
    (fault,), rounds, free = asyncio.run(asked(answer(b"gzip", bomb)))
    assert isinstance(fault, LimitReached)
    assert rounds >= 3
    assert not free
    heard, rounds, _ = asyncio.run(asked(answer(b"gzip", bomb), limit=20_000_000))
    assert len(heard[0][1]) == 20_000_000
    assert rounds > 50


def test_a_stream_that_unpacks_to_very_many_events_is_heard_in_rounds(monkeypatch):
    monkeypatch.setattr(turnstile, "ROUND_SECONDS", 0.0)
    many = gzip.compress(b"data:\n\n" * 200_000)
    heard, rounds, _ = asyncio.run(
        asked(answer(b"gzip", many, b"text/event-stream"), limit=2_000_000, wants=0)
    )
    assert heard == [b""] * 200_000 + [(200, b"")]
    assert rounds > 50


def test_many_packed_bodies_one_after_the_other_return_no_more_than_is_asked_for():
    unpacking = BodyDecoder(b"gzip")
    unpacking.add(gzip.compress(bytes(1000)) * 50)
    pieces = []
    while unpacking.more:
        pieces.append(len(unpacking.piece(700)))
    assert max(pieces) == 700
    assert sum(pieces) == 50_000
    assert unpacking.whole


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        (b"gzip", b"{}"),  # it is not packed at all
        (b"gzip", PACKED[b"gzip"][:-1]),
        (b"gzip", PACKED[b"gzip"][:-8] + bytes(8)),  # its check sum is another
        (b"deflate", PACKED[b"deflate"] + b"more"),
        (b"deflate", b"\xff\xff"),
        (b"br", b"{}"),
        (b"gzip, gzip", gzip.compress(PACKED[b"gzip"])),
    ],
)
def test_what_cannot_be_unpacked_is_a_fault_of_its_server(coding, packed):
    (fault,), _, free = asyncio.run(asked(answer(coding, packed)))
    assert isinstance(fault, UpstreamBrokeProtocol)
    assert "compressed" in fault.detail
    assert not free


def test_an_answer_without_a_body_may_say_that_it_is_packed():
    assert asyncio.run(asked(answer(b"gzip", b"")))[0] == [(200, b"")]
