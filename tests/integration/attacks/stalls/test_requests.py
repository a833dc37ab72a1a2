"""Whatever a stranger, a member or an auditor sends at the default limits holds nobody else up."""

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest
from tests.gate import MODERN, Client
from tests.integration.attacks.stalls.throwing import (
    BODY,
    MIB,
    UNITS,
    VALUES,
    Pitch,
    array,
    heaviest,
    keys,
    text,
)
from tests.stage import mirrored, raw_post
from tests.wire import Wire

BOTH = "application/json, text/event-stream"
Heavy = Iterator[tuple[str, bytes]]


def send(pitch: Pitch, body: bytes, *, path: str = "", token: str = "", **headers: str) -> None:
    """Send a request, and wait for the beginning of its answer, which may be a stream."""
    head = {"Authorization": f"Bearer {token or pitch.token}", "Accept": BOTH}
    head |= {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.suppress(OSError), Wire(pitch.gate.port) as wire:
        wire.socket.settimeout(5)
        wire.send(raw_post(path or pitch.place.path, body, head))
        wire.socket.recv(65_536)


def said(method: str, params: bytes, meta: bytes = b"", can: bytes = b"{}") -> bytes:
    """A modern request around heavy params."""
    return (
        b'{"jsonrpc":"2.0","id":1,"method":"%b","params":{%b"_meta":{%b'
        b'"io.modelcontextprotocol/protocolVersion":"%b",'
        b'"io.modelcontextprotocol/clientCapabilities":%b}}}'
    ) % (method.encode(), params, meta, MODERN.encode(), can)


def heavy_values() -> Heavy:
    """Values that are much work for their bytes."""
    for name, unit in UNITS.items():
        yield f"as many {name} as a message may hold", heaviest(unit, BODY)
        yield f"4 MiB of {name}", array(unit, BODY)
    yield "4 MiB of blanks", b"[" + b"\n" * BODY + b"]"
    yield "deep lists", b"[" * 120 + b"]" * 120
    yield "many keys", keys(VALUES)


def texts() -> Heavy:
    """Strings that are much work for their bytes."""
    for inside in (b"x", b"\\u0041", "\u00e9".encode(), b"%41", b"__", b"/a?", b"\\n"):
        yield f"4 MiB of {inside.decode()}", text(inside, BODY)


def params_of_members() -> Iterator[tuple[str, str, bytes]]:
    """Method, what is heavy about it, and the request."""
    for what, value in heavy_values():
        yield "tools/list", f"_meta of {what}", said("tools/list", b"", b'"x":%b,' % value)
        yield "tools/call", what, said("tools/call", b'"name":"x","arguments":%b,' % value)
        yield "tools/list", f"the message is {what}", value
        yield "tools/list", f"capabilities of {what}", said("tools/list", b"", b"", value)
        can = b'{"elicitation":%b,"extensions":%b}' % (value[: BODY // 2], value[: BODY // 2])
        yield "tools/list", f"elicitation of {what}", said("tools/list", b"", b"", can)
        info = b'"io.modelcontextprotocol/clientInfo":{"name":%b},' % value
        yield "tools/list", f"the name of {what}", said("tools/list", b"", info)
        retry = b'"name":"x","requestState":"s","inputResponses":%b,' % value
        yield "tools/call", f"answers of {what}", said("tools/call", retry)
        wants = b'"notifications":{"resourceSubscriptions":%b},' % value
        yield "subscriptions/listen", what, said("subscriptions/listen", wants)
        wants = b'"notifications":%b,' % value
        yield "subscriptions/listen", f"kinds of {what}", said("subscriptions/listen", wants)
    tasks = b'{"extensions":{"io.modelcontextprotocol/tasks":{}}}'
    for what, value in texts():
        for method, name in (
            ("tools/call", "name"),
            ("prompts/get", "name"),
            ("resources/read", "uri"),
            ("tasks/get", "taskId"),
            ("tools/list", "cursor"),
        ):
            params = b'"%b":%b,' % (name.encode(), value)
            yield method, f"{name} of {what}", said(method, params, b"", tasks)
        yield "tools/list", f"id of {what}", b'{"jsonrpc":"2.0","id":%b,"method":"x"}' % value
        yield "tools/list", f"method of {what}", b'{"jsonrpc":"2.0","id":1,"method":%b}' % value


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_message_of_a_member_holds_the_loop(pitch: Pitch):
    for method, what, body in params_of_members():
        mine = mirrored(method)
        pitch.throw(f"{method}, {what}", lambda body=body, mine=mine: send(pitch, body, **mine))
    assert pitch.told() == []


def of_a_session() -> Heavy:
    """Messages and batches of a legacy session, heavy in what each method reads."""
    for what, value in texts():
        for method, name in (
            ("tools/call", "name"),
            ("resources/read", "uri"),
            ("resources/subscribe", "uri"),
            ("resources/unsubscribe", "uri"),
            ("tools/list", "cursor"),
            ("logging/setLevel", "level"),
        ):
            params = b'"%b":%b' % (name.encode(), value)
            body = b'{"jsonrpc":"2.0","id":1,"method":"%b","params":{%b}}'
            yield f"{method}, {name} of {what}", body % (method.encode(), params)
        taken_back = (
            b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%b}}'
        )
        yield f"cancelled, {what}", taken_back % value
    for what, value in heavy_values():
        yield f"a response of {what}", b'{"jsonrpc":"2.0","id":1,"result":%b}' % value
        complete = b'{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":%b}'
        yield f"a reference of {what}", complete % (b'{"ref":%b,"argument":{}}' % value)
        yield f"a batch of {what}", value
        hello = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":%b}'
        opened = b'{"protocolVersion":"2025-11-25","capabilities":%b,"clientInfo":{}}' % value
        yield f"a handshake with {what}", hello % opened
    part = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":%b,"x":%b}}'
    for name, unit in UNITS.items():
        ping = part % (keys(900), heaviest(unit, min(60_000, 4_000 * len(unit) // 3)))
        yield f"50 pings with {name}", b"[" + b",".join([ping] * 50) + b"]"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_message_of_a_session_holds_the_loop(pitch: Pitch):
    hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "n"}}
    opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    answer = pitch.place.client(pitch.token).post(json.dumps(opening).encode())
    session = {"Mcp_Session_Id": answer.headers["mcp-session-id"]}
    for what, body in of_a_session():
        pitch.throw(what, lambda body=body: send(pitch, body, **session))
    assert pitch.told() == []


def streams_of_bytes(token: str) -> Heavy:
    """What needs no JSON: heads, chunks, trailers, and requests one behind the other."""
    head = (
        b"POST /k/stalls/mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\n"
    ) % token.encode()
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    yield "a head of many fields", head + b"a: b\r\n" * 6_000 + b"\r\n"
    yield "a head of 256 fields", head + b"".join(b"a%d: b\r\n" % n for n in range(250)) + b"\r\n"
    yield "an endless field", head + b"a: " + b"x" * MIB
    yield "chunks of a byte", chunked + b"1\r\n \r\n" * 700_000 + b"0\r\n\r\n"
    yield "chunks of 16 bytes", chunked + (b"10\r\n%b\r\n" % (b" " * 16)) * 250_000
    yield "extensions of chunks", chunked + b"1;x\r\n \r\n" * 600_000
    yield "an endless extension", chunked + b"1;" + b"x" * (30 * MIB)
    yield "trailers", chunked + b"0\r\n" + b"a: b\r\n" * 1_000_000 + b"\r\n"
    yield "an endless trailer", chunked + b"0\r\na: " + b"x" * (22 * MIB)
    few = chunked + b"1\r\n \r\n" * 3_000 + b"0\r\n\r\n"
    yield "requests of chunks, one behind the other", few * 60
    yield "small requests, one behind the other", (head + b"Content-Length: 2\r\n\r\n{}") * 10_000
    yield "looks at health", b"GET /api/v1/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 30_000
    yield "empty lines", b"\r\n" * (5 * MIB)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("known", [False, True], ids=["stranger", "member"])
def test_no_bytes_of_a_connection_hold_the_loop(pitch: Pitch, known: bool):
    def pour(data: bytes) -> None:
        with contextlib.suppress(OSError), Wire(pitch.gate.port) as wire:
            wire.socket.settimeout(5)
            wire.send(data)
            wire.socket.recv(65_536)

    for what, data in streams_of_bytes(pitch.token if known else "nobody"):
        pitch.throw(what, lambda data=data: pour(data))
    assert pitch.told() == []


def of_the_admin_api() -> Iterator[tuple[str, str, bytes]]:
    """Path below the workspace, what is heavy about it, and the body."""
    for what, value in heavy_values():
        for path in ("/members", "/servers", "/tokens", "/guardrails/check", "/servers/x/approve"):
            yield path, what, value
        yield "/members", f"an address of {what}", b'{"email":%b}' % value
        yield "/grants", f"tools of {what}", b'{"member":"a","tools":%b}' % value
    for what, value in texts():
        yield "/members", f"an address, {what}", b'{"email":%b}' % value
        yield "/tokens", f"a name, {what}", b'{"member":%b}' % value
        yield "/guardrails/check", f"a rule, {what}", b'{"text":%b}' % value
        yield "/apply?dry_run=true", f"a file, {what}", b'{"text":%b}' % value
    for count in (20_000, 40_000, VALUES // 3):
        pinned = b'{"tools":%b}' % keys(count, b'"%064d"' % 7)
        yield "/servers/x/approve", f"{count} tools", pinned[:BODY]
        found = b'{"tools":%b}' % keys(count, b'{"digest":"%064d"}' % 7)
        yield "/servers/x/tools/review", f"{count} findings", found
    lines = (
        "".join(f'[[members]]\nemail = "m{n}@x.test"\n' for n in range(50_000)),
        "".join(f'[[servers]]\nalias = "s{n}"\nurl = "https://x.test"\n' for n in range(30_000)),
        "".join(f"k{n} = 1\n" for n in range(200_000)),
        "a" + ".a" * 15_000 + " = 1",
        "a = " + "[" * 100_000,
    )
    for number, each in enumerate(lines):
        yield "/apply?dry_run=true", f"file {number}", json.dumps({"text": each}).encode()
    rules = ("(" * 16_000, "\n" * 16_000 + "x", "1 == 1 && " * 1_600, ".now" * 4_000, "[" * 16_000)
    for each in rules:
        rule = f"forbid (principal, action, resource) when {{ {each} }};"
        body = json.dumps({"text": rule}).encode()
        yield "/guardrails/check", f"a rule of {each[:8]!r}", body


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ["owner", "member"])
def test_no_request_to_the_admin_api_holds_the_loop(pitch: Pitch, role: str):
    token = pitch.place.token if role == "owner" else pitch.token
    for below, what, body in of_the_admin_api():
        path = f"/api/v1/workspaces/stalls{below}"
        pitch.throw(
            f"{below}, {what}",
            lambda body=body, path=path: send(pitch, body, path=path, token=token),
        )
    assert pitch.told() == []


WORDS: dict[str, Callable[[], str]] = {
    "one long word": lambda: "x" * 30_000,
    "many words": lambda: ",".join(["a"] * 15_000),
    "escapes": lambda: "%41" * 10_000,
    "escapes that are no letters": lambda: "%ff" * 10_000,
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("words", WORDS)
def test_no_question_to_the_admin_api_holds_the_loop(pitch: Pitch, words: str):
    client = Client(pitch.gate.port, pitch.place.token)
    for below in (
        *(f"/audit/records?{each}=" for each in ("tool", "member", "server", "outcome", "since")),
        "/audit/records?cursor=",
        "/audit/changes?type=",
        "/members?cursor=",
        "/servers?cursor=",
        "/access/explain?principal=me&tool=",
        "/servers/",
        "/members?a=1&b=",
    ):
        client.path = f"/api/v1/workspaces/stalls{below}{WORDS[words]()}"
        head = {"Authorization": f"Bearer {client.token}"}
        pitch.throw(below, lambda head=head: client.send("GET", b"", head))
    assert pitch.told() == []


AT_ONCE = 12
"""Requests of one person that become whole in the same moment."""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_large_requests_that_come_together_do_not_add_up(pitch: Pitch):
    members = "/api/v1/workspaces/stalls/members"
    params = b'"x":%b,' % heaviest(b'{"a":[]},', BODY)
    asked = {
        "the admin API, keys": (members, keys(90_000), {}),
        "the admin API, text": (members, b'{"email":%b}' % text(b"\\n", BODY), {}),
        "lists": (pitch.place.path, said("tools/list", b"", params), mirrored("tools/list")),
    }
    for what, (path, body, mine) in asked.items():
        token = pitch.place.token if path == members else pitch.token
        request = raw_post(path, body, {"Authorization": f"Bearer {token}", **mine})

        def together(request: bytes = request) -> None:
            with contextlib.ExitStack() as all_of_them:
                wires = [all_of_them.enter_context(Wire(pitch.gate.port)) for _ in range(AT_ONCE)]
                for wire in wires:
                    wire.send(request[:-1])
                for wire in wires:
                    wire.send(request[-1:])
                for wire in wires:
                    wire.answer()

        pitch.throw(what, together)
    assert pitch.told() == []
