"""Connections to an HTTP server: what one turn leaves behind does not end the next."""

import asyncio
from functools import partial

import pytest
from tests.upstreams.pools import until

from gatelodge.adapters.net import client as pool_of_connections
from gatelodge.adapters.net.client import DRAIN_SECONDS, HttpClient
from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.adapters.net.exchange import GateExchange
from gatelodge.core.errors import UpstreamUnreachable

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"e\r\ndata: answer\n\n\r\n"


class Socket:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written = b""
        self.aborted = False

    def write(self, chunk):
        self.written += chunk

    def abort(self):
        self.aborted = True

    def is_closing(self):
        return self.aborted


ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Asked(GateExchange):
    """A turn that wants one event, or a whole answer."""

    repeatable = False

    def __init__(self, wire, person=""):
        super().__init__(wire, 1000)
        self.person = person
        self.heard = []

    def event(self, message, _fields):
        self.heard.append(message)
        return True

    def whole(self, status, _fields, body):
        self.heard.append((status, body))

    def failed(self, fault):
        self.heard.append(fault)


async def one_after_the_other():
    loop, opened = asyncio.get_running_loop(), []
    dialled, never = asyncio.Event(), asyncio.Event()

    async def dial():
        if opened:
            await never.wait()
        connection = HttpConnection(client)
        opened.append(connection)
        connection.connection_made(Socket())
        dialled.set()
        return connection

    client = HttpClient(dial)
    first, second = Asked(b"first"), Asked(b"second")
    client.send(first)
    await dialled.wait()
    (connection,) = opened
    assert first.place is connection
    connection.data_received(STREAM + EVENT)
    client.send(second)
    connection.data_received(b"0\r\n\r\n")
    assert second.place is connection
    client.sweep(loop.time() + DRAIN_SECONDS + 1)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    await client.close()
    return first.heard, second.heard


@pytest.mark.slow
def test_a_turn_on_a_connection_whose_stream_just_ended_lasts_as_long_as_it_takes():
    assert asyncio.run(one_after_the_other()) == ([b"answer"], [(200, b"ok")])


def answered(connection):
    connection.data_received(ANSWER)


def streamed(connection):
    connection.data_received(STREAM + EVENT)
    connection.data_received(b"0\r\n\r\n")


def closed(connection):
    connection.connection_lost(None)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("ends", [answered, streamed, closed])
async def test_whoever_waited_for_a_share_only_has_a_turn_as_soon_as_one_is_free(monkeypatch, ends):
    monkeypatch.setattr(pool_of_connections, "MOST_CONNECTIONS", 4)

    async def dial():
        connection = HttpConnection(client)
        connection.connection_made(Socket())
        return connection

    def under_way(*turns):
        return until(lambda: all(turn.place for turn in turns), "every turn has a connection")

    client = HttpClient(dial)
    first = [Asked(b"first", person) for person in ("ann", "bob", "cat", "dan")]
    for turn in first:
        client.send(turn)
    await under_way(*first)
    first[3].place.data_received(ANSWER)
    waiting = [Asked(b"second", person) for person in ("ann", "bob")]
    for turn in waiting:
        client.send(turn)
    await asyncio.sleep(0)
    assert not any(turn.place for turn in waiting), "they leave as much as they hold"
    ends(first[1].place)
    await under_way(*waiting)
    await client.close()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_every_turn_has_an_end_when_all_connections_are_lost_while_as_many_wait_as_may(
    monkeypatch,
):
    monkeypatch.setattr(pool_of_connections, "MOST_CONNECTIONS", 8)
    monkeypatch.setattr(pool_of_connections, "MOST_WAITING", 8)
    opened = []

    async def dial():
        if len(opened) == 8:
            raise UpstreamUnreachable("The server is gone.")
        connection = HttpConnection(client)
        opened.append(connection)
        connection.connection_made(Socket())
        return connection

    client = HttpClient(dial)
    first = [Asked(b"first", each) for each in ("ann",) * 4 + ("bob",) * 2 + ("cat", "dan")]
    for turn in first:
        turn.repeatable = True
        client.send(turn)
        await until(partial(getattr, turn, "place"), "it has a connection")
    waiting = [Asked(b"second", each) for each in ("ann",) * 4 + ("bob",) * 2 + ("cat", "eve")]
    for turn in waiting:
        client.send(turn)
    for connection in opened:
        connection.connection_lost(None)
    await until(lambda: all(turn.heard for turn in first + waiting), "every turn has an end")
    assert all(len(turn.heard) == 1 for turn in first + waiting)
    await client.close()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_attempt_that_fails_as_nobody_expected_is_not_made_again():
    attempts, seen = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: seen.append(told))

    async def dial():
        attempts.append(1)
        raise RuntimeError("a context that cannot be made")

    client, turn = HttpClient(dial), Asked(b"asked")
    client.send(turn)
    await until(lambda: turn.heard, "the turn has an end")
    await client.close()
    assert [str(fault) for fault in turn.heard] == ["No connection could be made."]
    assert attempts == [1]
