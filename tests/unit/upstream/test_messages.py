"""What is said to upstreams, byte for byte, and what is read from them."""

import json

import pytest
from msgspec import UNSET, Raw

from gatelodge.core.jsontext.jsonrpc import is_error
from gatelodge.core.protocol import upstream
from gatelodge.core.protocol.upstream import UpstreamMessage


def said(number=1, method="tools/call", params=None, meta=b""):
    return upstream.request_bytes(number, method, params or {}, meta)


def test_a_request_keeps_its_params_as_they_are_written():
    params = {"name": Raw(b'"a"'), "arguments": Raw(b'{ "n":1E400, "m":12345678901234567890123 }')}
    body = said(7, params=params)
    assert body == (
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a",'
        b'"arguments":{ "n":1E400, "m":12345678901234567890123 }}}'
    )


@pytest.mark.parametrize(
    "params", [{}, {"a": Raw(b"1")}, {"a": Raw(b"1"), "_meta": Raw(b'{"x":1}')}]
)
def test_meta_is_ours_alone(params):
    message = json.loads(said(params=params, meta=b'{"ours":true}'))
    assert message["params"]["_meta"] == {"ours": True}
    assert message["params"].get("a") == (1 if "a" in params else None)


def test_no_meta_is_said_when_there_is_none():
    assert json.loads(said())["params"] == {}


def test_reserved_meta_keys_end_at_this_hop():
    reserved = {key: Raw(b'"theirs"') for key in upstream.RESERVED}
    meta = upstream.meta_bytes(b"{", {**reserved, "com.example/x": Raw(b"1")}, 0)
    assert json.loads(meta) == {"com.example/x": 1}
    assert upstream.meta_bytes(b"{", reserved, 0) == b""


@pytest.mark.parametrize("token", [0, 42])
@pytest.mark.parametrize("extra", [{}, {"a/b": Raw(b"[]")}])
def test_modern_meta_holds_version_capabilities_and_our_name(token, extra):
    opening = upstream.modern_meta("1.2", "cli/3")
    meta = json.loads(upstream.meta_bytes(opening, extra, token))
    assert meta.pop("io.modelcontextprotocol/protocolVersion") == "2026-07-28"
    assert meta.pop("io.modelcontextprotocol/clientCapabilities") == {}
    named = meta.pop("io.modelcontextprotocol/clientInfo")
    assert named == {"name": "gatelodge", "version": "1.2 (cli/3)"}
    assert meta == ({"a/b": []} if extra else {}) | ({"progressToken": 42} if token else {})


def test_modern_meta_declares_what_the_callers_client_did():
    opening = upstream.modern_meta("1.2", "", b'{"elicitation":{"form":{}}}', "debug")
    meta = json.loads(upstream.meta_bytes(opening, {}, 0))
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {"form": {}}}
    assert meta["io.modelcontextprotocol/logLevel"] == "debug"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff", b'{"id":1.5}', b'{"result":"\xc3"}', b'{"a":NaN}',
     b'{"id":1,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
)  # fmt: skip
def test_what_is_no_message_is_none(body):
    assert upstream.parse_message(body) is None


def test_absent_members_are_told_from_null_ones():
    message = upstream.parse_message(b'{"id":null,"result":null}')
    assert message.id is None
    assert bytes(message.result) == b"null"
    assert message.error is UNSET
    assert upstream.parse_message(b'{"method":"ping"}').id is UNSET


def test_a_null_member_beside_the_one_that_counts_is_absent():
    message = upstream.parse_message(b'{"id":1,"result":{},"error":null}')
    assert message.error is UNSET
    assert bytes(message.result) == b"{}"
    message = upstream.parse_message(b'{"id":1,"result":null,"error":{"code":1,"message":"m"}}')
    assert message.error is not UNSET
    told = upstream.parse_message(b'{"id":null,"method":"notifications/message","params":null}')
    assert told.id is UNSET
    assert told.params is UNSET


def test_an_answer_that_is_too_much_work_is_none_and_is_told_whose_it_was():
    body = b'{"jsonrpc":"2.0","id":7,"result":{"content":[' + b"[]," * 300_000 + b"1]}}"
    assert upstream.parse_message(body) is None
    assert upstream.answered_number(body) == 7


@pytest.mark.parametrize(("bytes_more", "read"), [(0, True), (1, False)])
def test_an_error_is_handed_on_up_to_a_bound_and_beyond_it_its_call_is_told(bytes_more, read):
    text = b"x" * (upstream.MOST_ERROR - len(b'{"code":1,"message":""}') + bytes_more)
    body = b'{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"%b"}}' % text
    found = upstream.read_message(body)
    assert isinstance(found, upstream.UpstreamMessage) is read
    assert read or "1 MiB" in found.too_much
    assert upstream.answered_number(body) == 7


@pytest.mark.parametrize(
    ("error", "good"),
    [
        (b'{"code":-32603,"message":"m","data":[1]}', True),
        (b'"boom"', False),
        (b"null", False),
        (b'{"code":"x","message":"m"}', False),
        (b'{"code":1}', False),
        (b'{"code":1,"message":null}', False),
    ],
)
def test_an_error_is_an_object_with_a_code_and_a_message(error, good):
    assert is_error(Raw(error)) is good


def test_progress_is_given_back_its_callers_token():
    params = b'{"progressToken":9,"progress":1.50,"total":1E400}'
    assert upstream.progress_number(params) == 9
    restored = upstream.progress_restored(params, Raw(b'"theirs"'))
    assert b'"progressToken":"theirs"' in restored
    assert b"1.50" in restored
    assert b"1E400" in restored


@pytest.mark.parametrize("params", [b"{}", b"[]", b"nonsense", b'{"progressToken":"x"}', b"null"])
def test_progress_without_our_token_belongs_to_nobody(params):
    assert upstream.progress_number(params) == 0


def test_a_ping_is_answered_and_all_else_is_unknown():
    assert json.loads(upstream.answer_bytes(UpstreamMessage(id="a", method="ping")))["result"] == {}
    told = json.loads(upstream.answer_bytes(UpstreamMessage(id=5, method="roots/list")))
    assert (told["id"], told["error"]["code"]) == (5, -32601)


def test_a_question_is_answered_with_the_callers_own_bytes():
    exact = Raw(b'{"action":"accept","content":{"n":12345678901234567890123}}')
    assert upstream.response_bytes("q", exact, None).endswith(b'"result":' + bytes(exact) + b"}")
    refused = upstream.response_bytes(7, None, Raw(b'{"code":1,"message":"no"}'))
    assert json.loads(refused) == {"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": "no"}}
    assert json.loads(upstream.response_bytes(7, None, None))["error"]["code"] == -32603


def test_notifications_name_what_they_belong_to():
    assert upstream.updated_uri(b'{"uri":"a:b"}') == "a:b"
    assert upstream.withdrawn(b'{"requestId":"q"}') == "q"
    named = b'{"_meta":{"io.modelcontextprotocol/subscriptionId":5}}'
    assert upstream.subscription(named) == 5
    for odd in (b"{}", b"[]", b'{"uri":1,"requestId":null,"_meta":[]}'):
        assert upstream.updated_uri(odd) == ""
        assert upstream.withdrawn(odd) is None
        assert upstream.subscription(odd) == 0


def test_a_page_is_read_and_anything_else_is_none():
    page = upstream.parse_page(Raw(b'{"tools":[{"name" : "a"}],"nextCursor":""}'), "tools")
    assert bytes(page.items[0]) == b'{"name" : "a"}'
    assert page.cursor == ""
    assert upstream.parse_page(Raw(b'{"prompts":[{}]}'), "prompts").cursor is None
    for odd in (b'{"tools":{}}', b"[]", b"{}", b'{"tools":[],"nextCursor":1}'):
        assert upstream.parse_page(Raw(odd), "tools") is None


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":\xff}', 7),
        (b' {"id" : 7 ,"jsonrpc": "2.0" , "error":{"a', 7),
        (b'{"result":{"a":"\xff"},"jsonrpc":"2.0","id":7}\n', 7),
        (b'{"jsonrpc":"2.0","result":\xff,"id":7}', 7),
        (b'{"result":\xff, "id": 7, "jsonrpc": "2.0"}', 7),
        (b'{"result":"' + b"\xff" * 999 + b'","id":7}', 7),
        (b'{"jsonrpc":"2.0","method":"x","params":{"id":7,"result":\xff}}', 0),
        (b'{"jsonrpc":"2.0","id":7,"method":"x","params":\xff}', 0),
        (b'{"jsonrpc":"2.0","method":"x","params":{"a":\xff},"id":7}', 0),
        (b'{"jsonrpc":"2.0","id":"7","result":\xff}', 0),
        (b'{"jsonrpc":"2.0","id":' + b"7" * 99 + b',"result":\xff}', 0),
        (b'{"result":{"x":\xff,"id":7}}', 0),
        (b"starting, id:7", 0),
        (b"", 0),
    ],
)
def test_an_unreadable_answer_is_known_by_its_ends(body, number):
    assert upstream.answered_number(body) == number


@pytest.mark.parametrize(
    ("params", "made"),
    [
        (b'{"progress":2}', 2.0),
        (b'{"progress":0.5,"total":1}', 0.5),
        (b'{"progress":"2"}', None),
        (b"{}", None),
        (b"[", None),
    ],
)
def test_progress_says_how_far_it_is(params, made):
    assert upstream.progress_made(params) == made
