"""Answers of a server over HTTP, as a stream, and over stdio: what may come of them, however odd.

Nothing holds the loop, nothing but an answer or an error of ours comes of it, and what a client
would get is JSON-RPC that every client reads.
`python -m tests.fuzz.answers` runs for an hour, or for `GATELODGE_FUZZ_SECONDS`.
"""

import asyncio
import json
import random
from functools import partial
from types import SimpleNamespace

from msgspec import Raw
from tests.fuzz.json_texts import mutated, piece
from tests.fuzz.oracles import STALL, Stall, finds, from_terminal, stood_still
from tests.unit.net.test_portions import Pipe

from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.connection import HttpConnection
from gatelodge.adapters.upstream.http.pending import PendingHttpRequest
from gatelodge.adapters.upstream.http.streamable_http import StreamableHttpTransport
from gatelodge.adapters.upstream.pending import PendingRequest
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.stdio.channel import StdioChannel
from gatelodge.adapters.upstream.stdio.pipes import StdioPipesTransport
from gatelodge.core.catalog.server import HttpTransport, StdioTransport
from gatelodge.core.errors import HouseError
from gatelodge.core.jsontext.jsonrpc import raw_error_body, result_body
from gatelodge.core.protocol.result import for_client, mended, misshapen
from gatelodge.flows.gateway.answers import RpcFailed, UpstreamResult, answer_of
from gatelodge.ports.upstream import OnBehalfOf, UpstreamRequest

LARGEST = 6 * 1024 * 1024
KEPT_MIB = 300
METHODS = ("tools/call", "tools/call", "prompts/get", "resources/read", "completion/complete")
STREAM = b"text/event-stream"


def _nothing(*_: object) -> None:
    pass


QUIET = SimpleNamespace(
    cancel=_nothing,
    respond=_nothing,
    hold=_nothing,
    broke=_nothing,
    changed=_nothing,
    updated=_nothing,
    aside=_nothing,
)
"""A connection that takes note of nothing."""


def _session(transport: object, context: object) -> McpSession:
    make = partial(transport, context)  # type: ignore[call-overload]
    return McpSession(make, "auto", context, QUIET, OnBehalfOf("ada"))  # type: ignore[arg-type]


def message(dice: random.Random, number: int) -> bytes:
    """One message of a server, mostly the answer."""
    result = {"content": b"[]"} | {
        name: piece(dice, LARGEST // 2)
        for name in (
            "content",
            "messages",
            "contents",
            "completion",
            "_meta",
            "isError",
            "resultType",
        )
        if dice.random() < 0.25
    }
    said = {"jsonrpc": b'"2.0"', "id": b"%d" % number}
    roll = dice.random()
    if roll < 0.6:
        said["result"] = (
            b"{" + b",".join(b'"%b":%b' % (k.encode(), v) for k, v in result.items()) + b"}"
        )
    elif roll < 0.8:
        method = dice.choice((b"message", b"progress", b"tools/list_changed", b"cancelled", b"odd"))
        said |= {"method": b'"notifications/%b"' % method, "params": _params(dice, number)}
    if dice.random() < 0.3:
        error = (b"null", b'{"code":-32000,"message":"m"}', piece(dice, 10_000))
        said["error"] = dice.choice(error)
    for name in [each for each in said if dice.random() < 0.04]:
        said[name] = piece(dice, 1_000)
    kept = [
        b'"%b":%b' % (name.encode(), text) for name, text in said.items() if dice.random() > 0.02
    ]
    return mutated(dice, b"{" + b",".join(kept) + b"}")[: LARGEST + 8192]


def _params(dice: random.Random, number: int) -> bytes:
    if dice.random() < 0.3:
        return piece(dice, 100_000)
    given = {"level": b'"info"', "data": piece(dice, 1_000), "progress": piece(dice, 100)}
    given["progressToken"] = b"%d" % number
    return b"{" + b",".join(b'"%b":%b' % (k.encode(), v) for k, v in given.items()) + b"}"


def answer(dice: random.Random, number: int) -> bytes:
    """Bytes of an HTTP server."""
    if dice.random() < 0.5:
        kind, body = b"application/json", message(dice, number)
    else:
        filler = dice.choice(
            (b"\n", b": \n", b"data: x\n\n", b"data:\n", b"id: 7\n", b"\r\n", b"x\n")
        )
        kind, parts = STREAM, [filler * dice.choice((0, 0, 3, 20_000, 200_000))]
        for _ in range(dice.randrange(4)):
            text = message(dice, number).replace(b"\n", b" ")
            parts.append(b"data: " + text + dice.choice((b"\n\n", b"\r\n\r\n", b"\n", b"\r\r")))
        body = b"".join(parts)
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\n"
    head %= (dice.choice((b"200 OK", b"200 OK", b"200 OK", b"400 No", b"404 No", b"503 No")), kind)
    if dice.random() < 0.5:
        return head + b"content-length: %d\r\n\r\n" % len(body) + body
    step = dice.choice((1, 100, 60_000)) if len(body) < 200_000 else 60_000
    extension = dice.choice((b"", b"", b";x=" + b"y" * 1000))
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    chunks = [b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts]
    trailer = dice.choice((b"", b"x: y\r\n", b"x: " + b"y" * 300_000, b"x: y\r\n" * 30_000))
    early = dice.choice(
        (b"", b"", b"HTTP/1.1 103 E\r\n\r\n", b"HTTP/1.1 103 E\r\nx: y\r\n\r\n" * 9_000)
    )
    whole = early + head + b"transfer-encoding: chunked\r\n\r\n"
    return whole + b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


def readable(body: bytes, method: str) -> bool:
    """True when every client reads this message as the answer to its request."""
    said = json.loads(body)
    if (
        said.get("jsonrpc") != "2.0"
        or said.get("id") != 7
        or ("result" in said) == ("error" in said)
    ):
        return False
    if "error" in said:
        error = said["error"]
        return isinstance(error["code"], int) and isinstance(error["message"], str)
    result = said["result"]
    holds = {"tools/call": "content", "prompts/get": "messages", "resources/read": "contents"}
    return (
        isinstance(result, dict)
        and isinstance(result.get("_meta", {}), dict)
        and isinstance(result.get("isError", False), bool)
        and (method not in holds or isinstance(result.get(holds[method]), list))
    )


def judge(flight: PendingRequest) -> list[str]:
    """What is wrong with how this flight ended, if it did."""
    reply = flight.reply
    if not reply.done() or reply.cancelled():
        return []
    if reply.exception() is not None:
        known = isinstance(reply.exception(), HouseError)
        return [] if known else [f"ended in {reply.exception()!r}"[:200]]
    method = flight.request.method
    faults = []
    with stood_still() as took:
        came = answer_of(reply.result(), "call", "modern", asks=False)
        body = b""
        if isinstance(came, RpcFailed):
            body = raw_error_body(b"7", bytes(came.error))
        elif isinstance(came, UpstreamResult) and not misshapen(method, came.members):
            raw, members = mended(came.raw, came.members, method)
            body = result_body(b"7", for_client(raw, members, "modern", b"{}", method))
    if took[0] > STALL:
        faults.append(Stall(f"read for {took[0] * 1000:.0f} ms"))
    if body and not readable(body, method):
        faults.append(f"a client cannot read {body[:200]!r}")
    return faults


async def _fed(feed: object, pipe: Pipe, pieces: list[bytes]) -> float:
    """Give the pieces, as a socket would; the longest that the loop stood still."""
    worst = 0.0
    for part in pieces:
        with stood_still() as took:
            feed(part)  # type: ignore[operator]
        worst = max(worst, took[0])
        while not pipe.reads and not pipe.aborted:
            with stood_still() as took:
                await asyncio.sleep(0)
            worst = max(worst, took[0])
    return worst


def _cut(dice: random.Random, text: bytes, most: int) -> list[bytes]:
    step = dice.choice((most, most, 4096)) if len(text) < 1_000_000 else most
    return [text[at : at + step] for at in range(0, len(text), step)]


def _dispatch_output_line(notes: list[bytes]) -> object:
    return lambda _, params: notes.append(params) if len(notes) < 100 else None


async def over_http(dice: random.Random) -> list[str]:
    """One answer over HTTP; what was wrong."""
    pipe, dialled = Pipe(), asyncio.Event()
    # No header names one, nothing is dialled.
    means = SimpleNamespace(secrets=SecretRefs(), workspace="", version="1")
    definition = HttpTransport(url="http://127.0.0.1:1/mcp", allow_private=True)
    session = _session(partial(StreamableHttpTransport, definition), means)
    session._speak_era(modern=dice.random() < 0.5)
    wire = session.transport
    assert isinstance(wire, StreamableHttpTransport)
    await wire.open()

    async def dial() -> HttpConnection:
        connection = HttpConnection(client)
        connection.connection_made(pipe)  # type: ignore[arg-type]
        dialled.set()
        return connection

    client, notes = HttpClient(dial), []
    wire._client = client
    asked = UpstreamRequest(method=dice.choice(METHODS), params={}, seconds=60, max_bytes=LARGEST)
    flight = session.flights.add(asked, _dispatch_output_line(notes))  # type: ignore[arg-type]
    flight.token = Raw(b"1")
    assert isinstance(flight, PendingHttpRequest)
    flight.owner, flight.in_session, flight.last, flight.events = wire, False, b"", None
    flight.epoch = wire._epoch
    client.send(flight)
    await dialled.wait()
    text, connection = answer(dice, flight.number), flight.place
    assert isinstance(connection, HttpConnection)
    worst = await _fed(connection.data_received, pipe, _cut(dice, text, 262_144))
    connection.connection_lost(None)
    await client.close()
    return _told(worst, notes, flight, text)


async def over_stdio(dice: random.Random) -> list[str]:
    """Some lines over stdio; what was wrong."""
    pipe, notes = Pipe(), []
    means = SimpleNamespace(result_bytes=LARGEST)
    definition = StdioTransport(command=("x",))
    session = _session(
        lambda means, own: StdioPipesTransport(
            SimpleNamespace(id="srv_x", workspace="wsp_x"), definition, means, None, own
        ),
        means,
    )  # type: ignore[arg-type]
    wire = session.transport
    assert isinstance(wire, StdioPipesTransport)
    asked = UpstreamRequest(method=dice.choice(METHODS), params={}, seconds=60, max_bytes=LARGEST)
    flight = session.flights.add(asked, _dispatch_output_line(notes))  # type: ignore[arg-type]
    flight.token, flight.place = Raw(b"1"), wire
    lines = StdioChannel(
        longest=wire._longest_awaited_line,
        line=session.inbound.receive,
        too_long=wire._too_long,
        end=_nothing,
    )
    lines.connection_made(pipe)  # type: ignore[arg-type]
    filler = dice.choice((b"\n", b"x\n", b"{}\n", b'{"id":1}\n', b"\r\n", b'"id":1\n'))
    parts = [filler * dice.choice((0, 0, 3, 20_000, 200_000))]
    parts += [
        message(dice, flight.number).replace(b"\n", b" ") + b"\n" for _ in range(dice.randrange(4))
    ]
    text = b"".join(parts)
    worst = await _fed(lines.data_received, pipe, _cut(dice, text, 65_536))
    lines.connection_lost(None)
    return _told(worst, notes, flight, text)


def _told(worst: float, notes: list[bytes], flight: PendingRequest, text: bytes) -> list[str]:
    faults = judge(flight)
    if worst > STALL:
        faults.append(Stall(f"held the loop for {worst * 1000:.0f} ms ({len(text)} bytes)"))
    if any(not isinstance(json.loads(params), dict) for params in notes):
        faults.append("a notification without an object")
    return faults


async def visit(dice: random.Random) -> list[str]:
    """One answer, over one of the two; what was wrong."""
    return await dice.choice((over_http, over_stdio))(dice)


async def fuzz(seconds: float, seed: int) -> list[str]:
    """Run for so long; what was found, each with the seed that finds it again."""
    return await finds(seconds, seed, visit, KEPT_MIB)


if __name__ == "__main__":
    from_terminal(fuzz)
