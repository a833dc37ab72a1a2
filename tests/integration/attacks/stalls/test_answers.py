"""Whatever a server answers at the default limits, over HTTP or stdio, holds nobody else up."""

import contextlib
import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.attacks.stalls.throwing import (
    MIB,
    RESULT,
    UNITS,
    VALUES,
    Pitch,
    array,
    heaviest,
    keys,
    text,
)
from tests.stage import Servers
from tests.upstreams.http_upstream import HttpUpstream, Talk
from tests.wire import until

SCRIPT = Path(__file__).with_name("hostile_server.py")
JSON, EVENTS = b"application/json", b"text/event-stream"
Answers = Iterator[tuple[str, bytes]]
NOTES = {
    "log messages": b'{"jsonrpc":"2.0","method":"notifications/message",'
    b'"params":{"level":"info","data":1}}',
    "changes": b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}',
    "strays": b'{"jsonrpc":"2.0","id":999999,"result":{}}',
    "pings": b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    "questions": b'{"jsonrpc":"2.0","id":1,"method":"elicitation/create",'
    b'"params":{"message":"m","requestedSchema":{}}}',
    "halves": b'{"id":1234567,{{',
}


def messages() -> Answers:
    """Members of a response behind its id, each as heavy as a server may make it."""
    for name, unit in UNITS.items():
        for what, value in (
            (f"as many {name} as a message may hold", heaviest(unit, RESULT)),
            (f"6 MiB of {name}", array(unit, RESULT)),
        ):
            yield f"content, {what}", b'"result":{"content":%b}' % value
            inside = b'"result":{"content":[],"structuredContent":{"a":%b}}'
            yield f"structured, {what}", inside % value
    many = keys(VALUES)
    yield "a result of many keys", b'"result":%b' % many
    yield "_meta of many keys", b'"result":{"content":[],"_meta":%b}' % many
    yield "structured, many keys", b'"result":{"content":[],"structuredContent":%b}' % many
    yield "a block of many keys", b'"result":{"content":[%b]}' % many
    asks = b'"result":{"resultType":"input_required","requestState":"s","inputRequests":%b}'
    yield "many questions that are none", asks % many
    question = b'{"method":"elicitation/create","params":{"message":"x","requestedSchema":{}}}'
    yield "many questions", asks % keys(40_000, question)
    yield (
        "a long state",
        b'"result":{"resultType":"input_required","requestState":%b}' % text(b"x", RESULT),
    )
    visit = b'{"mode":"url","url":"https://x.test/","elicitationId":"1","message":"m"},'
    fault = b'"error":{"code":-32042,"message":"m","data":{"elicitations":%b}}'
    yield "many pages to visit", fault % heaviest(visit, RESULT)
    yield "an error with many keys", b'"error":{"code":-32042,"message":"m","data":%b}' % many
    yield "a long error", b'"error":{"code":-32000,"message":%b}' % text(b"\\u0041", RESULT)
    yield "a task of many keys", b'"result":{"resultType":"task","task":%b}' % many
    for inside in (b"\\n", "\u00e9".encode(), b"\xff", b"\\ud800"):
        block = b'"result":{"content":[{"type":"text","text":%b}]}'
        yield f"6 MiB of {inside!r}", block % text(inside, RESULT)
    for inside in (b"%41", b"/[?#"):
        link = b'"result":{"content":[{"type":"resource_link","name":"n","uri":"a:%b"}]}'
        yield f"a link of {inside!r}", link % (inside * (RESULT // len(inside)))


def bodies() -> Answers:
    """Answers down to their bytes: heads, chunks, events, and what is packed."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"
    chunked = head % JSON + b"transfer-encoding: chunked\r\n\r\n"
    yield "chunks of a byte", chunked + b"1\r\n \r\n" * 1_000_000 + b"0\r\n\r\n"
    yield "extensions", chunked + (b"1;%b\r\n \r\n" % (b"x" * 1_000)) * 20_000 + b"0\r\n\r\n"
    yield "an endless extension", chunked + b"1;" + b"x" * (30 * MIB)
    yield "trailers", chunked + b"0\r\n" + b"a: b\r\n" * 1_000_000 + b"\r\n"
    yield "an endless trailer", chunked + b"0\r\na: " + b"x" * (30 * MIB)
    yield "an endless head", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2_000_000
    yield "an endless field", b"HTTP/1.1 200 OK\r\na:" + b"a" * (20 * MIB)
    yield "interim answers", b"HTTP/1.1 103 E\r\n\r\n" * 1_000_000
    packed = gzip.compress(b" " * (60 * MIB))
    coded = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    yield "60 MiB in a few bytes", head % JSON + coded + packed
    stream = head % EVENTS + b"connection: close\r\n\r\n"
    for unit in (b"\n", b": \n", b"data: x\n\n", b"data:\n", b"id: 7\n", b"\r\r", b"event: e\n\n"):
        yield f"events of {unit!r}", stream + unit * (RESULT // len(unit))
    for name, note in NOTES.items():
        yield f"a stream of {name}", stream + b"data: %b\n\n" % note * (MIB // len(note))


@pytest.fixture(scope="module")
def server(pitch: Pitch, servers: Servers) -> HttpUpstream:
    """A server whose answers are what a test says."""
    upstream = servers.open(HttpUpstream())
    pitch.place.serve("hostile", upstream.url)
    pitch.place.grant(member="ada@example.test", server="hostile", level="all")
    client = pitch.place.client(pitch.token)
    until(lambda: "hostile__echo" in client.tools())
    return upstream


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_no_answer_over_http_holds_the_loop(
    pitch: Pitch, server: HttpUpstream, era: str, streamed: bool
):
    place = pitch.place
    client = place.client(pitch.token) if era == "modern" else place.legacy(pitch.token)
    for what, members in messages():

        def answer(talk: Talk, members: bytes = members) -> None:
            body = b'{"jsonrpc":"2.0","id":%d,%b}' % (talk.seen.message["id"], members)
            if not streamed:
                talk.answer("200 OK", body)
                return
            talk.stream()
            talk.chunk(b"data: %b\n\n" % body)
            talk.end()

        server.tools["echo"] = answer
        pitch.throw(what, lambda: client.call("hostile__echo", {}))
    assert pitch.told() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_bytes_over_http_hold_the_loop(pitch: Pitch, server: HttpUpstream):
    client = pitch.place.client(pitch.token)
    for what, data in bodies():

        def answer(talk: Talk, data: bytes = data) -> None:
            talk.writer.write(data)
            talk.close()

        server.tools["echo"] = answer
        pitch.throw(what, lambda: client.call("hostile__echo", {}))
    assert pitch.told() == []


def tool(name: str, **schema: Any) -> dict[str, Any]:
    """A tool with this schema."""
    return {"name": name, "inputSchema": {"type": "object", **schema}}


def nested(depth: int) -> dict[str, Any]:
    """A schema that deep."""
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


OFFERS: dict[str, Callable[[], tuple[str, str, list[dict[str, Any]]]]] = {
    "1,000 tools": lambda: ("tools/list", "tools", [tool(f"t{n}") for n in range(1_000)]),
    "40,000 tools": lambda: ("tools/list", "tools", [tool(f"t{n}") for n in range(40_000)]),
    "a long name": lambda: ("tools/list", "tools", [tool("n" * (3 * MIB))]),
    "long names": lambda: ("tools/list", "tools", [tool("n" * 3_000 + str(n)) for n in range(900)]),
    "many properties": lambda: (
        "tools/list",
        "tools",
        [tool("n", properties={f"p{n}": {"type": "string"} for n in range(60_000)})],
    ),
    "many headers": lambda: (
        "tools/list",
        "tools",
        [
            tool(
                "n",
                properties={
                    f"p{n}": {"type": "string", "x-mcp-header": f"H{n}"} for n in range(40_000)
                },
            )
        ],
    ),
    "many required": lambda: (
        "tools/list",
        "tools",
        [tool("n", required=[f"p{n}" for n in range(200_000)])],
    ),
    "a long pattern": lambda: (
        "tools/list",
        "tools",
        [tool("n", properties={"a": {"type": "string", "pattern": "(a+)+$" * 300_000}})],
    ),
    "deep schemas": lambda: (
        "tools/list",
        "tools",
        [tool(f"n{n}", **nested(90)) for n in range(900)],
    ),
    "long numbers": lambda: (
        "tools/list",
        "tools",
        [tool("n", enum=[10**300 + n for n in range(10_000)])],
    ),
    "many prompts": lambda: (
        "prompts/list",
        "prompts",
        [{"name": f"p{n}", "arguments": [{"name": "a"}]} for n in range(40_000)],
    ),
    "a prompt with many arguments": lambda: (
        "prompts/list",
        "prompts",
        [{"name": "p", "arguments": [{"name": f"a{n}"} for n in range(80_000)]}],
    ),
    "many resources": lambda: (
        "resources/list",
        "resources",
        [{"uri": f"a://b/{n}", "name": "n"} for n in range(60_000)],
    ),
    "a long address": lambda: (
        "resources/list",
        "resources",
        [{"uri": "a://b/" + "%41" * MIB, "name": "n"}],
    ),
    "many templates": lambda: (
        "resources/templates/list",
        "resourceTemplates",
        [{"uriTemplate": f"a://b/{n}/{{x}}", "name": "n"} for n in range(40_000)],
    ),
    "a long template": lambda: (
        "resources/templates/list",
        "resourceTemplates",
        [{"uriTemplate": "a://b/" + "{x}/" * 800_000, "name": "n"}],
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_that_a_server_lists_holds_the_loop(pitch: Pitch, servers: Servers):
    upstream = servers.open(HttpUpstream(can={"prompts": {}, "resources": {}}))
    pitch.place.serve("shelf", upstream.url)
    for what, offered in OFFERS.items():
        method, member, items = offered()

        def listed(talk: Talk, member: str = member, items: Any = items) -> None:
            talk.result({member: items, "ttlMs": 0, "cacheScope": "private"})

        def look() -> None:
            with contextlib.suppress(AssertionError):  # some of it is refused, and may be
                pitch.place.api("POST", "/servers/shelf/observe", {})

        upstream.methods = {method: listed}
        pitch.throw(what, look)
    assert pitch.told() == []


def lines() -> Iterator[tuple[str, bytes, bytes | None]]:
    """What a process says before its answer, and its answer if it is an odd one."""
    for unit in (b"\n", b"x\n", b"{}\n", b"[" * 5_000 + b"\n"):
        yield f"lines of {unit[:4]!r}", unit * (2 * MIB // len(unit)), None
    for name, note in NOTES.items():
        yield name, (note + b"\n") * (2 * MIB // len(note)), None
    heavy = (
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%b}}\n'
    )
    for name, unit in UNITS.items():
        yield f"log messages of {name}", (heavy % heaviest(unit, MIB)) * 6, None
    yield (
        "notes of many keys",
        (b'{"jsonrpc":"2.0","method":"x","params":%b}\n' % keys(VALUES)),
        None,
    )
    for name, members in messages():
        if "keys" in name or "many" in name:
            yield f"answer: {name}", b"", b'{"jsonrpc":"2.0","id":ID,%b}' % members


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_line_over_stdio_holds_the_loop(pitch: Pitch, tmp_path: Path):
    pitch.place.spawn("process", sys.executable, str(SCRIPT), str(tmp_path))
    pitch.place.grant(member="ada@example.test", server="process", level="all")
    client = pitch.place.client(pitch.token)
    until(lambda: "process__say" in client.tools())
    (tmp_path / "nothing").write_bytes(b"")

    def well() -> bool:
        return (
            '"isError":true' not in client.call("process__say", {"kind": "nothing"}).body.decode()
        )

    for number, (what, before, answer) in enumerate(lines()):
        kind = f"kind-{number}"
        (tmp_path / kind).write_bytes(before)
        if answer is not None:
            (tmp_path / f"{kind}.answer").write_bytes(answer)

        def call(kind: str = kind) -> None:
            until(well, why="the process is there")
            client.call("process__say", {"kind": kind})

        pitch.throw(what, call)
    assert pitch.told() == []
