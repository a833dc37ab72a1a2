"""Which era a client speaks, and that its headers say what its body says."""

import pytest
from msgspec import Raw

from gatelodge.core.protocol.envelope import ClientMessage, MessageFault
from gatelodge.core.protocol.era import (
    check_modern,
    client_era,
    client_text,
    header_text,
    headers_mirror,
    passing_meta,
    said_of_itself,
)
from gatelodge.core.protocol.upstream_headers import HeaderMirror

META = {
    "io.modelcontextprotocol/protocolVersion": Raw(b'"2026-07-28"'),
    "io.modelcontextprotocol/clientCapabilities": Raw(b"{}"),
}
HEADERS = {
    b"mcp-protocol-version": b"2026-07-28",
    b"mcp-method": b"tools/call",
    b"mcp-name": b"a__b",
}


def call(**changes):
    meta = {**META, **changes.pop("meta", {})}
    meta = {k: v for k, v in meta.items() if v is not None}
    return ClientMessage("tools/call", b"1", {"name": Raw(b'"a__b"'), **changes}, meta)


@pytest.mark.parametrize(
    ("header", "meta", "era"),
    [
        (None, {}, "legacy"),
        ("2025-06-18", {}, "legacy"),
        ("2025-11-25", {}, "legacy"),
        ("2026-07-28", {}, "modern"),
        ("2031-01-01", {}, "modern"),
        ("2025-06-18", META, "modern"),
        (None, META, "modern"),
    ],
)
def test_the_era_follows_from_version_and_meta_never_from_the_method(header, meta, era):
    assert client_era(header, ClientMessage("initialize", b"1", {}, meta)) == era


def test_a_request_whose_headers_mirror_its_body_passes():
    check_modern(call(), HEADERS)
    coded = {**HEADERS, b"mcp-name": b"=?base64?YV9fYg==?="}
    check_modern(call(), coded)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_a_request_about_a_task_repeats_its_id_in_a_header(method):
    about = ClientMessage(method, b"1", {"taskId": Raw(b'"t"')}, META)
    headers = {**HEADERS, b"mcp-method": method.encode(), b"mcp-name": b"t"}
    check_modern(about, headers)
    with pytest.raises(MessageFault):
        check_modern(about, {**headers, b"mcp-name": b"u"})
    with pytest.raises(MessageFault):
        check_modern(about, {k: v for k, v in headers.items() if k != b"mcp-name"})


@pytest.mark.parametrize(
    ("message", "headers", "code"),
    [
        (call(), {**HEADERS, b"mcp-method": b"tools/list"}, -32020),
        (call(), {**HEADERS, b"mcp-name": b"other"}, -32020),
        (call(), {**HEADERS, b"mcp-name": b"=?base64?!!?="}, -32020),
        (call(), {k: v for k, v in HEADERS.items() if k != b"mcp-name"}, -32020),
        (call(), {k: v for k, v in HEADERS.items() if k != b"mcp-method"}, -32020),
        (call(), {k: v for k, v in HEADERS.items() if k != b"mcp-protocol-version"}, -32020),
        (call(), {**HEADERS, b"mcp-protocol-version": b"2025-11-25"}, -32020),
        (call(meta={"io.modelcontextprotocol/protocolVersion": None}), HEADERS, -32602),
        (call(meta={"io.modelcontextprotocol/clientCapabilities": None}), HEADERS, -32602),
        (
            call(meta={"io.modelcontextprotocol/protocolVersion": Raw(b'"2031-01-01"')}),
            {**HEADERS, b"mcp-protocol-version": b"2031-01-01"},
            -32022,
        ),
    ],
)
def test_a_request_whose_headers_say_something_else_is_refused(message, headers, code):
    with pytest.raises(MessageFault) as caught:
        check_modern(message, headers)
    assert (caught.value.fault.http, caught.value.fault.code) == (400, code)


@pytest.mark.parametrize("headers", [{}, HEADERS, {b"mcp-protocol-version": b"2026-07-28"}])
@pytest.mark.parametrize("meta", [{}, META])
def test_what_is_said_of_requests_is_not_asked_of_a_notification(headers, meta):
    check_modern(ClientMessage("notifications/cancelled", b"", {}, meta), headers)


@pytest.mark.parametrize("number", [b"", b"1"])
def test_a_version_that_is_unknown_is_refused_as_such_and_not_for_want_of_meta(number):
    message = ClientMessage("notifications/cancelled", number, {}, {})
    with pytest.raises(MessageFault) as caught:
        check_modern(message, {b"mcp-protocol-version": b"2031-01-01"})
    assert caught.value.fault.code == -32022
    assert b'"requested":"2031-01-01"' in caught.value.fault.data


def test_a_mirrored_header_is_read_with_its_sentinel():
    assert header_text(b"plain") == "plain"
    assert header_text(b"=?base64?w6k=?=") == "é"
    assert header_text(b"\xff") is None


def test_reserved_meta_ends_at_this_hop_and_the_rest_goes_on():
    meta = {**META, "progressToken": Raw(b"7"), "vendor/x": Raw(b"[1]")}
    trace = {"traceparent": Raw(b'"00-1"'), "baggage": Raw(b'"user=ada"')}
    passing = passing_meta({**meta, **trace})
    assert passing.pop("traceparent") == Raw(b'"00-1"')
    assert passing == {"progressToken": Raw(b"7"), "vendor/x": Raw(b"[1]")}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"name":"n","version":"1"}', "n/1"),
        (b"[]", ""),
        (b'{"name":"' + b"x" * 900 + b'"}', "x" * 64),
        (b'{"name":{"deep":1}}', '{"deep":1}/'),
        (b'{"name":' + b"[" * 900 + b"]" * 900 + b',"version":"' + b"1" * 900 + b'"}', "[" * 64),
    ],
)
def test_a_client_is_named_as_it_names_itself_and_briefly(raw, text):
    meta = {"io.modelcontextprotocol/clientInfo": Raw(raw)}
    assert client_text(bytes(said_of_itself(ClientMessage("x", b"1", {}, meta)))) == text
    assert (
        client_text(bytes(said_of_itself(ClientMessage("x", b"1", {"clientInfo": Raw(raw)}, {}))))
        == text
    )


@pytest.mark.parametrize(
    ("headers", "arguments", "mirrored"),
    [
        ({b"mcp-param-region": b"eu"}, b'{"region":"eu"}', True),
        ({b"mcp-param-region": b"=?base64?w6k=?="}, '{"region":"é"}'.encode(), True),
        ({b"mcp-param-count": b"42.0"}, b'{"count":42}', True),
        ({}, b"{}", True),
        ({}, b'{"region":null}', True),
        ({b"mcp-param-region": b"us"}, b'{"region":"eu"}', False),
        ({}, b'{"region":"eu"}', False),
        ({b"mcp-param-region": b"eu"}, b"{}", False),
    ],
)
def test_mirrored_arguments_are_repeated_exactly_by_their_headers(headers, arguments, mirrored):
    wanted = (
        HeaderMirror(("region",), "Mcp-Param-Region"),
        HeaderMirror(("count",), "Mcp-Param-Count", number=True),
    )
    assert headers_mirror(headers, wanted, Raw(arguments)) is mirrored
