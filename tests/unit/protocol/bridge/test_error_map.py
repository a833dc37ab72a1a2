"""Errors of one era as the other knows them, and their HTTP status."""

import json

import pytest
from msgspec import Raw

from gatelodge.core.jsontext.jsonrpc import INTERNAL_ERROR
from gatelodge.core.protocol.bridge.error_map import error_for, http_status

URI = '"data":{"uri":"a:b"}'


OTHER = {"modern": "legacy", "legacy": "modern"}


def told(text: str, method: str, era, uri: str = "") -> str:
    """An error of the other era."""
    return bytes(error_for(Raw(text.encode()), method, OTHER[era], era, uri)).decode()


@pytest.mark.parametrize(
    ("method", "era", "before", "after"),
    [
        ("resources/read", "modern", f'{{"code":-32002,"message":"m",{URI}}}', -32602),
        ("resources/read", "legacy", f'{{"code":-32602,"message":"m",{URI}}}', -32002),
        ("resources/subscribe", "legacy", f'{{"code":-32602,"message":"m",{URI}}}', -32002),
        ("tools/call", "modern", '{"code":-32020,"message":"m"}', INTERNAL_ERROR),
        ("tools/call", "legacy", '{"code":-32020,"message":"m"}', INTERNAL_ERROR),
        (
            "tools/call",
            "modern",
            '{"code":-32022,"message":"m","data":{"n":1E400}}',
            INTERNAL_ERROR,
        ),
        ("tools/call", "legacy", '{"code":-32021,"message":"m","data":{}}', INTERNAL_ERROR),
        ("tools/call", "modern", '{"code":-32021,"message":"m"}', INTERNAL_ERROR),
    ],
)
def test_an_error_of_the_other_era_changes_its_code_and_nothing_else(method, era, before, after):
    old = json.loads(before)["code"]
    assert told(before, method, era) == before.replace(str(old), str(after))


@pytest.mark.parametrize(
    ("method", "era", "text"),
    [
        ("resources/read", "modern", f'{{"code":-32602, "message":"m",{URI}}}'),
        ("resources/read", "legacy", f'{{"code":-32002, "message":"m",{URI}}}'),
        ("resources/read", "legacy", '{"code":-32602, "message":"bad params"}'),
        ("tools/call", "legacy", f'{{"code":-32602, "message":"m",{URI}}}'),
        ("tools/call", "modern", f'{{"code":-32002, "message":"m",{URI}}}'),
        ("tools/call", "modern", '{"code":-32021, "data":{"requiredCapabilities":{"roots":{}}}}'),
        ("tools/call", "legacy", '{"code":-32042, "message":"m","data":{"elicitations":[]}}'),
        ("tools/call", "modern", '{"code":-32000, "message":"theirs"}'),
        ("tools/call", "legacy", '{"code":4010, "message":"theirs"}'),
        ("tools/call", "modern", '"no error object"'),
    ],
)
def test_an_error_that_the_client_knows_is_the_very_same(method, era, text):
    raw = Raw(text.encode())
    assert error_for(raw, method, OTHER[era], era) is raw


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("method", ["tools/call", "resources/read"])
@pytest.mark.parametrize("rest", ["", ',"data":{"x":1}', f",{URI}"])
@pytest.mark.parametrize("code", [-32002, -32020, -32021, -32022, -32042, -32602])
def test_an_error_between_equals_is_the_very_same(era, method, rest, code):
    raw = Raw(f'{{"code":{code}, "message":"m"{rest}}}'.encode())
    hop = era == "modern" and code in (-32020, -32022)
    assert (error_for(raw, method, era, era, "a:b") is raw) is not hop


def test_an_error_of_the_hop_between_modern_server_and_gate_is_not_its_clients():
    for code in (-32020, -32022):
        raw = Raw(b'{"code":%d,"message":"m"}' % code)
        assert json.loads(bytes(error_for(raw, "x", "modern", "modern")))["code"] == INTERNAL_ERROR


def test_a_modern_error_names_the_resource_even_when_the_server_did_not():
    bare = '{"code":-32002,"message":"m"}'
    assert json.loads(told(bare, "resources/read", "modern", "gh+a:b")) == {
        "code": -32602,
        "message": "m",
        "data": {"uri": "gh+a:b"},
    }
    named = f'{{"code":-32002,"message":"m",{URI}}}'
    assert json.loads(told(named, "resources/read", "modern", "z"))["data"] == {"uri": "a:b"}
    more = '{"code":-32002,"message":"m","data":{"hint":"h"}}'
    assert json.loads(told(more, "resources/read", "modern", "gh+a:b"))["data"] == {
        "hint": "h",
        "uri": "gh+a:b",
    }
    other = '{"code":-32002,"message":"m","data":"gone"}'
    assert json.loads(told(other, "resources/read", "modern", "gh+a:b"))["data"] == "gone"


def test_a_url_that_a_modern_client_cannot_be_asked_to_visit_is_a_missing_capability():
    text = '{"code":-32042,"message":"m","data":{"elicitations":[{"url":"u"}]}}'
    assert json.loads(told(text, "tools/call", "modern")) == {
        "code": -32021,
        "message": "m",
        "data": {"requiredCapabilities": {"elicitation": {"url": {}}}},
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [(-32601, 404), (-32700, 400), (-32600, 400), (-32602, 400), (-32020, 400), (-32021, 400),
     (-32022, 400), (-32603, 200), (-32000, 200), (4010, 200), (None, 200)],
)  # fmt: skip
def test_the_status_says_what_the_code_says_in_the_modern_era_only(code, status):
    assert http_status(code, "modern") == status
    assert http_status(code, "legacy") == 200
