"""Which era a server speaks, from what it answered; what an HTTP status means."""

import json

import pytest
from msgspec import Raw

from gatelodge.core.errors import UpstreamBrokeProtocol, UpstreamUnreachable
from gatelodge.core.protocol.upstream import parse_message
from gatelodge.core.protocol.upstream_era import (
    ServerHello,
    capable,
    discovered,
    initialized,
    listening,
)
from gatelodge.core.protocol.upstream_status import redirected, refusal, rejected, retry_after


def answer(**members):
    return parse_message(json.dumps({"jsonrpc": "2.0", "id": 1, **members}).encode())


def error(code, **more):
    return answer(error={"code": code, "message": "m", **more})


def test_a_discover_result_makes_a_server_modern():
    said = {
        "supportedVersions": ["2026-07-28", "2099-01-01"],
        "capabilities": {"tools": {"listChanged": True}, "x": 1},
        "instructions": "Be kind.",
    }
    hello = discovered(answer(result=said))
    assert (hello.era, hello.version, hello.instructions) == ("modern", "2026-07-28", "Be kind.")
    assert json.loads(bytes(hello.capabilities)) == said["capabilities"]


@pytest.mark.parametrize(
    ("said", "lists", "tells", "subscribes", "logs"),
    [
        ({}, {"tools"}, set(), False, False),
        ({"tools": {}}, {"tools"}, set(), False, False),
        ({"tools": {"listChanged": True}, "logging": {}}, {"tools"}, {"tools"}, False, True),
        ({"prompts": {"listChanged": False}}, {"prompts"}, set(), False, False),
        (
            {"resources": {"subscribe": True}, "tools": 1},
            {"resources", "tools"},
            set(),
            True,
            False,
        ),
        ([], {"tools"}, set(), False, False),
        ("odd", {"tools"}, set(), False, False),
    ],
)
def test_capabilities_say_what_a_server_has(said, lists, tells, subscribes, logs):
    can = capable(Raw(json.dumps(said).encode()))
    assert (can.lists, can.tells) == (lists, tells)
    assert (can.subscribes, can.logs) == (subscribes, logs)


def test_what_is_listened_to_is_what_a_server_tells():
    can = capable(Raw(b'{"tools":{"listChanged":true},"resources":{"listChanged":true}}'))
    assert listening(capable(Raw(b'{"tools":{}}')), frozenset()) is None
    wanted = listening(can, frozenset({"b:2", "a:1"}))["notifications"]
    assert json.loads(bytes(wanted)) == {
        "toolsListChanged": True,
        "resourcesListChanged": True,
        "resourceSubscriptions": ["a:1", "b:2"],
    }


@pytest.mark.parametrize("code", [-32020, -32021])
def test_a_modern_error_makes_a_server_modern(code):
    assert discovered(error(code)) == ServerHello(era="modern", version="2026-07-28")


@pytest.mark.parametrize(
    "message",
    [
        None, error(-32601), error(-32602), error(-32000), error(-32600), answer(),
        answer(result={}), answer(result={"supportedVersions": "2026-07-28"}), answer(result=None),
        answer(error="odd"),
    ],
)  # fmt: skip
def test_any_other_answer_makes_a_server_legacy(message):
    assert discovered(message) == "legacy"


@pytest.mark.parametrize(
    "message",
    [
        answer(result={"supportedVersions": ["2099-01-01"]}),
        error(-32022, data={"supported": ["2099-01-01"], "requested": "2026-07-28"}),
        error(-32022),
    ],
)
def test_a_modern_server_of_another_revision_is_strange(message):
    assert discovered(message) == "strange"


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
def test_each_legacy_revision_is_taken(version):
    hello = initialized(Raw(json.dumps({"protocolVersion": version}).encode()))
    assert hello == ServerHello(era="legacy", version=version)


@pytest.mark.parametrize(
    "said", [{}, {"protocolVersion": "2026-07-28"}, {"protocolVersion": 1}, []]
)
def test_any_other_handshake_is_refused(said):
    assert initialized(Raw(json.dumps(said).encode())) is None


def judge(status, body=b"", *, session=False):
    return rejected(status, body, 1, session=session, wait=3.0)


def rpc(code, message="m", number=1):
    fault = {"code": code, "message": message}
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": fault}).encode()


@pytest.mark.parametrize("status", [400, 404, 422, 500])
@pytest.mark.parametrize("number", [1, None])
def test_a_json_rpc_error_is_the_answer(status, number):
    assert isinstance(judge(status, rpc(-32602, number=number)), Raw)


def test_an_error_for_another_request_is_not():
    assert isinstance(judge(400, rpc(-32602, number=2)), UpstreamBrokeProtocol)


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b""), (404, rpc(-32001)), (400, rpc(-32000, "Bad Request: No valid session ID"))],
)
def test_a_session_is_lost_only_where_there_was_one(status, body):
    assert judge(status, body, session=True) == "session_lost"
    assert judge(status, body, session=False) != "session_lost"


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, rpc(-32601)), (400, rpc(-32602)), (400, rpc(-32000, "no")), (400, b""), (500, b"")],
)
def test_no_session_is_lost_by_other_answers(status, body):
    assert judge(status, body, session=True) != "session_lost"


@pytest.mark.parametrize(
    "status", [301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 410, 429, 503]
)
def test_an_answer_of_the_whole_server_is_no_answer_to_the_call(status):
    fault = judge(status, b"canary")
    assert isinstance(fault, UpstreamUnreachable)
    assert "canary" not in fault.detail + fault.remedy
    assert fault.retry_after == (3.0 if status in (429, 503) else None)


@pytest.mark.parametrize("status", [201, 202, 204, 400, 418, 500, 502, 504])
def test_anything_else_breaks_the_protocol(status):
    assert isinstance(judge(status, b"canary"), UpstreamBrokeProtocol)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"", 0.0), (b"7", 7.0), (b"999999", 3600.0), (b"-1", 0.0), (b"soon", 0.0)],
)
def test_retry_after_is_seconds_or_nothing(value, seconds):
    assert retry_after(value) == seconds


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (b"/v2/mcp?key=s3cret", "https://x.example/v2/mcp"),
        (b"https://x.example/mcp/", "https://x.example/mcp/"),
        (b"http://x.example:8080/mcp", "http://x.example:8080/mcp"),
        (b"https://user:pw@x.example/mcp", "https://x.example/mcp"),
        (b"https://evil.example/mcp", ""),
        (b"https://x.example.evil.example/mcp", ""),
        (b"javascript:alert(1)", ""),
        (b"https://x.example/a b", ""),
        (b"https://x.example/\x1b[31m", ""),
        (b"https://x.example/\xff", ""),
        (b"https://x.example:port/", ""),
        (b"https://x.example/" + b"a" * 400, ""),
        (b"", ""),
    ],
)
def test_a_redirect_names_where_it_leads_on_the_servers_own_host_and_no_secret(location, told):
    moved = redirected(location, "https://x.example/mcp") if location else ""
    assert moved == told
    refused = refusal(307, 0.0, moved)
    assert told in refused.detail
    assert (told or "URL") in refused.remedy
    assert "s3cret" not in refused.detail + refused.remedy
