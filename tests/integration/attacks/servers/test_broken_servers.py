"""A server that fails in prompts, resources, completions and tasks is told, and nobody else is."""

import json
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from tests.integration.attacks.scene import EVERYTHING, Modern, Old, Scene
from tests.stage import Stage
from tests.upstreams import acts
from tests.upstreams.http_upstream import Talk
from tests.upstreams.library import Library
from tests.wire import until

ASKED: dict[str, dict[str, Any]] = {
    "prompts/get": {"name": "lib__plan"},
    "resources/read": {"uri": "lib+doc://a"},
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "lib__plan"},
        "argument": {"name": "x", "value": "y"},
    },
    "tasks/get": {},
    "tasks/cancel": {},
}


def endless(talk: Talk) -> None:
    """More progress than a result may be long."""
    talk.stream()
    for step in range(3000):
        told = {"progressToken": 1, "progress": step, "message": "x" * 100}
        talk.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": told})
    talk.end()


def garbled(talk: Talk) -> None:
    talk.stream()
    talk.chunk(b'data: {"jsonrpc":"2.0","id":%d,"result":"\xff"}\n\n' % talk.seen.message["id"])


def unknown_kind(talk: Talk) -> None:
    talk.result({"resultType": "hologram", "contents": []})


def lost(talk: Talk) -> None:
    talk.answer("404 Not Found", b"")


async def hang(talk: Talk) -> None:
    """Say nothing until the caller hangs up."""
    await talk.writer._reader.read(1)
    talk.close()


class Fault(NamedTuple):
    """What the server does, the error's code that the answer names, the outcome on record."""

    act: Any
    code: str
    outcome: str


PROTOCOL = ("error.upstream.protocol", "upstream_protocol")
AWAY = ("error.upstream.unreachable", "upstream_unreachable")
LARGE = ("error.refused.limit", "blocked_response")
FAULTS = {
    "cut": Fault(acts.cut, *PROTOCOL),
    "cut in a stream": Fault(acts.cut_stream, *PROTOCOL),
    "no HTTP": Fault(acts.garbage, *PROTOCOL),
    "no JSON": Fault(acts.no_json, *PROTOCOL),
    "another's id": Fault(acts.wrong_id, *PROTOCOL),
    "another's id in a stream": Fault(acts.wrong_id_stream, *PROTOCOL),
    "no UTF-8": Fault(garbled, *PROTOCOL),
    "a list": Fault(lambda talk: talk.result([1]), *PROTOCOL),
    "a kind of result that nobody knows": Fault(unknown_kind, *PROTOCOL),
    "a task that nobody asked for": Fault(
        lambda talk: talk.result({"resultType": "task", "taskId": "t"}), *PROTOCOL
    ),
    "a question of no kind": Fault(
        lambda talk: talk.result({"resultType": "input_required"}), *PROTOCOL
    ),
    "500": Fault(lambda talk: talk.answer("500 Oh", b"secret words"), *PROTOCOL),
    "a redirect": Fault(
        lambda talk: talk.answer("307 Go", b"", Location="http://127.0.0.1:1/"), *AWAY
    ),
    "large": Fault(lambda talk: talk.result({"x": "x" * 300_000}), *LARGE),
    "large in a stream": Fault(acts.large_stream, *LARGE),
    "progress without end": Fault(endless, *LARGE),
}


Set = tuple[Scene, Modern]


@pytest.fixture(scope="module")
def sets() -> dict[str, Set]:
    """What was set up for each era, once: tests of both stand in any order."""
    return {}


@pytest.fixture(params=["modern", "legacy"])
def scene(stage: Stage, sets: dict[str, Set], request: pytest.FixtureRequest) -> Scene:
    if request.param not in sets:
        scene = Scene(stage, f"broken-{request.param}", era=request.param)
        scene.place.serve("good", stage.servers.open(Library()).url)
        scene.place.grant(everyone=True, server="good", level="all")
        (token,) = scene.admit("ada")
        ada = Modern(scene.place, token, can=EVERYTHING)
        until(lambda: "result" in ada.request("prompts/get", {"name": "good__plan"}).json)
        sets[request.param] = scene, ada
    return sets[request.param][0]


@pytest.fixture
def ada(scene: Scene, sets: dict[str, Set]) -> Modern:
    return sets[str(scene.server.era)][1]


def asked(scene: Scene, ada: Modern, method: str) -> dict[str, Any]:
    """The params of a request with this method."""
    if not method.startswith("tasks/"):
        return ASKED[method]
    return {"taskId": ada.call("lib__task").json["result"]["taskId"]}


def is_quick(method: str, says: str) -> bool:
    """Say whether the quick run has them: each fault in one method, and each method with two."""
    return method == "resources/read" or says in {"cut", "large"}


def rows() -> list[Any]:
    """Each era, method and fault that can meet: a legacy server has no such tasks."""
    own = ("a task that", "a question of")  # of a task these are no faults
    return [
        pytest.param(era, method, says, marks=() if is_quick(method, says) else pytest.mark.slow)
        for era in ("modern", "legacy")
        for method in ASKED
        for says in FAULTS
        if not method.startswith("tasks/") or (era == "modern" and not says.startswith(own))
    ]


LEGACY = pytest.mark.parametrize("scene", ["legacy"], indirect=True)
"""A modern server has no sessions, sends no requests, asks and is done."""


@pytest.mark.parametrize(("scene", "method", "says"), rows(), indirect=["scene"])
def test_a_fault_in_any_method_is_told_by_name_and_recorded(
    scene: Scene, ada: Modern, method: str, says: str
):
    params, fault = asked(scene, ada, method), FAULTS[says]
    before = scene.count
    scene.server.methods[method] = fault.act
    try:
        answer = ada.request(method, {**params, "_meta": {"progressToken": 1}})
    finally:
        del scene.server.methods[method]
    assert answer.status == 200
    error = answer.json["error"]
    assert (error["code"], error["data"]["error"]) == (-32603, fault.code)
    assert b"secret words" not in answer.body
    assert scene.records(before) == [("call.intent", ""), ("call.outcome", fault.outcome)]
    good = ada.request("prompts/get", {"name": "good__plan"}).json["result"]
    assert good["messages"][0]["content"]["text"] == "plan"


@pytest.mark.slow
def test_a_server_that_hangs_is_waited_for_no_longer_than_a_call_may_take(
    scene: Scene, ada: Modern
):
    methods = [m for m in ASKED if scene.server.era == "modern" or "tasks" not in m]
    wanted = {method: asked(scene, ada, method) for method in methods}
    before, began = scene.count, time.monotonic()
    scene.server.methods |= dict.fromkeys(methods, hang)
    with ExitStack() as open_:
        wires = [open_.enter_context(scene.wire()) for _ in methods]
        for wire, method in zip(wires, methods, strict=True):
            wire.send(ada.raw(method, wanted[method]))
        errors = [wire.answer().json["error"]["data"]["error"] for wire in wires]
    for method in methods:
        del scene.server.methods[method]
    assert errors == ["error.upstream.timeout"] * len(methods)
    assert time.monotonic() - began < 4 * len(methods), "one was waited for after the other"
    outcomes = [outcome for kind, outcome in scene.records(before) if kind == "call.outcome"]
    assert outcomes == ["timeout"] * len(methods)


def test_a_question_in_a_method_that_may_ask_none_is_a_fault(scene: Scene, ada: Modern):
    asks = {"resultType": "input_required", "inputRequests": {"q": scene.server.question}}
    for method in ("completion/complete", "tasks/get", "tasks/cancel"):
        if method.startswith("tasks/") and scene.server.era == "legacy":
            continue
        params, before = asked(scene, ada, method), scene.count
        scene.server.methods[method] = lambda talk: talk.result(asks)
        error = ada.request(method, params).json["error"]
        del scene.server.methods[method]
        assert error["data"]["error"] == "error.upstream.protocol", method
        assert scene.outcome(before) == "upstream_protocol"


@LEGACY
def test_a_legacy_server_is_refused_a_question_that_a_modern_client_cannot_be_brought(
    scene: Scene, ada: Modern
):
    scene.server.methods["completion/complete"] = scene.server.tools["ask"]
    told, before = len(scene.server.told), scene.count
    result = ada.request("completion/complete", ASKED["completion/complete"]).json["result"]
    assert result["resultType"] == "complete"
    assert scene.server.told[told]["code"] == -32021
    with scene.wire() as wire:
        old = Old(scene.place, ada.token)
        wire.send(old.raw("completion/complete", ASKED["completion/complete"])).head()
        assert old.reply(json.loads(wire.event())["id"]).status == 202
        assert "result" in json.loads(wire.event()), "a legacy client can be asked on its stream"
    del scene.server.methods["completion/complete"]
    outcomes = [outcome for kind, outcome in scene.records(before) if kind == "call.outcome"]
    assert outcomes == ["ok", "ok"]


@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in ASKED if "tasks" not in method])
@pytest.mark.parametrize("times", [1, 2])
@LEGACY
def test_a_session_that_is_lost_is_begun_anew_once(
    scene: Scene, ada: Modern, method: str, times: int
):
    seen: list[Any] = []

    def forgets(talk: Talk) -> None:
        seen.append(talk.seen.header("Mcp-Session-Id"))
        if len(seen) > times:
            del scene.server.methods[method]
            scene.server._tool(talk, method)
        else:
            lost(talk)

    def pinged(talk: Talk) -> None:
        (lost if len(seen) <= times else scene.server._tool)(
            talk, *(["ping"] * (len(seen) > times))
        )

    scene.server.methods |= {method: forgets, "ping": pinged}
    before = scene.count
    answer = ada.request(method, ASKED[method]).json
    scene.server.methods.pop(method, None)
    del scene.server.methods["ping"]
    assert len(set(seen)) == len(seen) == 2
    ok = times == 1
    assert ("result" in answer) == ok
    assert scene.outcome(before) == ("ok" if ok else "upstream_unreachable")
    assert "result" in until(lambda: ada.request(method, ASKED[method]).json)


@LEGACY
def test_a_server_that_dies_with_a_question_open_fails_that_call_only(scene: Scene, ada: Modern):
    before = scene.count
    asked_ = ada.request("tools/call", {"name": "lib__leave", "arguments": {}}).json["result"]
    if asked_.get("resultType") == "input_required":
        result = ada.retry("lib__leave", asked_).json["result"]
        assert result["_meta"]["dev.gatelodge/decision"]["error"].startswith("error.upstream")
    old = Old(scene.place, ada.token)
    with scene.wire() as wire:
        answer = wire.send(old.raw("tools/call", {"name": "lib__leave", "arguments": {}})).answer()
    assert answer.json["result"]["isError"] is True
    until(lambda: [o for t, o in scene.records(before) if t == "call.outcome"])
    assert "result" in until(lambda: ada.request("prompts/get", {"name": "lib__plan"}).json)
