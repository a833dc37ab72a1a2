"""In which era a tool of a dual server can ask, told from what it answered, and what is kept."""

import json

import pytest
from msgspec import Raw

from gatelodge.adapters.upstream.dual import asking
from gatelodge.adapters.upstream.dual.asking import AskingEras
from gatelodge.core.protocol.bridge.both_eras import AskingSign, asking_sign, with_cure
from gatelodge.ports.upstream import UpstreamRequest

SURE, UNSURE = AskingSign("modern"), AskingSign("modern", sure=False)
LEGACY, MAYBE_LEGACY = AskingSign("legacy"), AskingSign("legacy", sure=False)
RMCP = "InputRequiredResult requires negotiated protocol version 2026-07-28 or newer"
TYPESCRIPT = (
    "Handler for tools/call returned an input-required result, but this request is served on "
    "protocol revision 2025-11-25, which has no input_required vocabulary"
)
WORDS = "this transport context has no back-channel for server-initiated requests"


def raw(value):
    return Raw(json.dumps(value).encode())


def of(name, method="tools/call"):
    return UpstreamRequest(method=method, params={}, name=name)


@pytest.mark.parametrize(
    ("spoken", "code", "message", "sign"),
    [
        ("legacy", -32600, RMCP, SURE),
        ("legacy", -32603, TYPESCRIPT, SURE),
        ("legacy", -32603, f"{RMCP} (your card was charged)", None),
        ("legacy", -32603, f"charged; then: {TYPESCRIPT}", None),
        ("legacy", -32602, "input_required: name", None),
        ("legacy", -32603, "Handler returned an invalid result", UNSURE),
        ("legacy", -32000, "Handler returned an invalid result", None),
        ("legacy", -32602, "name: input required", None),
        ("legacy", -32603, WORDS, None),
        ("modern", -32603, WORDS, MAYBE_LEGACY),
        ("modern", -32600, "InputRequiredResult requires something", None),
    ],
)
def test_an_error_tells_what_no_other_error_says(spoken, code, message, sign):
    assert asking_sign(spoken, None, raw({"code": code, "message": message})) == sign


@pytest.mark.parametrize(
    ("spoken", "result", "sign"),
    [
        ("modern", {"resultType": "input_required", "inputRequests": {}}, SURE),
        ("legacy", {"resultType": "input_required", "inputRequests": {}}, SURE),
        ("modern", {"content": ["input_required"]}, None),
        ("modern", {"isError": True, "content": [WORDS]}, MAYBE_LEGACY),
        ("legacy", {"isError": True, "content": [WORDS]}, None),
        ("modern", {"resultType": "input_required", "x": "x" * 70_000}, None),
    ],
)
def test_a_result_tells_by_its_kind_or_by_the_words_of_an_sdk(spoken, result, sign):
    assert asking_sign(spoken, raw(result), None) == sign


def test_the_cure_is_added_to_what_the_error_says():
    told = json.loads(bytes(with_cure(raw({"code": -1, "message": "No.", "data": [1]}))))
    assert (told["code"], told["data"]) == (-1, [1])
    assert told["message"].startswith("No.")
    assert "call it again" in told["message"]


def test_what_is_sure_replaces_what_was_known_and_a_guess_does_not():
    known = AskingEras()
    for sign, era in (
        (UNSURE, "modern"),
        (MAYBE_LEGACY, "modern"),
        (LEGACY, "legacy"),
        (UNSURE, "legacy"),
        (SURE, "modern"),
        (MAYBE_LEGACY, "modern"),
    ):
        known.learn(of("a"), sign)
        assert known.of(of("a")) == era
    assert known.of(of("b")) is None
    assert known.of(of("a", "prompts/get")) is None


def test_so_much_is_remembered_and_no_more(monkeypatch):
    monkeypatch.setattr(asking, "MOST", 2)
    known = AskingEras()
    for name in ("a", "b", "c", "x" * 2000):
        known.learn(of(name), SURE)
    assert [known.of(of(name)) for name in ("a", "b", "c", "x" * 2000)] == [
        None,
        "modern",
        "modern",
        None,
    ]


def test_an_admin_is_told_the_names_of_tools_alone():
    known = AskingEras()
    for name in "gfedcba":
        known.learn(of(name), SURE)
    known.learn(of("push"), LEGACY)
    known.learn(of("file:///secret", "resources/read"), SURE)
    assert known.told(pushes=True) == (
        "Only in 2026-07-28 a client is asked by a, b, c, d, e and 2 more. "
        "Only in a legacy revision a client is asked by push."
    )
    assert "keeps no session" in known.told(pushes=False)
    assert AskingEras().told(pushes=True) == ""
