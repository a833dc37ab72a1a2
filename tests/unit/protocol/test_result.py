"""Results on their way back: what is owned by the gate changes, everything else stays."""

import json

import pytest
from msgspec import Raw

from gatelodge.core.protocol.result import (
    call_ending,
    for_client,
    for_legacy,
    list_result,
    read_result,
    rpc_code,
    tool_error,
)

INFO = b'{"name":"gatelodge"}'
SERVER = '"io.modelcontextprotocol/serverInfo"'


def passed(text: str, era):
    raw = Raw(text.encode())
    return for_client(raw, read_result(raw), era, INFO).decode()


@pytest.mark.parametrize(
    ("text", "era"),
    [
        ('{"content": [ {"type":"odd","n":123456789012345678901234567890} ]}', "legacy"),
        ('{"resultType":"complete","content":[], "x":1E400}', "modern"),
        ('{"content":[],"structuredContent":null,"_meta":{"v/x":1}}', "legacy"),
    ],
)
def test_a_result_of_the_clients_own_era_passes_byte_for_byte(text, era):
    assert passed(text, era) == text


def test_a_modern_result_loses_its_own_members_for_a_legacy_client():
    text = '{"resultType":"complete","ttlMs":0,"cacheScope":"private","content":[1.0]}'
    assert passed(text, "legacy") == '{"content":[1.0]}'


def test_a_legacy_result_is_completed_for_a_modern_client():
    assert json.loads(passed('{"content":[]}', "modern")) == {
        "content": [],
        "resultType": "complete",
    }


def test_the_servers_name_ends_at_this_hop():
    text = '{"resultType":"complete","_meta":{' + SERVER + ':{"name":"up"},"v/x":1}}'
    assert json.loads(passed(text, "modern"))["_meta"] == {
        "io.modelcontextprotocol/serverInfo": {"name": "gatelodge"},
        "v/x": 1,
    }
    assert json.loads(passed(text, "legacy")) == {"_meta": {"v/x": 1}}


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("{}", "ok"),
        ('{"isError":false,"resultType":"complete"}', "ok"),
        ('{"isError":true}', "tool_error"),
        ('{"resultType":"input_required"}', "upstream_protocol"),
        ('{"resultType":"task","isError":false}', "upstream_protocol"),
    ],
)
def test_how_a_call_ended_is_read_from_two_members(text, ending):
    assert call_ending(read_result(Raw(text.encode()))) == ending


def test_a_definition_with_a_schema_that_is_no_object_is_mended_for_legacy_clients():
    odd = Raw(b'{"name":"a","outputSchema":{"type":"array"},"icons":[]}')
    assert for_legacy(odd) == b'{"name":"a","icons":[]}'
    plain = Raw(b'{"name":"a", "outputSchema":{"type":"object"}}')
    assert for_legacy(plain) == bytes(plain)


def test_a_filtered_list_is_private_and_never_cached():
    page = json.loads(list_result([b'{"name":"a"}'], "next", "modern"))
    assert page["cacheScope"] == "private"
    assert page["ttlMs"] == 0
    assert page["nextCursor"] == "next"
    assert json.loads(list_result([], None, "legacy")) == {"tools": []}


def test_a_denial_is_a_tool_result_with_the_rule_under_our_own_key():
    told = json.loads(tool_error("no", "legacy", {"rule": "r"}))
    assert told["isError"] is True
    assert told["_meta"]["dev.gatelodge/decision"] == {"rule": "r"}
    assert "resultType" not in told


def test_an_error_code_is_read_when_it_is_one():
    assert rpc_code(Raw(b'{"code":-32602,"message":"x"}')) == -32602
    assert rpc_code(Raw(b'{"code":"x"}')) is None
    assert rpc_code(Raw(b"[]")) is None
