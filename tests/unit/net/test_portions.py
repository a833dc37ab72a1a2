"""What a server says in very small pieces is heard piece by piece, and holds nobody up."""

import asyncio

import pytest
from tests.unit.net.test_turns import Asked, Socket

from gatelodge.adapters.net import turnstile
from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.connection import MOST_HEAD, HttpConnection
from gatelodge.adapters.net.exchange import MOST_PIECES, AnswerBody
from gatelodge.adapters.net.portions import HEAVY, PORTION, InboundPortions
from gatelodge.core.errors import UpstreamBrokeProtocol

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: %b\r\n\r\n"
STREAM, JSON = HEAD % b"text/event-stream", HEAD % b"application/json"


class Pipe(Socket):
    """A transport that knows whether it is read."""

    reads = True

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True


async def fed(*pieces):
    """A turn after these pieces came for it."""
    dialled = asyncio.Event()

    async def dial():
        connection = HttpConnection(client)
        connection.connection_made(Pipe())
        dialled.set()
        return connection

    client, turn = HttpClient(dial), Asked(b"asked")
    turn.limit = 10_000_000
    client.send(turn)
    await dialled.wait()
    for piece in pieces:
        if turn.place is not None:
            turn.place.data_received(piece)
    return turn, client


def test_what_came_at_once_is_heard_in_rounds_and_nothing_more_is_read_meanwhile(monkeypatch):
    monkeypatch.setattr(turnstile, "ROUND_SECONDS", 0.0)

    async def heard():
        pipe, taken, rounds = Pipe(), [], 0
        portions = InboundPortions(taken.append)
        portions.feed(bytes(5 * PORTION), pipe)
        first = len(taken), pipe.reads
        while not pipe.reads:
            rounds += 1
            await asyncio.sleep(0)
        return first, rounds, b"".join(taken)

    first, rounds, taken = asyncio.run(heard())
    assert first == (1, False)
    assert rounds >= 4
    assert taken == bytes(5 * PORTION)


def test_large_answers_that_are_whole_at_the_same_moment_are_read_in_a_round_each(monkeypatch):
    monkeypatch.setattr(turnstile, "ROUND_SECONDS", 0.0)

    async def heard():
        taken, pipes, rounds = [], [Pipe() for _ in range(6)], []
        for pipe in pipes:
            InboundPortions(taken.append).feed(b"}", pipe, HEAVY + 1)
        small = InboundPortions(taken.append)
        small.feed(b"small", Pipe())
        while not all(pipe.reads for pipe in pipes):
            rounds.append(len(taken))
            await asyncio.sleep(0)
        return taken[0], rounds

    assert asyncio.run(heard()) == (b"small", [1, 2, 3, 4, 5, 6])


def test_work_that_fails_ends_with_itself(monkeypatch):
    async def done():
        line, seen = turnstile.turnstile(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: seen.append(told))
        line.add(lambda: 1 // 0)
        finished = asyncio.Event()
        line.add(finished.set)
        await finished.wait()
        return len(seen)

    assert asyncio.run(done()) == 1


def test_the_end_of_a_connection_comes_behind_all_that_it_brought():
    async def heard():
        taken = []
        portions = InboundPortions(taken.append)
        portions.feed(bytes(3 * PORTION), Pipe())
        before = asyncio.get_running_loop().create_future()
        portions.finish(lambda: before.set_result(b"".join(taken)))
        return len(await before)

    assert asyncio.run(heard()) == 3 * PORTION


@pytest.mark.parametrize(
    "opening",
    [
        JSON + b"2\r\n{}\r\n0\r\nx-trailer: ",  # a trailer without an end
        JSON + b"2\r\n{}\r\n1;extension=",  # an extension of a chunk
        b"HTTP/1.1 200 OK\r\nx-field: ",
        b"HTTP/1.1 103 Early Hints\r\nx-field: ",
        STREAM + b"2\r\n: \r\n0\r\nx-trailer: ",
    ],
)
def test_what_stands_around_a_body_counts_as_a_head_wherever_it_stands(opening):
    async def answered():
        turn, client = await fed(opening, *[b"y" * PORTION] * (MOST_HEAD // PORTION + 1))
        await client.close()
        return turn.heard

    (fault,) = asyncio.run(answered())
    assert isinstance(fault, UpstreamBrokeProtocol)


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b"x-field: y\r\n"]
)
def test_many_heads_and_many_fields_are_a_head_without_end_too(piece):
    async def answered():
        opening = b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n"
        turn, client = await fed(opening, *[piece * 100] * 100)
        await client.close()
        return turn.heard

    (fault,) = asyncio.run(answered())
    assert isinstance(fault, UpstreamBrokeProtocol)


def test_a_body_in_tiny_pieces_is_whole_and_takes_no_more_room_than_it_holds():
    body = AnswerBody()
    for _ in range(10_000):
        body.add(b"ab")
    assert body.whole() == b"ab" * 10_000
    assert len(body._pieces) == MOST_PIECES
