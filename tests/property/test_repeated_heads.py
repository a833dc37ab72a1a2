"""A head that a connection repeats byte for byte is not parsed again, and nobody can tell."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.core.errors import LimitReached
from gatelodge.core.http.head import MOST_KEPT, head_of
from gatelodge.core.http.sse import EventParser
from gatelodge.web.endpoint.http.reader import RequestReader
from gatelodge.web.endpoint.http.request import HttpLimits

LIMITS = HttpLimits(header_bytes=8192, body_bytes=1 << 20, keepalive=10.0)
BODIES = [b"", b"{}", b"x" * 16, b"y" * 16, b"\r\n\r\n" * 4, b"z" * 40, b"POST / HTTP/1.1\r\n"]
FRAMES = [
    b"Content-Length: %(size)d\r\n",
    b"Content-Length: %(size)d \r\n",
    b"content-length: 16\r\n",
    b"Content-Length: %(size)d\r\nConnection: close\r\n",
    b"Content-Length: %(size)d\r\nExpect: 100-continue\r\n",
    b"Content-Length: %(size)d\r\nUpgrade: h2c\r\nConnection: upgrade\r\n",
    b"Content-Length: %(size)d\r\nContent-Length: %(size)d\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: %(size)d\r\nTransfer-Encoding: chunked\r\n",
    b"",
]
STARTS = [
    b"POST /k/main/mcp HTTP/1.1\r\nHost: a\r\nMcp-Name: n\r\n",
    b"POST /k/main/mcp HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
    b"POST http://b/k/main/mcp HTTP/1.1\r\nHost: a\r\n",
    b"POST /k/main/mcp HTTP/1.0\r\nConnection: keep-alive\r\n",
    b"GET /k/main/mcp HTTP/1.1\r\nHost: a\r\n",
    b"\r\n\r\nPOST /k/main/mcp HTTP/1.1\r\nHost: a\r\n",
    b"POST /k/main/mcp HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MOST_KEPT + b"\r\n",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n",
    b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\n",
    b"HTTP/1.1 202 Accepted\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n",
]


def whole(start: bytes, frame: bytes, body: bytes) -> bytes:
    """One message; a chunked one is framed so."""
    head = start + (frame % {b"size": len(body)} if b"%" in frame else frame) + b"\r\n"
    if b"chunked" not in frame:
        return head + body
    return head + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def pieces(starts: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    """What comes over one connection: mostly whole messages that resemble each other."""
    likely = st.builds(whole, st.sampled_from(starts[:2]), st.just(FRAMES[0]), bodies)
    any_one = st.builds(whole, st.sampled_from(starts), st.sampled_from(FRAMES), bodies)
    message = st.one_of(likely, likely, any_one)
    tail = st.builds(
        lambda a, b: a + b, message, st.sampled_from([b"\r\n", b"\r\n\r\n", b"\0", b"P"])
    )
    cut = st.builds(lambda each, at: [each[:at], each[at:]], message, st.integers(1, 90))
    joined = st.builds(lambda a, b: a + b, message, message)
    tails = st.builds(
        lambda each, at, times: [each[:at], *[each[at:]] * times],
        message,
        st.integers(1, 130),
        st.integers(2, 3),
    )
    some = st.one_of(
        tails,
        message.map(lambda each: [each]),
        message.map(lambda each: [each] * 3),
        st.one_of(tail, joined).map(lambda each: [each]),
        cut,
    )
    return st.lists(some, max_size=6).map(lambda found: [each for part in found for each in part])


bodies = st.sampled_from(BODIES)


def read(sent: list[bytes], *, keeps: bool) -> list[Any]:
    """What a reader says after each piece."""
    reader, told = RequestReader(LIMITS), []
    reader.keeps_heads = keeps
    for each in sent:
        done = [
            (
                request.method,
                request.target,
                dict(request.headers),
                request.repeated,
                request.body,
                request.size,
                request.last,
                request.chunks,
            )
            for request in reader.feed(each)
        ]
        told.append((done, reader.fault, reader.ended, reader.partial, reader.asks))
        told.append(reader.request.target)
    return told


PLAIN = whole(STARTS[0], FRAMES[0], BODIES[2])


@given(sent=pieces(STARTS))
@example(sent=[PLAIN, PLAIN, PLAIN + b"\r\n", PLAIN])
@example(sent=[PLAIN[:-20], PLAIN[-20:], b"\r\n\r\n" + PLAIN[-16:]])
@example(sent=[PLAIN[:30], PLAIN[30:], PLAIN[30:]])
@example(sent=[PLAIN + b"\r\n\r\n", PLAIN + b"\r\n\r\n"])
@example(sent=[whole(STARTS[0], FRAMES[0], BODIES[4]), PLAIN[:-4] + b"\r\n\r\n"])
def test_a_request_whose_head_is_known_is_read_as_if_it_were_not(sent: list[bytes]):
    assert read(sent, keeps=True) == read(sent, keeps=False)


def test_a_repeated_head_is_not_parsed_again_and_a_strangers_is():
    for keeps in (True, False):
        reader = RequestReader(LIMITS)
        reader.keeps_heads = keeps
        first, second, third = (reader.feed(PLAIN)[0] for _ in range(3))
        assert (third.headers is second.headers is first.headers) is keeps


class Pipe:
    """A transport that is open until it is closed."""

    closed = False

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class AnswerKeeper:
    """The client of one connection, and the turn that it carries: keeps all that it is told."""

    person, endless, again, repeatable = "", False, False, False
    place = None

    def __init__(self, limit: int, most: int) -> None:
        self.limit, self.most, self.told = limit, most, []  # type: ignore[var-annotated]

    def keeps(self, size: int) -> bool:
        return size <= self.most

    def hear(self) -> None:
        pass

    def stream(self, _: EventParser) -> bool:
        return True

    def outgrown(self, size: int) -> Exception:
        return LimitReached(f"{size > self.limit}")

    def whole(self, status: int, fields: dict[bytes, bytes], body: bytes) -> None:
        self.told.append((status, dict(fields), body))

    def event(self, message: bytes, fields: dict[bytes, bytes]) -> bool:
        self.told.append(("event", message, dict(fields)))
        return True

    def failed(self, fault: Exception) -> None:
        self.told.append(str(fault))

    def release(self, _connection: HttpConnection, keep_alive: bytes) -> None:
        self.told.append(("free", keep_alive))

    def drain(self, _connection: HttpConnection) -> None:
        self.told.append("drains")

    def lost(self, _connection: HttpConnection) -> None:
        self.told.append("lost")

    repeat = failed


class Forgetful(HttpConnection):
    """A connection that parses each head."""

    def _reusable_answer_head(self, _data: bytes) -> None:
        return None


async def answered(kind: Callable[..., HttpConnection], sent: list[bytes], most: int) -> list[Any]:
    """What a turn and its client are told, piece by piece; a free connection gets a new turn."""
    keeper = AnswerKeeper(limit=1000, most=most)
    connection = kind(keeper)
    connection.connection_made(Pipe())  # type: ignore[arg-type]
    for each in sent:
        if connection.turn is None and connection.alive and not connection.draining:
            connection.turn = keeper  # type: ignore[assignment]
        connection.data_received(each)
        await asyncio.sleep(0)
        keeper.told.append((connection.turn is None, connection.alive, connection.draining))
    return keeper.told


@given(sent=pieces(ANSWERS), most=st.sampled_from([20, 1000]))
@example(sent=[whole(ANSWERS[0], FRAMES[0], BODIES[2])] * 3, most=1000)
@example(sent=[whole(ANSWERS[0], FRAMES[0], BODIES[2]) + b"\r\n\r\n"] * 3, most=1000)
def test_an_answer_whose_head_is_known_is_read_as_if_it_were_not(sent: list[bytes], most: int):
    with asyncio.Runner() as runner:
        known, parsed = (
            runner.run(answered(kind, sent, most)) for kind in (HttpConnection, Forgetful)
        )
    assert known == parsed


def test_the_head_is_that_of_the_one_message_that_came():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    assert head_of(head + b"\r\n\r\n", 4) == head
    for message in (head + b"okok\r\n", head + b"oko", b"\r\n\r\n" + head + b"okok", b"okok", b""):
        assert head_of(message, 4) == b""
    large = head[:-2] + b"x: " + b"x" * MOST_KEPT + b"\r\n\r\n"
    assert head_of(large + b"okok", 4) == b""
