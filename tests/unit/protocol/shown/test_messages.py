"""Messages with shown URIs and names: what holds one changes, all else keeps its bytes."""

import pytest
from msgspec import Raw

from gatelodge.core.protocol.envelope import members_of
from gatelodge.core.protocol.shown.messages import (
    CompletionReference,
    read_reference,
    shown_error,
    shown_resource,
    shown_result,
    shown_template,
    shown_tool,
    with_reference,
)
from gatelodge.core.protocol.shown.uris import BARE, UriPrefix

GH = UriPrefix("gh")


def shown(method: str, text: str, prefix: UriPrefix = GH) -> str:
    raw = Raw(text.encode())
    new, members = shown_result(method, raw, members_of(raw), prefix)
    assert members == members_of(new)
    return bytes(new).decode()


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        (
            "tools/call",
            '{"content":[{"text":"file:///a"},{"type":"resource_link","uri":"file:///a","n":1E400}]}',
            '{"content":[{"text":"file:///a"},{"type":"resource_link","uri":"gh+file:///a","n":1E400}]}',
        ),
        (
            "tools/call",
            '{"content":[{"type":"resource","resource":{"uri":"ui://x","text":"a\\/b"}}],"n":1.0}',
            '{"content":[{"type":"resource","resource":{"uri":"ui://gh/x","text":"a\\/b"}}],"n":1.0}',
        ),
        (
            "tools/call",
            '{"content":[],"_meta":{"ui":{"resourceUri":"ui://x","v":[ 1 ]},"v/x":1.0}}',
            '{"content":[],"_meta":{"ui":{"resourceUri":"ui://gh/x","v":[ 1 ]},"v/x":1.0}}',
        ),
        (
            "tools/call",
            '{"content":[],"_meta":{"ui/resourceUri":"ui:\\/\\/x"}}',
            '{"content":[],"_meta":{"ui/resourceUri":"ui://gh/x"}}',
        ),
        (
            "tools/call",
            '{"content":[{"type":"\\u0072e\\u0073ource_link","\\u0075ri":"file:///a"}]}',
            '{"content":[{"type":"\\u0072e\\u0073ource_link","uri":"gh+file:///a"}]}',
        ),
        (
            "prompts/get",
            '{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:b"}}}]}',
            '{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"gh+a:b"}}}]}',
        ),
        (
            "prompts/get",
            '{"messages":[{"content":[{"type":"resource_link","uri":"a:c"}, 1.0]}, 1.0]}',
            '{"messages":[{"content":[{"type":"resource_link","uri":"gh+a:c"},1.0]},1.0]}',
        ),
        (
            "resources/read",
            '{"contents":[{"uri":"a:b","blob":"AA=="},{"uri":"a:c","text":"a:c"}],"ttlMs":5}',
            '{"contents":[{"uri":"gh+a:b","blob":"AA=="},{"uri":"gh+a:c","text":"a:c"}],"ttlMs":5}',
        ),
    ],
)
def test_uris_in_a_result_are_shown_and_nothing_else_changes(method, before, after):
    assert shown(method, before) == after
    assert shown(method, before, BARE) == before


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("tools/call", '{ "content": [ {"type":"text","text":"x"} ] }'),
        ("tools/call", '{ "content": [ {"type":"text","text":"resource"} ] }'),
        ("tools/call", '{ "content": [ {"type":"novel_resource","uri":"file:///a"} ] }'),
        ("tools/call", '{ "content": [ {"type":"resource_link","uri":"https://x/resource"} ] }'),
        ("tools/call", '{ "content": [ {"type":"resource_link","uri":7} ] }'),
        ("tools/call", '{ "content": [ 7, {"type":"resource","resource":[]} ] }'),
        ("tools/call", '{ "content": "resource", "_meta": "resource" }'),
        ("tools/call", '{ "structuredContent": {"type":"resource_link","uri":"file:///a"} }'),
        ("tools/call", '{ "_meta": {"ui": {"resourceUri": null}} }'),
        ("prompts/get", '{ "messages": {"content":{"type":"resource"}} }'),
        ("resources/read", '{ "contents": [ ] }'),
        ("completion/complete", '{ "completion": {"values": ["file:///resource"]} }'),
    ],
)
def test_a_result_without_a_uri_of_the_servers_own_is_the_very_same(method, text):
    raw = Raw(text.encode())
    members = members_of(raw)
    new, same = shown_result(method, raw, members, GH)
    assert new is raw
    assert same is members


def test_items_of_lists_are_shown_under_their_servers_alias():
    item = Raw(b'{"uri":"file:///a","name":"file:///a","size":1E400}')
    assert bytes(shown_resource(GH, item)) == (
        b'{"uri":"gh+file:///a","name":"file:///a","size":1E400}'
    )
    template = Raw(b'{"uriTemplate":"t://{id}","name":"n"}')
    assert bytes(shown_template(GH, template)) == b'{"uriTemplate":"gh+t://{id}","name":"n"}'
    tool = Raw(b'{"name":"a","_meta":{"ui":{"resourceUri":"ui://x/y"}}}')
    assert (
        bytes(shown_tool(GH, tool)) == b'{"name":"a","_meta":{"ui":{"resourceUri":"ui://gh/x/y"}}}'
    )


def test_items_without_a_name_or_uri_and_those_of_a_bare_endpoint_are_the_very_same():
    for change in (shown_resource, shown_template, shown_tool):
        for text in (b"{}", b"7", b'{"uri":7,"uriTemplate":7,"name":7,"_meta":{"ui":{}}}'):
            raw = Raw(text)
            assert change(GH, raw) is raw
        raw = Raw(
            b'{"uri":"a:b","uriTemplate":"a:b","name":"n","_meta":{"ui":{"resourceUri":"a:b"}}}'
        )
        assert change(BARE, raw) is raw


def test_a_resource_that_is_not_there_is_named_by_its_shown_uri():
    for code in (b"-32602", b"-32002"):
        error = Raw(b'{"code":%b,"message":"a:b","data":{"uri":"a:b"}}' % code)
        expected = b'{"code":%b,"message":"a:b","data":{"uri":"gh+a:b"}}' % code
        assert bytes(shown_error(GH, error)) == expected
    for text in (b'{"code":-32603,"data":{"uri":"a:b"}}', b'{"code":-32602,"data":"uri"}', b"[]"):
        error = Raw(text)
        assert shown_error(GH, error) is error


@pytest.mark.parametrize(
    ("text", "reference", "back"),
    [
        (
            b'{"type":"ref/prompt","name":"gh__a","title":"t"}',
            CompletionReference("prompt", "gh__a"),
            b'{"type":"ref/prompt","name":"own","title":"t"}',
        ),
        (
            b'{"type":"ref/resource","uri":"gh+t://{id}"}',
            CompletionReference("resource", "gh+t://{id}"),
            b'{"type":"ref/resource","uri":"own"}',
        ),
    ],
)
def test_a_reference_is_turned_back(text, reference, back):
    assert read_reference(Raw(text)) == reference
    assert bytes(with_reference(Raw(text), "own")) == back


@pytest.mark.parametrize(
    "text",
    [b"7", b"{}", b'{"type":"ref/tool","name":"x"}', b'{"type":"ref/prompt","uri":"x"}',
     b'{"type":"ref/resource","uri":7}', b'{"type":7,"name":"x"}'],
)  # fmt: skip
def test_a_malformed_reference_is_none(text):
    assert read_reference(Raw(text)) is None
    assert read_reference(None) is None
    raw = Raw(text)
    if text.startswith(b'{"type":"ref/tool"') or b"type" not in text:
        assert with_reference(raw, "own") is raw
