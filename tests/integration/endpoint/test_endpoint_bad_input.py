"""What is wrong with a message: each row is answered exactly so, and leaves exactly that record."""

import json
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from tests.gate import MODERN
from tests.stage import Legacy, Place, Stage, mirrored, modern
from tests.upstreams.http_upstream import HttpUpstream

from gatelodge.adapters.keys.sealing import AesSealer
from gatelodge.core.protocol.session import CONTEXT, pack, read_session

MIRRORED = {
    "region": {"type": "string", "x-mcp-header": "Region"},
    "count": {"type": "integer", "x-mcp-header": "Count"},
}
TOOLS = [
    *({"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "b", "c")),
    {"name": "where", "inputSchema": {"type": "object", "properties": MIRRORED}},
]
LIST = mirrored("tools/list")
CALL = mirrored("tools/call", "up__echo")
VERSION = "io.modelcontextprotocol/protocolVersion"
CAN = "io.modelcontextprotocol/clientCapabilities"


class Row(NamedTuple):
    """A body with its headers; the answer's status and code; the record's type and reason.

    For `request.answered` the reason is the recorded method.
    """

    says: str
    body: bytes
    headers: dict[str, str]
    http: int
    code: int
    record: str
    reason: str


def refused(says: str, body: bytes, code: int, reason: str, headers: dict[str, str] = LIST) -> Row:
    http = 415 if "content-type" in headers else 400
    return Row(says, body, headers, http, code, "request.refused", reason)


def answered(says: str, method: str, body: bytes, code: int, http: int = 400) -> Row:
    known = method if method != "tools/explode" else "unknown"
    return Row(says, body, mirrored(method), http, code, "request.answered", known)


def with_meta(given: dict[str, Any]) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": given}}
    return json.dumps(message).encode()


GOOD = modern("tools/list")
DEEP = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 200 + b"]" * 200 + b"}}"
TWICE = b'{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}'
TWICE_ESCAPED = b'{"jsonrpc":"2.0","id":1,"method":"ping","m\\u0065thod":"tools/list"}'
CALL_TWICE = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","name":"up__b"}}'
)
META_TWICE = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"a":1,"a":2}}}'

PARSED = [
    refused("malformed JSON", b'{"jsonrpc":', -32700, "malformed_json"),
    refused("an empty body", b"", -32700, "malformed_json"),
    refused("blanks only", b" \r\n\t", -32700, "malformed_json"),
    refused("bytes that are no UTF-8", b'{"jsonrpc":"\xff\xfe"}', -32700, "malformed_json"),
    refused("UTF-16", GOOD.decode().encode("utf-16"), -32700, "malformed_json"),
    refused("something after the message", GOOD + b" {}", -32700, "malformed_json"),
    refused("NaN", GOOD[:-1] + b',"x":NaN}', -32700, "malformed_json"),
    refused("nesting without end", DEEP, -32700, "malformed_json"),
    refused("a key twice", TWICE, -32600, "duplicate_key"),
    refused("a key twice, once escaped", TWICE_ESCAPED, -32600, "duplicate_key"),
    refused("two tool names", CALL_TWICE, -32600, "duplicate_key", CALL),
    refused("a _meta key twice", META_TWICE, -32600, "duplicate_key"),
    refused("a batch", b"[" + GOOD + b"]", -32600, "invalid_request"),
    refused("an empty batch", b"[]", -32600, "invalid_request"),
    refused("a string", b'"tools/list"', -32600, "invalid_request"),
    refused("null", b"null", -32600, "invalid_request"),
    refused("no jsonrpc", b'{"id":1,"method":"ping"}', -32600, "invalid_request"),
    refused("jsonrpc 1.0", b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600, "invalid_request"),
    refused("no method", b'{"jsonrpc":"2.0","id":1}', -32600, "invalid_request"),
    refused(
        "a number as method", b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, "invalid_request"
    ),
    *(
        refused(
            f"{value.decode()} as id",
            b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % value,
            -32600,
            "invalid_request",
        )
        for value in (b"null", b"1.5", b"true", b"{}", b"[1]", b"1e3")
    ),
    *(
        refused(
            f"{value.decode()} as params",
            b'{"jsonrpc":"2.0","id":1,"method":"ping","params":%b}' % value,
            -32602,
            "invalid_params",
        )
        for value in (b"[]", b'"x"', b"7", b"null")
    ),
    refused(
        "_meta that is no object",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":[]}}',
        -32602,
        "invalid_params",
    ),
]

ERA = [
    refused(
        "a modern header, no _meta",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
        -32602,
        "invalid_params",
    ),
    refused("no capabilities", with_meta({VERSION: MODERN}), -32602, "invalid_params"),
    refused("a number as version", with_meta({VERSION: 1, CAN: {}}), -32602, "invalid_params"),
    refused("no version header", GOOD, -32020, "header_mismatch", {"Mcp-Method": "x"}),
    refused(
        "a legacy version header",
        GOOD,
        -32020,
        "header_mismatch",
        {**LIST, "MCP-Protocol-Version": "2025-11-25"},
    ),
    refused(
        "a version from the future",
        with_meta({VERSION: "2099-01-01", CAN: {}}),
        -32022,
        "unsupported_version",
        {**LIST, "MCP-Protocol-Version": "2099-01-01"},
    ),
    refused("no method header", GOOD, -32020, "header_mismatch", {"MCP-Protocol-Version": MODERN}),
    refused("another method header", GOOD, -32020, "header_mismatch", mirrored("ping")),
    refused("a method header in capitals", GOOD, -32020, "header_mismatch", mirrored("Tools/List")),
    *(
        refused(
            f"{says} name header",
            modern("tools/call", name="up__echo"),
            -32020,
            "header_mismatch",
            mirrored("tools/call", name),
        )
        for says, name in (
            ("no", ""),
            ("another", "up__b"),
            ("a broken Base64", "=?base64?%%%?="),
            ("another in Base64", "=?base64?dXBfX2I=?="),
        )
    ),
    refused(
        "odd bytes in the name header",
        modern("tools/call", name="up__echo"),
        -32020,
        "header_mismatch",
        mirrored("tools/call", "up__\xe9cho"),
    ),
    refused("text/plain", GOOD, -32600, "invalid_request", {**LIST, "content-type": "text/x"}),
    refused("no content type", GOOD, -32600, "invalid_request", {**LIST, "content-type": ""}),
    answered("an unknown method", "tools/explode", modern("tools/explode"), -32601, 404),
    answered("initialize in modern shape", "initialize", modern("initialize"), -32601, 404),
    answered("a number as tool name", "tools/call", modern("tools/call", name=7), -32602),
    answered(
        "a cursor that nobody gave", "tools/list", modern("tools/list", cursor="AAAA"), -32602
    ),
    answered("a number as cursor", "tools/list", modern("tools/list", cursor=3), -32602),
    answered(
        "listening to a list",
        "subscriptions/listen",
        modern("subscriptions/listen", notifications=[1]),
        -32602,
    ),
]


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    here = stage.place("bad-input")
    here.serve("up", stage.servers.open(HttpUpstream(definitions=TOOLS)).url)
    return here


@pytest.fixture(scope="module")
def ada(place: Place) -> str:
    return place.admit("ada", up="all")


@pytest.fixture(scope="module")
def legacy(place: Place, ada: str) -> Legacy:
    return place.legacy(ada)


@pytest.mark.parametrize("row", [*PARSED, *ERA], ids=lambda row: row.says)
def test_a_bad_message_is_refused_by_name_and_recorded(place: Place, ada: str, row: Row):
    before = len(place.leaves())
    answer = place.client(ada).post(row.body, row.headers)
    assert answer.status == row.http
    assert answer.json["error"]["code"] == row.code
    (leaf,) = place.since(before)
    assert leaf["t"] == row.record
    assert leaf["bytes_in"] == len(row.body)
    assert leaf["actor_c"].startswith("sha256:")
    if row.record == "request.refused":
        assert (leaf["reason"], leaf["http"]) == (row.reason, row.http)
    else:
        told = (leaf["method"], leaf["outcome"], leaf["rpc_code"])
        assert told == (row.reason, "rpc_error", row.code)


def test_an_unsupported_version_is_told_what_is_supported(place: Place, ada: str):
    body = with_meta({VERSION: "2099-01-01", CAN: {}})
    answer = place.client(ada).post(body, {**LIST, "MCP-Protocol-Version": "2099-01-01"})
    assert answer.json["error"]["data"] == {"supported": [MODERN], "requested": "2099-01-01"}


@pytest.mark.parametrize("number", [1, -7, "text", "", 12345678901234567890123, "\u00e9"], ids=str)
def test_a_refusal_bears_the_id_of_the_request_when_it_could_be_read(
    place: Place, ada: str, number: Any
):
    assert place.client(ada).post(modern("ping", number), LIST).json["id"] == number
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": {}}
    headerless = place.client(ada).post(json.dumps(message).encode())
    assert (headerless.status, headerless.json["id"]) == (400, number)


def test_a_number_too_long_for_any_machine_passes_in_a_body_with_blanks(place: Place, ada: str):
    body = modern("tools/list", n=0).replace(b'"n":0', b'"n": ' + b"1" * 9000)
    assert place.client(ada).post(body, LIST).status == 200


MIRRORS = [
    ("nothing to repeat", {}, {}, 200),
    ("a text", {"region": "eu"}, {"Mcp-Param-Region": "eu"}, 200),
    ("a text in Base64", {"region": "eu"}, {"mcp-param-region": "=?base64?ZXU=?="}, 200),
    ("a number", {"count": 42}, {"Mcp-Param-Count": "42.0"}, 200),
    ("nothing repeated", {"region": "eu"}, {}, 400),
    ("another text", {"region": "eu"}, {"Mcp-Param-Region": "us"}, 400),
    ("a text that is the same number", {"region": "10"}, {"Mcp-Param-Region": "1e1"}, 400),
    ("a text in capitals", {"region": "eu"}, {"Mcp-Param-Region": "EU"}, 400),
    ("another number", {"count": 42}, {"Mcp-Param-Count": "43"}, 400),
    ("a number only Python reads", {"count": 1000}, {"Mcp-Param-Count": "1_000"}, 400),
    ("a header without an argument", {}, {"Mcp-Param-Region": "eu"}, 400),
    ("a header for null", {"region": None}, {"Mcp-Param-Region": "eu"}, 400),
]


@pytest.mark.parametrize("row", MIRRORS, ids=[row[0] for row in MIRRORS])
def test_headers_that_repeat_arguments_repeat_them_exactly(
    place: Place, ada: str, row: tuple[str, dict[str, Any], dict[str, str], int]
):
    _, arguments, headers, http = row
    before = len(place.leaves())
    answer = place.client(ada).call("up__where", arguments, **headers)
    assert answer.status == http
    opening, *_ = place.since(before)
    if http == 400:
        assert answer.json["error"]["code"] == -32020
        assert (opening["t"], opening["reason"]) == ("call.denied", "header_mismatch")
    else:
        assert opening["t"] == "call.intent"


def test_a_name_header_in_base64_is_read(place: Place, ada: str):
    body = modern("tools/call", name="up__echo", arguments={})
    answer = place.client(ada).post(body, mirrored("tools/call", "=?base64?dXBfX2VjaG8=?="))
    assert answer.status == 200


LEGACY = [
    ("an unknown method", {"method": "tools/explode"}, 200, -32601, "unknown"),
    ("a number as tool name", {"method": "tools/call", "params": {"name": 7}}, 200, -32602, None),
    ("a bad cursor", {"method": "tools/list", "params": {"cursor": "AAAA"}}, 200, -32602, None),
    ("a resource", {"method": "resources/read", "params": {"uri": "x:y"}}, 200, -32002, None),
]


@pytest.mark.parametrize(
    ("message", "http", "code", "method"),
    [row[1:] for row in LEGACY],
    ids=[row[0] for row in LEGACY],
)
def test_a_legacy_client_gets_its_errors_as_answers(
    place: Place, legacy: Legacy, message: dict[str, Any], http: int, code: int, method: str | None
):
    before = len(place.leaves())
    answer = legacy.say({"jsonrpc": "2.0", "id": 9, **message})
    assert (answer.status, answer.json["error"]["code"]) == (http, code)
    (leaf,) = place.since(before)
    kind = "call.denied" if code == -32002 else "request.answered"
    wanted = (kind, method or message["method"], "2025-11-25")
    assert (leaf["t"], leaf["method"], leaf["proto"]) == wanted


def sessions(place: Place, ada: str) -> dict[str, tuple[str | None, int]]:
    """Session ids that open nothing for ada, each with the status that says so."""
    place.api("POST", "/members", {"email": "eve@example.test"})
    eve = place.legacy(place.token_for(member="eve@example.test"))
    narrow = place.legacy(ada, "up")
    ended = place.legacy(ada)
    ended.send("DELETE", b"", {"authorization": f"Bearer {ada}", "mcp-session-id": ended.session})
    mine = place.legacy(ada).session
    return {
        "none": (None, 400),
        "garbage": ("garbage", 404),
        "empty": ("", 404),
        "odd bytes": ("\xff\xfe", 404),
        "cut short": (mine[:-1], 404),
        "changed": (mine[:-2] + ("A" if mine[-2] != "A" else "B") + mine[-1], 404),
        "another member's": (eve.session, 404),
        "of another endpoint": (narrow.session, 404),
        "ended": (ended.session, 404),
    }


def test_a_session_opens_nothing_for_anybody_else_or_after_its_end(place: Place, ada: str):
    client = place.client(ada)
    for says, (session, http) in sessions(place, ada).items():
        before = len(place.leaves())
        headers = {} if session is None else {"mcp-session-id": session}
        answer = client.post(b'{"jsonrpc":"2.0","id":5,"method":"tools/list"}', headers)
        wanted = (http, -32600, 5)
        assert (answer.status, answer.json["error"]["code"], answer.json["id"]) == wanted, says
        get = client.send("GET", b"", {"authorization": f"Bearer {ada}", **headers})
        assert get.status == http, says
        reasons = [(leaf["t"], leaf["reason"], leaf["http"]) for leaf in place.since(before)]
        assert reasons == [("request.refused", "session_unknown", http)] * 2, says


def test_a_session_that_is_over_by_time_is_unknown(stage: Stage, place: Place, ada: str):
    sealer = AesSealer(bytes.fromhex((stage.gate.directory / "keys" / "seal").read_text()))
    live = place.legacy(ada).session
    opened = sealer.open(live, CONTEXT)
    session = read_session(opened)
    assert session is not None
    over = sealer.seal(pack(replace(session, ends_at=1)), CONTEXT)
    body = b'{"jsonrpc":"2.0","id":5,"method":"ping"}'
    assert place.client(ada).post(body, {"mcp-session-id": live}).status == 200
    assert place.client(ada).post(body, {"mcp-session-id": over}).status == 404


@pytest.mark.parametrize("params", [{"cursor": None}, {"_meta": None}, None], ids=str)
def test_what_is_null_where_libraries_write_it_so_is_as_good_as_absent(
    place: Place, ada: str, legacy: Legacy, params: Any
):
    first = legacy.request("tools/list", {}).json["result"]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
    assert legacy.say(message).json["result"]["tools"] == first["tools"]
    if params and "cursor" in params:
        told = place.client(ada).request("tools/list", params).json["result"]
        assert told["tools"] == first["tools"]


def test_a_first_call_may_write_the_members_of_a_round_as_null(place: Place, ada: str):
    params = {"name": "up__echo", "arguments": {}, "inputResponses": None, "requestState": None}
    assert "result" in place.client(ada).request("tools/call", params).json


def test_an_unknown_version_header_in_a_legacy_session_is_told_what_is_supported(legacy: Legacy):
    told = legacy.request("tools/list", {}, **{"mcp-protocol-version": "2030-01-01"})
    assert (told.status, told.json["error"]["code"]) == (400, -32022)
    assert "2025-11-25" in told.json["error"]["data"]["supported"]


def test_a_cursor_of_one_member_means_nothing_to_another(place: Place, ada: str):
    cursor = place.client(ada).request("tools/list", {}).json["result"]["nextCursor"]
    bob = place.client(place.admit("bob", up="all"))
    assert bob.request("tools/list", {"cursor": cursor}).json["error"]["code"] == -32602
    assert place.client(ada).request("tools/list", {"cursor": cursor}).status == 200


def test_a_question_in_an_answer_is_taken_and_recorded(place: Place, legacy: Legacy):
    before = len(place.leaves())
    assert legacy.say({"jsonrpc": "2.0", "id": 1, "result": {}}).status == 202
    assert legacy.say({"jsonrpc": "2.0", "method": "notifications/initialized"}).status == 202
    assert legacy.say({"jsonrpc": "2.0", "method": "notifications/made_up"}).status == 202
    methods = [leaf["method"] for leaf in place.since(before)]
    assert methods == ["response", "notifications/initialized", "unknown"]
