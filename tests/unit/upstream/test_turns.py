"""Connections to an HTTP server: what one turn leaves behind does not end the next."""

import asyncio

import pytest

from gatelodge.adapters.upstream.http.client import DRAIN_SECONDS, HttpClient
from gatelodge.adapters.upstream.http.connection.connection import HttpConnection
from gatelodge.ports.upstream import any_size

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


class Asked:
    """A turn that wants one event, or a whole answer."""

    limit = 1000
    endless = again = repeatable = False
    keeps = staticmethod(any_size)
    person = ""
    events = place = None

    def __init__(self, wire):
        self.wire = wire
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
