"""Questions: only what was declared, only so many, only by whom they were asked, and only once."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.attacks.scene import ASKABLE, YES, Modern, Old, Scene, told
from tests.stage import Stage
from tests.upstreams.library import QUESTION, SAMPLE
from tests.wire import Wire, until

from gatelodge.adapters.upstream.question import MOST_WAITING

NO = {"action": "decline"}
ROUNDS = 10


@pytest.fixture(scope="module", params=["modern", "legacy"])
def scene(stage: Stage, request: pytest.FixtureRequest) -> Scene:
    return Scene(stage, f"questions-{request.param}", era=request.param)


@pytest.fixture(scope="module")
def tokens(scene: Scene) -> dict[str, str]:
    return dict(zip(("ada", "eve"), scene.admit("ada", "eve"), strict=True))


@pytest.fixture
def wire(scene: Scene) -> Iterator[Wire]:
    with scene.wire() as wire:
        yield wire


def asked(wire: Wire, client: Old, tool: str = "lib__ask") -> dict[str, Any]:
    """Call a tool that asks; its first question."""
    wire.send(client.raw("tools/call", {"name": tool, "arguments": {}}))
    assert wire.head().status == 200
    return dict(told(wire))


def said(scene: Scene) -> Any:
    """What the server was answered last."""
    last = scene.server.told[-1]
    return last["q"] if scene.server.era == "modern" else last


def test_a_question_of_one_session_is_answered_in_that_session_alone(
    scene: Scene, tokens: dict[str, str], wire: Wire
):
    ada = Old(scene.place, tokens["ada"])
    question = asked(wire, ada)
    before = scene.count
    strangers = [Old(scene.place, tokens[name]) for name in ("ada", "eve")]
    for stranger in strangers:
        assert stranger.reply(question["id"], NO).status == 202
    for odd in (str(question["id"]), question["id"] + 1, -1, 0, 10**30):
        assert ada.reply(odd, NO).status == 202
    modern = Modern(scene.place, tokens["ada"])
    sent = b'{"jsonrpc":"2.0","id":%d,"result":{"action":"decline"}}' % question["id"]
    assert modern.post(sent).status == 400
    assert wire.is_silent(0.2)
    assert ada.reply(question["id"]).status == 202
    assert told(wire)["result"]["content"][0]["text"] == "told"
    assert said(scene) == YES
    assert ada.reply(question["id"], NO).status == 202, "a second answer is taken and ignored"
    assert said(scene) == YES
    kinds = [kind for kind, _ in scene.records(before)]
    assert kinds.count("request.answered") == 11  # with the two handshakes
    assert kinds.count("request.refused") == 1


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18"])
def test_who_declared_that_it_can_be_asked_is_asked_whatever_its_revision(
    scene: Scene, tokens: dict[str, str], wire: Wire, version: str
):
    ada = Old(scene.place, tokens["ada"], version=version)
    question = asked(wire, ada)
    assert question["method"] == "elicitation/create"
    assert ada.reply(question["id"]).status == 202
    assert told(wire)["result"]["content"][0]["text"] == "told"
    assert said(scene) == YES


def test_two_questions_at_once_are_told_apart(scene: Scene, tokens: dict[str, str]):
    ada = Old(scene.place, tokens["ada"])
    with scene.wire() as first, scene.wire() as second:
        one, two = asked(first, ada), asked(second, ada)
        assert one["id"] != two["id"]
        assert ada.reply(two["id"], NO).status == 202
        assert told(second)["result"]
        assert said(scene) == NO
        assert first.is_silent(0.1)
        assert ada.reply(one["id"]).status == 202
        assert told(first)["result"]
        assert said(scene) == YES


@pytest.mark.parametrize(
    ("says", "answer"),
    [
        ("an error", {"error": {"code": -32000, "message": "no"}}),
        ("an error that is a number", {"error": 7}),
        ("a number", {"result": 7}),
        ("null", {"result": None}),
        ("a list", {"result": []}),
        ("both", {"result": YES, "error": {"code": 1, "message": "x"}}),
    ],
)
def test_an_odd_answer_ends_its_own_question_and_nothing_else(
    scene: Scene, tokens: dict[str, str], wire: Wire, says: str, answer: dict[str, Any]
):
    ada = Old(scene.place, tokens["ada"])
    question = asked(wire, ada)
    assert ada.say({"jsonrpc": "2.0", "id": question["id"], **answer}).status == 202
    assert told(wire)["result"]["content"][0]["text"] == "told"
    assert ada.request("ping", {}).status == 200


def test_a_modern_client_is_asked_no_more_than_so_many_times(scene: Scene, tokens: dict[str, str]):
    ada, before = Modern(scene.place, tokens["ada"]), scene.count
    question = ada.ask("lib__ask_forever")
    rounds, left = 1, len(scene.server.left)
    while True:
        result = ada.retry("lib__ask_forever", question).json["result"]
        if result.get("resultType") != "input_required":
            break
        rounds, question = rounds + 1, result
    assert rounds == ROUNDS
    assert result["_meta"]["dev.gatelodge/decision"]["error"] == "error.refused.limit"
    assert "more than 10 times" in result["content"][0]["text"]
    if scene.server.era == "legacy":
        until(lambda: len(scene.server.left) > left, 2, "the server was not told to stop")
    outcomes = [outcome for kind, outcome in scene.records(before) if kind == "call.outcome"]
    assert outcomes == ["input_required"] * ROUNDS + ["blocked_response"]


def test_a_legacy_client_is_asked_no_more_than_so_many_times(
    scene: Scene, tokens: dict[str, str], wire: Wire
):
    ada, before, left = Old(scene.place, tokens["ada"]), scene.count, len(scene.server.left)
    question, rounds = asked(wire, ada, "lib__ask_forever"), 1
    while "method" in question:
        ada.reply(question["id"])
        question = told(wire)
        rounds += "method" in question
    assert rounds == ROUNDS
    error = question["result"]["_meta"]["dev.gatelodge/decision"]["error"]
    assert error == "error.refused.limit"
    if scene.server.era == "legacy":
        until(lambda: len(scene.server.left) > left, 2, "the server was not told to stop")
    assert scene.outcome(before) == "blocked_response"


@pytest.mark.parametrize("scene", ["legacy"], indirect=True, scope="module")
def test_a_hundred_questions_at_once_are_brought_as_far_as_a_client_can_bear(
    scene: Scene, tokens: dict[str, str]
):
    ada, server = Modern(scene.place, tokens["ada"]), scene.server
    server.released.clear()
    question = ada.ask("lib__ask_many")
    rounds = [len(question["inputRequests"])]
    server.released.set()  # the first one is with the client: from here on it is known who waits
    more = [server.asked[f"m-{number}"] for number in range(1, 100)]
    until(lambda: sum(each.done() for each in more) == 99 - MOST_WAITING, why="the rest is refused")
    while (result := ada.retry("lib__ask_many", question).json["result"])[
        "resultType"
    ] != "complete":
        question = result
        rounds.append(len(question["inputRequests"]))
    assert rounds == [1, MOST_WAITING]
    assert server.asked["m-0"].result() == YES
    answers = [each.result() for each in more]
    assert answers[:MOST_WAITING] == [YES] * MOST_WAITING
    assert [answer["code"] for answer in answers[MOST_WAITING:]] == [-32603] * (99 - MOST_WAITING)


@pytest.mark.parametrize("scene", ["modern"], indirect=True, scope="module")
def test_a_modern_server_that_asks_a_hundred_at_once_is_not_followed(
    scene: Scene, tokens: dict[str, str]
):
    many = {f"q{n}": QUESTION for n in range(100)}
    asks = {"resultType": "input_required", "inputRequests": many, "requestState": "s"}
    scene.server.tools["raw"] = lambda talk: talk.result(asks)
    result = Modern(scene.place, tokens["ada"]).call("lib__raw").json["result"]
    assert result["_meta"]["dev.gatelodge/decision"]["error"] == "error.upstream.protocol"


URL = {
    "method": "elicitation/create",
    "params": {"mode": "url", "url": "https://x.test/", "message": "go"},
}
TOOLS = {**SAMPLE, "params": {**SAMPLE["params"], "tools": []}}
UNDECLARED = [
    ("nothing is declared", {}, QUESTION),
    ("another kind is declared", {"roots": {}}, QUESTION),
    ("form is declared and a URL asked", {"elicitation": {}}, URL),
    ("a URL is declared and a form asked", {"elicitation": {"url": {}}}, QUESTION),
    ("an unknown mode", {"elicitation": {"voice": {}}}, QUESTION),
    ("sampling without tools", {"sampling": {}}, TOOLS),
    ("a method that is no question", ASKABLE, {"method": "tools/list", "params": {}}),
    ("a method of the server", ASKABLE, {"method": "initialize", "params": {}}),
    ("params that are a list", ASKABLE, {"method": "elicitation/create", "params": []}),
    ("a capability that is no object", {"elicitation": 7}, QUESTION),
]


@pytest.mark.parametrize("client", ["modern", "legacy"])
@pytest.mark.parametrize(("says", "can", "question"), UNDECLARED, ids=[r[0] for r in UNDECLARED])
def test_what_was_not_declared_is_never_asked(
    scene: Scene, tokens: dict[str, str], client: str, says: str, can: Any, question: Any
):
    make = Modern if client == "modern" else Old
    ada = make(scene.place, tokens["ada"], can=can)
    scene.server.question, told_ = question, len(scene.server.told)
    before = scene.count
    answer = ada.request("tools/call", {"name": "lib__ask", "arguments": {}}, accept="*/*")
    scene.server.question = QUESTION
    result = answer.json["result"]
    assert not any(b'"method"' in message for message in answer.messages)
    if scene.server.era == "legacy":
        assert result["content"][0]["text"] == "told", "the server was refused, and went on"
        assert scene.server.told[told_]["code"] in (-32601, -32602, -32021)
        assert scene.outcome(before) == "ok"
    else:
        error = result["_meta"]["dev.gatelodge/decision"]["error"]
        assert error == "error.upstream.protocol"
        assert len(scene.server.told) == told_
        assert scene.outcome(before) == "upstream_protocol"


def test_a_server_is_told_no_more_than_its_caller_declared(scene: Scene, tokens: dict[str, str]):
    wide = {**ASKABLE, "experimental": {"x": {}}, "elicitation": {"form": {}, "voice": {}}}
    Modern(scene.place, tokens["ada"], can=wide).call("lib__echo")
    seen = scene.server.called("echo")[-1]
    if scene.server.era == "modern":
        meta = seen.message["params"]["_meta"]
        told_ = meta["io.modelcontextprotocol/clientCapabilities"]
    else:
        told_ = scene.server.sessions[str(seen.header("Mcp-Session-Id"))]
    assert told_ == {"elicitation": {"form": {}}, "roots": {}, "sampling": {}}


def test_a_client_that_goes_away_is_not_waited_for(scene: Scene, tokens: dict[str, str]):
    ada, before, told_ = Old(scene.place, tokens["ada"]), scene.count, len(scene.server.told)
    with scene.wire() as wire:
        asked(wire, ada)
        began = time.monotonic()
    assert scene.outcome(before) == "ok"
    assert time.monotonic() - began < 2
    answer = said(scene)
    assert len(scene.server.told) == told_ + 1
    assert answer in (
        {"action": "cancel"},
        {"code": -32603, "message": "the client did not answer"},
    )


def test_a_call_that_is_taken_back_while_its_question_is_open_ends_at_once(
    scene: Scene, tokens: dict[str, str], wire: Wire
):
    ada, before, left = Old(scene.place, tokens["ada"]), scene.count, len(scene.server.left)
    question = asked(wire, ada)
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert ada.say(note).status == 202
    assert told(wire)["error"]["code"] == 4011
    assert scene.outcome(before) == "cancelled"
    assert ada.reply(question["id"]).status == 202, "an answer that comes too late is taken"
    if scene.server.era == "legacy":
        until(lambda: len(scene.server.left) == left + 1, 2, "the server was not told to stop")
