"""One JSON-RPC message: what is read, what is refused, and what is left alone byte for byte."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from tests.fuzz.envelopes import body as body_of

from gatelodge.core.protocol.envelope import (
    ClientMessage,
    ClientResponse,
    MessageFault,
    RequestFault,
    join_members,
    read_message,
)

DEPTH = 16
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1}}}'


def reading(body: bytes) -> ClientMessage | ClientResponse | RequestFault:
    """The message in a body, or why it is none."""
    try:
        return read_message(body, 128)
    except MessageFault as fault:
        return fault.fault


def refusal(body: bytes) -> tuple[int, int, str]:
    with pytest.raises(MessageFault) as caught:
        read_message(body, DEPTH)
    fault = caught.value.fault
    return fault.http, fault.code, fault.reason


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"", -32700, "malformed_json"),
        (b"{", -32700, "malformed_json"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"', -32700, "malformed_json"),
        (b"\xff\xfe", -32700, "malformed_json"),
        (b'"text"', -32600, "invalid_request"),
        (b"[]", -32600, "invalid_request"),
        (b"[" + CALL + b"]", -32600, "invalid_request"),
        (b"null", -32600, "invalid_request"),
        (b"{}", -32600, "invalid_request"),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600, "invalid_request"),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, "invalid_request"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, "invalid_request"),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, "invalid_request"),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, "invalid_request"),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, "invalid_request"),
        (b'{"jsonrpc":"2.0","id":1}', -32600, "invalid_request"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32602, "invalid_params"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":3}}', -32602, "invalid_params"),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32600, "duplicate_key"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","\\u006dethod":"b"}', -32600, "duplicate_key"),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","name":"y"}}',
            -32600,
            "duplicate_key",
        ),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"a", "params":{"_meta":{"k":1, "k":2}}}',
            -32600,
            "duplicate_key",
        ),
    ],
)
def test_what_is_no_message_is_refused_with_its_own_code(body, code, reason):
    assert refusal(body) == (400, code, reason)


def test_nesting_beyond_the_limit_is_refused_and_brackets_in_strings_do_not_count():
    deep = b"[" * 17 + b"]" * 17
    assert refusal(CALL.replace(b"1}}}", deep + b"}}}"))[2] == "malformed_json"
    quoted = CALL.replace(b"1}}}", b'"' + b"[" * 500 + b'\\"[["}}}')
    assert isinstance(read_message(quoted, DEPTH), ClientMessage)
    assert refusal(b"[" * 100_000)[2] == "malformed_json"


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b"[],[ ]," * 400_000, b'"",' * 1_000_000])
def test_a_body_of_more_values_than_can_be_read_is_refused_before_it_is_parsed(body):
    assert refusal(body) == (413, -32600, "too_large")


def test_an_object_that_the_gate_takes_apart_has_a_thousand_members_at_most():
    many = b",".join(b'"k%d":1' % n for n in range(1_001))
    body = b'{"jsonrpc":"2.0","id":7,"method":"a","params":{%b}}' % many
    assert refusal(body) == (413, -32600, "too_large")
    within = body.replace(b'"k1000":1', b'"arguments":{%b}' % many)
    assert isinstance(read_message(within.replace(b'"k0":1,', b""), DEPTH), ClientMessage)


@pytest.mark.parametrize("raw", [b"1", b'"a"', b"-7", b"123456789012345678901234567890", b'"1"'])
def test_an_id_keeps_its_type_and_spelling(raw):
    message = read_message(CALL.replace(b'"id":1', b'"id":' + raw), DEPTH)
    assert isinstance(message, ClientMessage)
    assert message.id == raw


def test_an_answer_to_a_question_of_ours_is_no_request():
    said = read_message(b'{"jsonrpc":"2.0","id":3,"result":{}}', DEPTH)
    assert isinstance(said, ClientResponse)
    assert (said.id, bytes(said.result or b""), said.error) == (b"3", b"{}", None)


def test_what_is_not_ours_passes_byte_for_byte():
    arguments = (
        b'{"n":123456789012345678901234567890,"f":1E400,"s":"\\u00e9 \\/","d":{"a":1,"a":2}}'
    )
    body = CALL.replace(b'{"x":1}', arguments).replace(b'"name"', b'"extra": [1 , 2],"name"')
    message = read_message(body, DEPTH)
    assert isinstance(message, ClientMessage)
    assert bytes(message.params["arguments"]) == arguments
    assert arguments in join_members(message.params)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(), json_values, max_size=6), st.sampled_from([None, 1]))
def test_any_object_without_repeated_keys_is_read_however_it_is_laid_out(params, indent):
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "x", "params": {**params, "_meta": {}}},
        indent=indent,
        ensure_ascii=bool(indent),
    ).encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        return
    message = read_message(body, 64)
    assert isinstance(message, ClientMessage)
    assert {k: json.loads(bytes(v)) for k, v in message.params.items()} == {**params, "_meta": {}}


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_never_raise_anything_else(body):
    with contextlib.suppress(MessageFault):
        read_message(body, DEPTH)


@given(st.randoms(use_true_random=False))
def test_a_body_says_the_same_with_a_space_before_it(dice):
    text = body_of(dice, 2_000)
    assert reading(text) == reading(b" " + text)


@pytest.mark.parametrize("name", ["jsonrpc", "id", "method", "params", "name", "_meta"])
def test_a_key_that_stands_twice_is_refused_however_short_the_body_is(name):
    text = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"a":"b"}}}'
    key = b'"%b":' % name.encode()
    assert reading(text)
    assert refusal(text.replace(key, key + b"0," + key))[2] == "duplicate_key"


def test_joining_members_keeps_each_value():
    assert join_members({"a": Raw(b"1.0"), "b": Raw(b'{"x": 1}')}) == b'{"a":1.0,"b":{"x": 1}}'


def test_a_notification_may_write_its_id_as_null_and_a_request_may_not():
    for params in (b"", b',"params":{}', b',"params":{"requestId":1}'):
        text = b'{"jsonrpc":"2.0","id":null,"method":"notifications/cancelled"%b}' % params
        told = read_message(text, DEPTH)
        assert (told.method, told.id) == ("notifications/cancelled", b"")
        with pytest.raises(MessageFault):
            read_message(text.replace(b"notifications/cancelled", b"tools/call"), DEPTH)


def test_what_is_null_is_as_good_as_absent_where_libraries_write_it_so():
    bare = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"%b}'
    for member in (b"", b',"params":null', b',"params":{"_meta":null}'):
        message = read_message(bare % member, DEPTH)
        assert message.meta == {}
    answer = b'{"jsonrpc":"2.0","id":1,"result":%b,"error":%b}'
    response = read_message(answer % (b"{}", b"null"), DEPTH)
    assert (bytes(response.result), response.error) == (b"{}", None)
    response = read_message(answer % (b"null", b'{"code":1,"message":"m"}'), DEPTH)
    assert response.result is None
    assert bytes(response.error) == b'{"code":1,"message":"m"}'
