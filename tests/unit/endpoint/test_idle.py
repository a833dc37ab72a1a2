"""A kept connection ends when nothing was said for as long as allowed, and at no other time.

Sockets are real; the time that the sweep is told is a number, so that a limit passes at once.
"""

import asyncio
import socket

import pytest

from gatelodge.web.endpoint.http.bounds import ClientConnections, PersonBytes, StrangerBytes
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.request import HttpLimits

pytestmark = pytest.mark.anyio
WAIT = 5.0
LIMIT = 10.0
LIMITS = HttpLimits(header_bytes=1000, body_bytes=1000, keepalive=LIMIT)
REQUEST = b"POST /k/main/mcp HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class Serving:
    """Answers every request at once."""

    def __init__(self):
        self.left = []

    def receive(self, connection, _request):
        connection.write(ANSWER)
        connection.finish()

    def judge(self, _connection, request):
        request.person = "ada"

    def gone(self, request):
        self.left.append(request.target)


class Kept:
    """A connection between a client's socket and the endpoint, on this event loop."""

    def __init__(self, client, connections, serving):
        self.client = client
        self.connections = connections
        self.serving = serving
        self.heard = asyncio.Event()

    async def ask(self, *parts: bytes) -> None:
        """Send a request and read its answer."""
        for part in parts:
            await self.say(part)
        assert await self.told() == ANSWER

    async def say(self, part: bytes) -> None:
        """Send these bytes, and wait until they were read."""
        self.heard.clear()
        self.client.sendall(part)
        await asyncio.wait_for(self.heard.wait(), WAIT)

    async def told(self) -> bytes:
        """What comes next; nothing when the connection is closed."""
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self.client, 1000), WAIT)

    async def sweep(self, now: float) -> None:
        """Look for idle connections at this time."""
        await self.connections.close_idle(now)


@pytest.fixture
async def kept():
    loop, serving, opened = asyncio.get_running_loop(), Serving(), asyncio.Event()
    shared = ClientConnections(LIMITS, StrangerBytes(1 << 20), PersonBytes(1 << 20, 1 << 22))

    class Heard(ClientConnection):
        def connection_made(self, transport):
            super().connection_made(transport)
            opened.set()

        def data_received(self, data):
            super().data_received(data)
            line.heard.set()

    def connection():
        return Heard(serving, shared)

    server = await loop.create_server(connection, "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname(), timeout=WAIT)
    client.setblocking(False)
    line = Kept(client, shared, serving)
    await asyncio.wait_for(opened.wait(), WAIT)
    yield line
    for each in tuple(shared.open):
        each.abort()
    client.close()
    server.close()


async def test_a_connection_is_closed_when_nothing_was_said_for_too_long(kept: Kept):
    await kept.ask(REQUEST)
    await kept.sweep(1)
    await kept.sweep(1 + LIMIT)
    await kept.ask(REQUEST)
    await kept.sweep(20)
    await kept.sweep(20.1 + LIMIT)
    assert await kept.told() == b""
    assert kept.serving.left == []


async def test_a_request_that_waited_while_the_loop_was_held_up_is_answered(kept: Kept):
    """A timer may come before what has arrived in the meantime."""
    await kept.ask(REQUEST)
    await kept.sweep(1)
    kept.client.sendall(REQUEST)
    await kept.sweep(2 + LIMIT)
    assert await kept.told() == ANSWER
    await kept.ask(REQUEST)


BEGUN = [1, 4, 12, 30, len(REQUEST) - 1]


@pytest.mark.parametrize("size", BEGUN)
async def test_a_request_begun_within_the_limit_may_take_as_long_to_arrive(kept: Kept, size: int):
    await kept.ask(REQUEST)
    await kept.sweep(1)
    await kept.say(REQUEST[:size])
    await kept.sweep(2 + LIMIT)
    await kept.sweep(2 + 2 * LIMIT)
    await kept.ask(REQUEST[size:])


@pytest.mark.parametrize("size", BEGUN)
async def test_bytes_of_a_request_that_wait_unread_begin_it(kept: Kept, size: int):
    await kept.ask(REQUEST)
    await kept.sweep(1)
    kept.client.sendall(REQUEST[:size])
    await kept.sweep(2 + LIMIT)
    await kept.ask(REQUEST[size:])


@pytest.mark.parametrize("size", BEGUN)
async def test_a_request_that_trickles_in_is_given_up(kept: Kept, size: int):
    await kept.say(REQUEST[:size])
    await kept.sweep(1)
    await kept.say(REQUEST[size : size + 1]) if size + 1 < len(REQUEST) else None
    await kept.sweep(1.1 + LIMIT)
    assert await kept.told() == b""
