"""What is wrong with a request's HTTP: each row down to its bytes, its answer and its record."""

import socket
from typing import NamedTuple

import pytest
from tests.gate import Client
from tests.stage import Place, Stage, mirrored, modern, raw_post
from tests.upstreams.http_upstream import HttpUpstream
from tests.wire import Wire

PATH = "/k/wires/mcp"
LIST = mirrored("tools/list")
BODY = modern("tools/list")
HEAD = b"POST /k/wires/mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BIG = 65536 + 1
FEW = b"20\r\n%b\r\n" % (b"[]" * 16)
ANNOUNCED = HEAD + b"Content-Length: %d\r\n\r\n" % BIG
UNCOUNTABLE = HEAD + b"Content-Length: %b\r\n\r\n" % (b"9" * 400)
LONG_HEAD = HEAD + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 900) for n in range(10)) + b"\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAA"


class Row(NamedTuple):
    """Bytes, the status and reason that they get, and how much of a body was read by then."""

    says: str
    sent: tuple[bytes, ...]
    http: int
    reason: str
    bytes_in: int = 0


UNREADABLE = [
    Row("two lengths", (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",), 400, "m"),
    Row("two other lengths", (HEAD + b"Content-Length: 2\r\nContent-Length: 0\r\n\r\n",), 400, "m"),
    Row(
        "a length and chunks",
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",),
        400,
        "m",
    ),
    Row(
        "chunks and a length",
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",),
        400,
        "m",
    ),
    Row(
        "chunks said twice",
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",),
        400,
        "m",
    ),
    Row("chunks not last", (HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n",), 400, "m"),
    Row("a signed length", (HEAD + b"Content-Length: +2\r\n\r\n{}",), 400, "m"),
    Row("a length in hex", (HEAD + b"Content-Length: 0x2\r\n\r\n{}",), 400, "m"),
    Row("a length beyond counting", (UNCOUNTABLE,), 400, "m"),
    Row("a folded line", (HEAD + b"Accept: a\r\n b\r\n\r\n",), 400, "m"),
    Row("a bare LF", (HEAD + b"Accept: a\nX: b\r\n\r\n",), 400, "m"),
    Row("bare LFs throughout", (HEAD.replace(b"\r\n", b"\n") + b"\n",), 400, "m"),
    Row("a bare CR", (HEAD + b"Accept: a\rX: b\r\n\r\n",), 400, "m"),
    Row("a blank before the colon", (HEAD + b"Accept : a\r\n\r\n",), 400, "m"),
    Row("a NUL in a value", (HEAD + b"Accept: a\0b\r\n\r\n",), 400, "m"),
    Row("a name of odd bytes", (HEAD + b"Acc\xffept: a\r\n\r\n",), 400, "m"),
    Row("a broken chunk size", (CHUNKED + b"zz\r\n{}\r\n",), 400, "m"),
    Row("a chunk longer than said", (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n",), 400, "m", 1),
    Row("HTTP/2 without asking", (HEAD.replace(b"/1.1", b"/2.0") + b"\r\n",), 505, "m"),
    Row("HTTP/0.9", (b"POST /k/wires/mcp\r\n\r\n",), 505, "m"),
    Row("a long head", (LONG_HEAD,), 431, "l"),
    Row("one long field", (HEAD + b"X: " + b"x" * 9000 + b"\r\n\r\n",), 431, "l"),
    Row("a field without end at once", (HEAD + b"X: " + b"x" * 32000,), 431, "l"),
    Row("a field without end", (HEAD + b"X: ", *[b"x" * 4000] * 8), 431, "l"),
    Row("a long body, announced", (ANNOUNCED, b"x" * BIG), 413, "l"),
    Row("a long body in one chunk", (CHUNKED + b"%x\r\n" % BIG, b"x" * BIG), 413, "l", -1),
    Row("a long body in many chunks", (CHUNKED, FEW * 2049), 413, "l", -1),
]  # fmt: skip
REASONS = {"m": "malformed_http", "l": "too_large"}


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    here = stage.place("wires")
    upstream = stage.servers.open(HttpUpstream())
    here.serve("up", upstream.url)
    return here


@pytest.fixture(scope="module")
def ada(place: Place) -> str:
    return place.admit("ada", up="all")


@pytest.fixture
def wire(stage: Stage):
    with stage.wire() as opened:
        yield opened


def post(
    ada: str, body: bytes = BODY, *more: bytes, headers: dict[str, str] | None = None
) -> bytes:
    """A good request, or one that `more` lines of its head make bad."""
    return raw_post(PATH, body, {"Authorization": f"Bearer {ada}", **(headers or LIST)}, *more)


def signed(sent: bytes, ada: str) -> bytes:
    """The same, with a good credential."""
    return sent.replace(
        b"127.0.0.1\r\n", b"127.0.0.1\r\nAuthorization: Bearer %b\r\n" % ada.encode()
    )


@pytest.mark.parametrize("row", UNREADABLE, ids=lambda row: row.says)
def test_what_is_no_http_is_answered_recorded_and_ends_the_connection(
    place: Place, ada: str, wire: Wire, row: Row
):
    before = len(place.leaves())
    answer = wire.send(signed(row.sent[0], ada), *row.sent[1:]).answer()
    assert (answer.status, answer.headers["connection"]) == (row.http, "close")
    assert (answer.json["error"]["code"], answer.json["id"]) == (-32600, None)
    (leaf,) = place.since(before)
    wanted = ("request.refused", REASONS[row.reason], row.http)
    assert (leaf["t"], leaf["reason"], leaf["http"]) == wanted
    assert leaf["bytes_in"] == row.bytes_in or (row.bytes_in < 0 and leaf["bytes_in"] > 65536)
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.is_closed()


def test_nothing_after_a_refused_head_is_taken_for_a_request(place: Place, ada: str, wire: Wire):
    before = len(place.leaves())
    smuggled = post(ada)
    lengths = HEAD + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    assert wire.send(lengths, smuggled).answer().status == 400
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.is_closed()
    assert [leaf["t"] for leaf in place.since(before)] == ["request.refused"]


DOUBLED = [
    b"Authorization: Bearer x",
    b"Host: 127.0.0.1",
    b"Content-Type: application/json",
    b"MCP-Protocol-Version: 2026-07-28",
    b"mcp-method: tools/list",
    b"MCP-METHOD: ping",
    b"Accept: a\r\nAccept: b",
    b"Origin: https://page.example.test\r\nOrigin: https://page.example.test",
    b"Mcp-Session-Id: a\r\nMcp-Session-Id: a",
    b"Mcp-Name: a\r\nMcp-Name: b",
    b"Mcp-Param-Region: a\r\nmcp-param-region: b",
]


@pytest.mark.parametrize("line", DOUBLED, ids=lambda line: line.decode().split(":")[0])
def test_a_field_that_decides_stands_once(place: Place, ada: str, wire: Wire, line: bytes):
    before = len(place.leaves())
    answer = wire.send(post(ada, BODY, line)).answer()
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
    assert [leaf["reason"] for leaf in place.since(before)] == ["duplicate_header"]


def test_a_field_that_decides_nothing_may_stand_twice(ada: str, wire: Wire):
    assert wire.send(post(ada, BODY, b"X-A: 1", b"X-A: 2", b"X-\xfe: \xff")).answer().status == 400
    with Wire(wire.socket.getpeername()[1]) as second:
        assert (
            second.send(post(ada, BODY, b"X-A: 1", b"X-A: 2", b"X-B: \xff")).answer().status == 200
        )


def test_a_trailer_is_no_header(place: Place, ada: str, wire: Wire):
    chunks = b"%x\r\n%b\r\n0\r\nAuthorization: Bearer %b\r\n\r\n" % (len(BODY), BODY, ada.encode())
    headers = b"".join(f"{k}: {v}\r\n".encode() for k, v in LIST.items())
    assert (
        wire.send(HEAD + headers + b"Transfer-Encoding: chunked\r\n\r\n" + chunks).answer().status
        == 401
    )


HOSTS = [
    ("gate.example.test", 200),
    ("GATE.example.test:443", 200),
    ("localhost", 200),
    ("[::1]:8720", 200),
    ("evil.example.test", 403),
    ("127.0.0.1.evil.example.test", 403),
    ("127.0.0.1:80:90", 403),
    ("127.0.0.1@evil.example.test", 403),
    ("localhost.", 403),
    ("", 403),
    ("\xff", 403),
]


@pytest.mark.parametrize(("host", "http"), HOSTS, ids=[host or "empty" for host, _ in HOSTS])
def test_only_our_own_names_are_served(place: Place, ada: str, wire: Wire, host: str, http: int):
    before = len(place.leaves())
    sent = post(ada).replace(b"Host: 127.0.0.1", f"Host: {host}".encode("latin-1"))
    assert wire.send(sent).answer().status == http
    (leaf,) = place.since(before)
    assert leaf.get("reason", "") == ("" if http == 200 else "origin_not_allowed")


def test_a_request_without_a_host_is_malformed(place: Place, ada: str, wire: Wire):
    before = len(place.leaves())
    assert wire.send(post(ada).replace(b"Host: 127.0.0.1\r\n", b"")).answer().status == 400
    assert [leaf["reason"] for leaf in place.since(before)] == ["malformed_http"]


ORIGINS = [
    ("https://page.example.test", 200),
    ("https://evil.example.test", 403),
    ("https://page.example.test.evil.example.test", 403),
    ("http://127.0.0.1:8720", 403),
    ("null", 403),
    ("", 403),
    ("\xff", 403),
]


@pytest.mark.parametrize(("origin", "http"), ORIGINS, ids=[text or "empty" for text, _ in ORIGINS])
def test_only_pages_that_were_named_may_call(
    place: Place, ada: str, wire: Wire, origin: str, http: int
):
    before = len(place.leaves())
    assert wire.send(post(ada, BODY, f"Origin: {origin}".encode("latin-1"))).answer().status == http
    (leaf,) = place.since(before)
    assert leaf.get("reason", "") == ("" if http == 200 else "origin_not_allowed")


VERBS = [
    ("PUT", {}, 405, "method_not_allowed"),
    ("PATCH", {}, 405, "method_not_allowed"),
    ("OPTIONS", {}, 405, "method_not_allowed"),
    ("HEAD", {}, 405, "method_not_allowed"),
    ("GET", {}, 400, "session_unknown"),
    ("DELETE", {}, 400, "session_unknown"),
    ("GET", LIST, 405, "method_not_allowed"),
    ("DELETE", LIST, 405, "method_not_allowed"),
]


@pytest.mark.parametrize(
    "row", VERBS, ids=[f"{row[0]}{'-modern' if row[1] else ''}" for row in VERBS]
)
def test_other_verbs_are_told_what_is_allowed_and_the_connection_stays_whole(
    place: Place, ada: str, wire: Wire, row: tuple[str, dict[str, str], int, str]
):
    verb, headers, http, reason = row
    before = len(place.leaves())
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    head = (
        f"{verb} {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ada}\r\n{lines}\r\n"
    )
    answer = wire.send(head.encode()).answer(verb)
    assert answer.status == http
    assert ("allow" in answer.headers) == (http == 405)
    assert wire.send(post(ada)).answer().status == 200
    first, second = place.since(before)
    assert (first["reason"], first["http"]) == (reason, http)
    assert second["t"] == "request.answered"


ELSEWHERE = ["/k/", "/k/wires", "/k/wires/mcp/x", "/k/WIRES/mcp", "/k/../api/v1", "/k/wires/s//mcp",
             "/k/%77ires/mcp", "/k/wires/mcp;x"]  # fmt: skip


@pytest.mark.parametrize("path", ELSEWHERE)
def test_an_unknown_path_is_not_found_and_stands_in_the_doors_log(
    stage: Stage, ada: str, path: str
):
    before = len(stage.unrouted())
    answer = Client(stage.gate.port, ada, path).post(BODY, LIST)
    assert (answer.status, answer.json["error"]["code"]) == (404, -32600)
    (leaf,) = [leaf for leaf in stage.unrouted()[before:] if leaf["t"] == "request.refused"]
    assert (leaf["reason"], leaf["http"]) == ("not_found", 404)
    assert "actor_c" not in leaf


def test_what_is_no_http_at_all_stands_in_the_doors_log(stage: Stage, wire: Wire):
    before = len(stage.unrouted())
    assert (
        wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x8f" * 40).answer().status
        == 400
    )
    (leaf,) = stage.unrouted()[before:]
    assert leaf["reason"] == "malformed_http"


def test_http_1_0_is_served_and_closed(ada: str, wire: Wire):
    answer = wire.send(post(ada).replace(b"HTTP/1.1", b"HTTP/1.0")).answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert wire.is_closed()


def test_an_offered_upgrade_is_ignored_and_the_body_read(place: Place, ada: str, wire: Wire):
    before = len(place.leaves())
    sent = post(ada, BODY, OFFER)
    answer = wire.send(sent[:-5], sent[-5:]).answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert wire.is_closed()
    assert [leaf["t"] for leaf in place.since(before)] == ["request.answered"]


def test_a_client_that_asks_first_may_go_on(ada: str, wire: Wire):
    sent = post(ada, BODY, b"Expect: 100-continue")
    assert wire.send(sent[: -len(BODY)]).answer().status == 100
    assert wire.send(BODY).answer().status == 200


def test_a_client_that_asks_first_with_too_much_is_spared_sending_it(wire: Wire):
    sent = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % BIG
    assert wire.send(sent).answer().status == 413


def test_pipelined_requests_are_answered_in_order(place: Place, ada: str, wire: Wire):
    before = len(place.leaves())
    bodies = [modern("tools/list", number) for number in range(1, 40)]
    wire.send(b"".join(post(ada, body) for body in bodies))
    assert [wire.answer().json["id"] for _ in bodies] == list(range(1, 40))
    assert len(place.since(before)) == len(bodies)


LASTS = {"closes": (b"Connection: close",), "offers": (OFFER,), "http-1.0": ()}
FOLLOWS = {"a call": (), "an offer": (OFFER,), "a close": (b"Connection: close",), "noise": None}


@pytest.mark.parametrize("follows", FOLLOWS)
@pytest.mark.parametrize("last", LASTS)
def test_what_follows_a_last_request_is_not_looked_at(
    place: Place, ada: str, wire: Wire, last: str, follows: str
):
    before = len(place.leaves())
    more = FOLLOWS[follows]
    third = b"\0{" * 9 if more is None else post(ada, modern("tools/list", 3), *more)
    second = post(ada, modern("tools/list", 2), *LASTS[last])
    if last == "http-1.0":
        second = second.replace(b"HTTP/1.1", b"HTTP/1.0")
    wire.send(post(ada) + second + third)
    assert wire.answer().headers.get("connection") is None
    answer = wire.answer()
    assert (answer.json["id"], answer.headers["connection"]) == (2, "close")
    assert wire.is_closed()
    assert len(place.since(before)) == 2


@pytest.mark.parametrize("size", [1, 3, 9, 16, 17])
def test_a_request_may_come_in_pieces_of_any_size(ada: str, wire: Wire, size: int):
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = post(ada)
    wire.send(*[sent[at : at + size] for at in range(0, 64, size)], sent[64 + -64 % size :])
    assert wire.answer().status == 200


def test_a_good_request_before_a_bad_one_is_answered_first(place: Place, ada: str, wire: Wire):
    before = len(place.leaves())
    wire.send(post(ada) + HEAD + b"Accept : a\r\n\r\n")
    assert [wire.answer().status, wire.answer().status] == [200, 400]
    kinds = [leaf["t"] for leaf in place.since(before)]
    assert kinds == ["request.answered", "request.refused"]


def test_one_connection_serves_the_endpoint_and_then_the_admin_api(
    stage: Stage, place: Place, ada: str, wire: Wire
):
    asked = "GET /api/v1/workspaces/wires/ HTTP/1.1\r\nHost: localhost\r\n"
    asked += f"Authorization: Bearer {place.token}\r\n\r\n"
    assert wire.send(post(ada)).answer().status == 200
    answer = wire.send(asked.encode()).answer()
    assert (answer.status, answer.json["slug"]) == (200, "wires")
