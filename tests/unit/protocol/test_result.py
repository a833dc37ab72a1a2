"""Results on their way back: what is owned by the gate changes, everything else stays."""

import json

import pytest
from msgspec import Raw

from gatelodge.core.jsontext.jsonrpc import rpc_code
from gatelodge.core.protocol.envelope import members_of
from gatelodge.core.protocol.result import (
    INSTRUCTION_BYTES,
    call_ending,
    discover_result,
    for_client,
    for_legacy,
    initialize_result,
    instructions,
    list_result,
    mended,
    misshapen,
    no_completions,
    result_kind,
    tool_error,
)

INFO = b'{"name":"gatelodge"}'
SERVER = '"io.modelcontextprotocol/serverInfo"'


def passed(text: str, era, method="tools/call"):
    raw = Raw(text.encode())
    return for_client(raw, members_of(raw), era, INFO, method).decode()


@pytest.mark.parametrize(
    ("text", "era"),
    [
        ('{"content": [ {"type":"odd","n":123456789012345678901234567890} ]}', "legacy"),
        ('{"resultType":"complete","content":[], "x":1E400}', "modern"),
        ('{"content":[],"structuredContent":null,"_meta":{"v/x":1}}', "legacy"),
        ('{"content":[],"structuredContent":[1],"ttlMs":5,"cacheScope":"x"}', "legacy"),
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
    ("given", "hints"),
    [
        ("", (0, "private")),
        (',"ttlMs":500,"cacheScope":"private"', (500, "private")),
        (',"ttlMs":500,"cacheScope":"public"', (500, "private")),
        (',"ttlMs":500', (500, "private")),
        (',"ttlMs":-1,"cacheScope":7', (0, "private")),
        (',"ttlMs":null,"cacheScope":"private"', (0, "private")),
    ],
)
@pytest.mark.parametrize("kind", ["", ',"resultType":"complete"'])
def test_a_resource_is_never_public_and_kept_no_longer_than_its_server_said(given, hints, kind):
    told = json.loads(passed('{"contents":[]' + given + kind + "}", "modern", "resources/read"))
    assert (told["ttlMs"], told["cacheScope"]) == hints
    assert told["resultType"] == "complete"


def test_results_that_are_not_cached_get_no_hints():
    text = '{"resultType":"complete","messages":[ ]}'
    assert passed(text, "modern", "prompts/get") == text
    hinted = '{"resultType":"complete", "contents":[],"ttlMs":1,"cacheScope":"private"}'
    assert passed(hinted, "modern", "resources/read") == hinted
    asked = '{"resultType":"input_required", "requestState":"s"}'
    assert passed(asked, "modern", "resources/read") == asked
    assert passed('{ "contents":[] }', "legacy", "resources/read") == '{ "contents":[] }'


@pytest.mark.parametrize("value", ["[ 1 ]", "null", '"x"', "7"])
def test_structured_content_that_legacy_clients_cannot_take_is_left_out(value):
    text = '{"resultType":"complete","structuredContent":' + value + ',"content":[1.0]}'
    assert passed(text, "legacy") == '{"content":[1.0]}'
    assert passed(text, "modern") == text


@pytest.mark.parametrize("content", ["", ',"content":[]', ',"content": [ \n]'])
@pytest.mark.parametrize("value", ['[ 1, "ü" ]', '"x"', "7", "1E400"])
def test_structured_content_without_any_beside_it_becomes_text_for_legacy_clients(value, content):
    text = '{"resultType":"complete","structuredContent":' + value + content + "}"
    assert json.loads(passed(text, "legacy")) == {"content": [{"type": "text", "text": value}]}
    assert passed(text, "modern") == text


def test_structured_content_that_is_null_says_nothing():
    text = '{"resultType":"complete","structuredContent":null,"content":[]}'
    assert passed(text, "legacy") == '{"content":[]}'


def test_structured_content_that_is_an_object_stays():
    text = '{"resultType":"complete","structuredContent":{"n":1E400}}'
    assert passed(text, "legacy") == '{"structuredContent":{"n":1E400}}'


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{}", "complete"),
        ('{"resultType":"complete"}', "complete"),
        ('{"resultType":"input_required"}', "input_required"),
        ('{"resultType":"task"}', "task"),
        ('{"resultType":"novel"}', "unknown"),
        ('{"resultType":7}', "unknown"),
        ('{"resultType":null}', "complete"),
    ],
)
def test_the_kind_of_a_result_is_what_it_says_or_complete(text, kind):
    assert result_kind(members_of(Raw(text.encode()))) == kind


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("{}", "ok"),
        ('{"isError":false,"resultType":"complete"}', "ok"),
        ('{"isError":true}', "tool_error"),
    ],
)
def test_how_a_call_ended_is_what_its_result_says(text, ending):
    assert call_ending(members_of(Raw(text.encode()))) == ending


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


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources", "resourceTemplates"])
def test_each_list_has_its_items_under_its_own_name(kind):
    item = b'{"n": 1E400}'
    page = list_result([item, item], "", "modern", kind)
    assert page.startswith(b'{"%b":[%b,%b],"nextCursor":"",' % (kind.encode(), item, item))
    assert list_result([], None, "legacy", kind) == b'{"%b":[]}' % kind.encode()


def test_discovery_and_handshake_announce_what_they_are_given():
    can = Raw(b'{"prompts":{"listChanged":true},"tools":{"listChanged":true}}')
    assert json.loads(discover_result(INFO, ("v",), "i", can))["capabilities"] == {
        "prompts": {"listChanged": True},
        "tools": {"listChanged": True},
    }
    told = json.loads(initialize_result(INFO, "v", "i", can))
    assert told["capabilities"]["prompts"] == {"listChanged": True}
    assert json.loads(initialize_result(INFO, "v", "i"))["capabilities"] == {
        "tools": {"listChanged": True}
    }


def test_a_server_without_proposals_proposes_nothing():
    assert json.loads(no_completions("legacy")) == {"completion": {"values": [], "hasMore": False}}
    assert json.loads(no_completions("modern"))["resultType"] == "complete"


def test_instructions_are_the_gates_own_and_then_each_servers_under_its_alias():
    said = instructions("Ours.", [("gh", "Theirs.\n"), ("none", " "), ("fs", "Others.")])
    assert said == "Ours.\n\n## gh\n\nTheirs.\n\n## fs\n\nOthers."
    assert instructions("", [("gh", "Theirs.")]) == "## gh\n\nTheirs."
    assert instructions("Ours.", []) == "Ours."


def test_instructions_stay_below_their_cap_and_no_server_takes_anothers_room():
    said = instructions("Ours.", [("a", "é" * 9_000), ("b", "short"), ("c", "x" * 9_000)])
    assert len(said.encode()) <= INSTRUCTION_BYTES
    assert said.count("é") == said.encode().count("é".encode())
    assert "\n\n## b\n\nshort\n\n## c\n\nxxx" in said
    assert said.count("…") == 2
    assert said.count("x") > said.count("é")
    assert instructions("Ours.", [("a", "x" * 99)], 20) == "Ours.\n\n## a\n\nxxxx…"
    assert instructions("Ours.", [("a", "x" * 99)], 10) == "Ours."
    assert instructions("é" * 9, [], 8) == "éé…"


def test_a_denial_is_a_tool_result_with_the_rule_under_our_own_key():
    told = json.loads(tool_error("no", "legacy", {"rule": "r"}))
    assert told["isError"] is True
    assert told["_meta"]["dev.gatelodge/decision"] == {"rule": "r"}
    assert "resultType" not in told


def test_an_error_code_is_read_when_it_is_one():
    assert rpc_code(Raw(b'{"code":-32602,"message":"x"}')) == -32602
    assert rpc_code(Raw(b'{"code":"x"}')) is None
    assert rpc_code(Raw(b"[]")) is None
    assert rpc_code(Raw(b'{"code":-2147483648}')) == -(2**31)
    for message in (b"2147483648", b"-2147483649", b"7" * 400, b"1e400"):
        assert rpc_code(Raw(b'{"code":%b}' % message)) is None, "it would be written down"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ('{"content":[],"_meta":null,"isError":null}', {"content": []}),
        ('{"content":[],"_meta":7,"isError":"no"}', {"content": []}),
        ('{"resultType":null,"content":[]}', {"content": []}),
        ('{"structuredContent":{"a":1}}', {"structuredContent": {"a": 1}, "content": []}),
        ('{"resultType":"task","task":{}}', {"resultType": "task", "task": {}}),
    ],
)
def test_what_clients_would_stumble_over_is_left_out(given, shown):
    raw = Raw(given.encode())
    assert json.loads(bytes(mended(raw, members_of(raw), "tools/call")[0])) == shown


def test_a_result_that_every_client_reads_is_not_touched():
    raw = Raw(b'{ "content" : [ ] , "isError" : true , "_meta" : { } }')
    assert mended(raw, members_of(raw), "tools/call")[0] is raw


@pytest.mark.parametrize(
    ("method", "given", "lacks"),
    [
        ("tools/call", '{"content":"text"}', "content"),
        ("tools/call", '{"content":null}', "content"),
        ("tools/call", "{}", ""),
        ("prompts/get", "{}", "messages"),
        ("prompts/get", '{"messages":[]}', ""),
        ("resources/read", '{"contents":{}}', "contents"),
        ("completion/complete", '{"completion":[]}', "completion"),
        ("tasks/get", "{}", ""),
    ],
)
def test_a_result_lacks_what_no_client_can_do_without(method, given, lacks):
    assert misshapen(method, members_of(Raw(given.encode()))) == lacks
