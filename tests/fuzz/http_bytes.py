"""Throws bytes at the HTTP reader, as strangers and members might; each find has its seed.

    python -m tests.fuzz.http_bytes

What is watched: no exception, no step that holds the loop, each request told or counted once, and
nothing kept once its connection is gone.
"""

import gc
import random
import weakref
from typing import Any

from tests.fuzz.oracles import STALL, Stall, finds, from_terminal, stood_still

from gatelodge.web.endpoint.http.bounds import ClientConnections, PersonBytes, StrangerBytes
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.reader import RequestReader
from gatelodge.web.endpoint.http.request import HttpLimits, HttpRequest

LIMITS = HttpLimits(header_bytes=32 * 1024, body_bytes=4 << 20, keepalive=75.0)
STRANGERS, PERSON = 16 << 20, 64 << 20
KEPT_MIB = 96
NAMES = (
    b"Host", b"Authorization", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Upgrade",
    b"Connection", b"Origin", b"X-A", b"Mcp-Name", b"", b"\xff", b"Content-Type",
)  # fmt: skip
VALUES = (
    b"127.0.0.1", b"Bearer ada", b"0", b"2", b"4194304", b"9" * 400, b"chunked", b"gzip, chunked",
    b"100-continue", b"h2c", b"upgrade", b"close", b"keep-alive", b"", b"\0", b"a\rb", b"x" * 9000,
    b"-1", b"0x10", b"application/json",
)  # fmt: skip
TARGETS = (
    b"/k/main/mcp", b"/api/v1/workspaces", b"*", b"http://127.0.0.1/k/main/mcp", b"//k/main/mcp",
    b"evil.example.test:443", b"http://", b"/" + b"y" * 40_000, b"",
)  # fmt: skip
VERBS = (b"POST", b"GET", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"po st", b"\x16\x03")
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"", b"HTTP/1.1 ")
LINES = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r")


class Pipe:
    """A transport that keeps what was written, and reads slowly when told to."""

    def __init__(self, slow: bool) -> None:
        self.slow = slow
        self.size = 0
        self.closing = self.aborted = self.paused = False

    def write(self, data: bytes) -> None:
        self.size += len(data) if self.slow else 0

    def get_write_buffer_size(self) -> int:
        return self.size

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        pass

    def get_extra_info(self, _name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write_eof(self) -> None:
        self.closing = True

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


class Counting:
    """Answers at once or later; knows of each request how often it was settled."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.settled: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self.later: list[ClientConnection] = []
        self.faults: list[str] = []

    def receive(self, connection: ClientConnection, request: HttpRequest) -> None:
        self._once(request)
        if request.headers.get(b"authorization") == b"Bearer ada":
            connection.known("ada")
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        if self.dice.random() < 0.5:
            connection.finish()
        else:
            self.later.append(connection)

    def judge(self, _connection: ClientConnection, request: HttpRequest) -> None:
        if request.headers.get(b"authorization") == b"Bearer ada":
            request.person = "ada"
        else:
            request.away = ValueError("who?")

    def crowded(self, request: HttpRequest) -> None:
        request.away = ValueError("too much")

    def turn_away(self, connection: ClientConnection, request: HttpRequest, _fault: str) -> None:
        self._once(request)
        connection.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        connection.finish()

    def gone(self, request: HttpRequest) -> None:
        self._once(request)

    def catch_up(self) -> None:
        """Finish what was left for later."""
        while self.later:
            self.later.pop(self.dice.randrange(len(self.later))).finish()

    def _once(self, request: HttpRequest) -> None:
        key = request.size, request.target[:40]
        if getattr(request, "charged", 0) > PERSON:
            self.faults.append(f"charged too much: {key}")
        seen = id(request)
        if seen in self._open:
            self.faults.append(f"settled twice: {key}")
        self._open[seen] = request

    @property
    def _open(self) -> dict[int, HttpRequest]:
        return self.__dict__.setdefault("kept", {})


def request_bytes(dice: random.Random) -> bytes:
    """One request, mostly good."""
    odd = dice.random() < 0.5
    verb = dice.choice(VERBS) if odd else b"POST"
    target = dice.choice(TARGETS) if odd else b"/k/main/mcp"
    version = dice.choice(VERSIONS) if odd and dice.random() < 0.3 else b"HTTP/1.1"
    lines = [b"%b %b %b" % (verb, target, version), b"Host: 127.0.0.1"]
    if dice.random() < 0.5:
        lines.append(b"Authorization: Bearer ada")
    if odd:
        for _ in range(dice.choice((0, 1, 3, 300))):
            lines.append(
                dice.choice(NAMES) + dice.choice((b": ", b":", b" : ")) + dice.choice(VALUES)
            )
    if dice.random() < 0.05:
        lines.append(b"Connection: Upgrade\r\nUpgrade: h2c")
    body = dice.randbytes(dice.choice((0, 2, 100, 70_000))) if dice.random() < 0.8 else b""
    chunked = dice.random() < 0.4
    if chunked:
        lines.append(b"Transfer-Encoding: chunked")
        body = chunks(dice, body)
    else:
        size = len(body) + (dice.choice((0, 0, 0, 1, -1, 1 << 20)) if odd else 0)
        lines.append(b"Content-Length: %d" % size)
    end = dice.choice(LINES) if odd else b"\r\n"
    return end.join(lines) + end * 2 + body


def chunks(dice: random.Random, body: bytes) -> bytes:
    """The body in chunks, some with extensions and trailers, some broken."""
    out, at = [], 0
    step = dice.choice((1, 7, 4096, 70_000)) if len(body) < 5000 else dice.choice((4096, 70_000))
    while at < len(body):
        part = body[at : at + step]
        extra = b";" + b"e" * dice.choice((1, 50, 20_000)) if dice.random() < 0.05 else b""
        out.append(b"%x%b\r\n%b\r\n" % (len(part), extra, part))
        at += step
    trailers = b"X-T: 1\r\n" * dice.choice((0, 0, 1, 5000))
    return b"".join(out) + b"0\r\n" + trailers + b"\r\n"


def mutated(dice: random.Random, data: bytes) -> bytes:
    """The same with a few bytes changed, cut or doubled."""
    if not data or dice.random() < 0.5:
        return data
    raw = bytearray(data[: 1 << 20])
    for _ in range(dice.choice((1, 1, 4))):
        at = dice.randrange(len(raw))
        match dice.randrange(4):
            case 0:
                raw[at] = dice.randrange(256)
            case 1:
                del raw[at : at + dice.choice((1, 8, 500))]
            case 2:
                raw[at:at] = dice.choice((b"\r\n", b"\0", b"a" * 40_000, b": ", b"0\r\n\r\n"))
            case _:
                raw += raw[at : at + 1000]
        if not raw:
            return b""
    return bytes(raw)


def told_apart(dice: random.Random) -> list[str]:
    """What a reader that knows heads says otherwise than one that parses each."""
    pieces = pieces_of_a_visit(dice)
    if dice.random() < 0.5 and pieces and len(pieces[0]) > 1:
        at = dice.randrange(1, len(pieces[0]))
        pieces = [pieces[0][:at], *[pieces[0][at:]] * dice.choice((1, 2, 3))]
    knows, parses = RequestReader(LIMITS), RequestReader(LIMITS)
    knows.keeps_heads = True
    try:
        return _read_otherwise(knows, parses, pieces)
    finally:
        for reader in (knows, parses):
            reader.close()


def _read_otherwise(knows: RequestReader, parses: RequestReader, pieces: list[bytes]) -> list[str]:
    for piece in pieces:
        said = [
            ([(each.target, each.headers, each.body, each.last) for each in done], reader.fault)
            for reader in (knows, parses)
            for done in (reader.feed(piece),)
        ]
        if said[0] != said[1]:
            return [f"read in two ways: {piece[:60]!r}"]
    return []


def pieces_of_a_visit(dice: random.Random) -> list[bytes]:
    """Requests, in pieces of one size, or each whole and many times, as clients send theirs."""
    wanted = dice.choice((1, 1, 3, 30))
    if dice.random() < 0.3:
        repeated = request_bytes(dice)
        return [mutated(dice, repeated) if dice.random() < 0.2 else repeated for _ in range(wanted)]
    sent = b"".join(mutated(dice, request_bytes(dice)) for _ in range(wanted))
    step = dice.choice((1, 13, 1000, 65_536, 262_144))
    if len(sent) > 20_000:
        step = max(step, 1000)
    return [sent[at : at + step] for at in range(0, len(sent), step)]


def visit(dice: random.Random, shared: ClientConnections, serving: Counting) -> list[str]:
    """One connection from its beginning to its end; what was wrong."""
    faults: list[str] = []
    connection, pipe = ClientConnection(serving, shared), Pipe(dice.random() < 0.2)
    connection.connection_made(pipe)  # type: ignore[arg-type]
    for piece in pieces_of_a_visit(dice):
        if pipe.closing:
            break
        with stood_still() as took:
            connection.data_received(piece)
        if took[0] > STALL:
            faults.append(Stall(f"held the loop for {took[0] * 1000:.0f} ms"))
        if dice.random() < 0.1:
            serving.catch_up()
        if pipe.slow and pipe.size > 65_536 and connection.writable:
            connection.pause_writing()
        connection.flush()
    if dice.random() < 0.3 and not pipe.closing:
        connection.eof_received()
    if dice.random() < 0.3:
        connection.shut()
    connection.connection_lost(None)
    serving.catch_up()
    faults += serving.faults
    serving.faults.clear()
    serving.kept.clear() if "kept" in vars(serving) else None
    left = (shared.strangers.total, shared.persons.under_way("ada"), len(shared.open))
    if left != (0, 0, 0) or shared.unknown:
        faults.append(f"left behind: {left}")
    return faults


async def fuzz(seconds: float, seed: int) -> list[str]:
    """Run for so long; what was found, each with the seed that finds it again."""
    shared = ClientConnections(LIMITS, StrangerBytes(STRANGERS), PersonBytes(PERSON, 4 * PERSON))

    async def connection_and_reader(dice: random.Random) -> list[str]:
        return [*visit(dice, shared, Counting(dice)), *told_apart(dice)]

    gc.collect()
    gc.disable()
    try:
        return await finds(seconds, seed, connection_and_reader, KEPT_MIB)
    finally:
        gc.enable()


if __name__ == "__main__":
    from_terminal(fuzz)
