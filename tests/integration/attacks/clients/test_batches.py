"""Batches, where they exist: each message as if it came alone, and nothing gets in by one."""

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.gate import Answer
from tests.integration.attacks.scene import ASKABLE, Old, Scene
from tests.stage import Stage, mirrored, modern, raw_post
from tests.wire import until

HELLO = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "x"}}


def request(method: str, number: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def call(number: Any, tool: str = "lib__echo", **arguments: Any) -> dict[str, Any]:
    return request("tools/call", number, name=tool, arguments=arguments)


def note(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


PING, ANSWER = request("ping"), {"jsonrpc": "2.0", "id": 1, "result": {}}
INITIALIZED = note("notifications/initialized")


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Scene:
    return Scene(stage, "batches", era="legacy")


@pytest.fixture(scope="module")
def token(scene: Scene) -> str:
    (token,) = scene.admit("ada")
    return token


@pytest.fixture(scope="module")
def ada(scene: Scene, token: str) -> Old:
    return Old(scene.place, token, can=ASKABLE, version="2025-03-26")


def send(ada: Old, batch: Any, **headers: str) -> Answer:
    body = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
    return ada.post(body, {"mcp-session-id": ada.session, "accept": "*/*", **headers})


def test_each_message_is_answered_in_its_place_and_recorded_as_if_it_came_alone(
    scene: Scene, ada: Old
):
    before = scene.count
    batch = [call(1, x=1), INITIALIZED, ANSWER, request("tools/list", "two")]
    answer = send(ada, batch)
    assert answer.status == 200
    assert [(one["id"], "result" in one) for one in answer.json] == [(1, True), ("two", True)]
    assert [kind for kind, _ in scene.records(before)] == [
        "call.intent",
        "call.outcome",
        *["request.answered"] * 3,
    ]


@pytest.mark.parametrize(
    "batch", [[INITIALIZED], [ANSWER, ANSWER], [INITIALIZED, ANSWER, note("notifications/x")]]
)
def test_where_nothing_wants_an_answer_there_is_none(scene: Scene, ada: Old, batch: list[Any]):
    before = scene.count
    answer = send(ada, batch)
    assert (answer.status, answer.body) == (202, b"")
    assert scene.records(before) == [("request.answered", "ok")] * len(batch)


ODD: list[tuple[str, Any, int]] = [
    ("a number", 7, -32600),
    ("null", None, -32600),
    ("a text", "ping", -32600),
    ("an array", [PING], -32600),
    ("an array in an array", [[PING]], -32600),
    ("an empty array", [], -32600),
    ("an empty object", {}, -32600),
    ("no method", {"jsonrpc": "2.0", "id": 1}, -32600),
    ("null as id", request("ping", None), -32600),
    ("a list as params", {**PING, "params": []}, -32602),
    ("an unknown method", request("x/y"), -32601),
    ("a handshake", request("initialize", **HELLO), -32600),
    ("a modern request", json.loads(modern("tools/list")), -32020),
    ("a modern listen", json.loads(modern("subscriptions/listen", notifications={})), -32020),
    ("a modern handshake", json.loads(modern("server/discover")), -32020),
]


@pytest.mark.parametrize(("says", "odd", "code"), ODD, ids=[row[0] for row in ODD])
def test_an_odd_message_fails_alone(scene: Scene, ada: Old, says: str, odd: Any, code: int):
    before = scene.count
    answer = send(ada, [PING, odd, request("ping", 3)])
    assert answer.status == 200
    first, second, third = answer.json
    assert (first["result"], third["result"], third["id"]) == ({}, {}, 3)
    assert second["error"]["code"] == code
    assert "mcp-session-id" not in answer.headers
    assert len(scene.records(before)) == 3


@pytest.mark.parametrize("method", ["tools/list", "subscriptions/listen", "server/discover"])
def test_a_modern_header_brings_no_modern_message_into_a_batch(scene: Scene, ada: Old, method: str):
    before = scene.count
    one = json.loads(modern(method, notifications={"toolsListChanged": True}))
    answer = send(ada, [one, one], **mirrored(method))
    assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
    assert scene.records(before) == [("request.refused", "invalid_request")]


WHOLE = [
    ("nothing", b"[]", -32600, "invalid_request"),
    ("too many", json.dumps([PING] * 5).encode(), -32600, "limit"),
    ("an open end", b"[{}", -32700, "malformed_json"),
    ("an end too many", b"[{}]]", -32700, "malformed_json"),
    ("a comma too many", b"[{},]", -32700, "malformed_json"),
    ("brackets only", b"[" * 60_000, -32700, "malformed_json"),
    ("brackets that close", b"[" * 30_000 + b"]" * 30_000, -32700, "malformed_json"),
    ("half a character", b'[{"x":"\\ud83d"}]', -32700, "malformed_json"),
    ("two batches", b"[{}][{}]", -32700, "malformed_json"),
]


@pytest.mark.parametrize("row", WHOLE, ids=[row[0] for row in WHOLE])
def test_what_is_no_batch_is_refused_whole(
    scene: Scene, ada: Old, row: tuple[str, bytes, int, str]
):
    _, body, code, reason = row
    before = scene.count
    answer = send(ada, body)
    assert (answer.status, answer.json["error"]["code"]) == (400, code)
    assert scene.records(before) == [("request.refused", reason)]


def test_a_message_that_is_no_utf_8_or_nests_too_deep_fails_alone(scene: Scene, ada: Old):
    deep = b'{"jsonrpc":"2.0","id":2,"method":"ping","params":{"x":' + b"[" * 200 + b"]" * 200
    body = b'[{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\xff"}},%b}},%b]'
    answer = send(ada, body % (deep, json.dumps(PING).encode()))
    assert [one.get("error", {}).get("code") for one in answer.json] == [-32700, -32700, None]


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_no_other_revision_has_batches(scene: Scene, token: str, ada: Old, version: str):
    before = scene.count
    newer = Old(scene.place, token, version=version)
    for client, headers in ((newer, {}), (ada, {"mcp-protocol-version": version})):
        answer = send(client, [PING], **headers)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
        assert "batches are not accepted" in answer.json["error"]["message"]
    assert scene.records(before)[1:] == [("request.refused", "invalid_request")] * 2


@pytest.mark.parametrize(
    ("session", "status"), [(None, 400), ("", 404), ("x", 404)], ids=["none", "empty", "garbage"]
)
def test_a_batch_without_a_session_is_none(
    scene: Scene, ada: Old, session: str | None, status: int
):
    body = json.dumps([request("initialize", **HELLO), PING]).encode()
    headers = {} if session is None else {"mcp-session-id": session}
    answer = ada.post(body, headers)
    assert (answer.status, answer.json["error"]["code"]) == (status, -32600)


def test_a_call_in_a_batch_is_asked_nothing_and_streams_nothing(scene: Scene, ada: Old):
    told = len(scene.server.told)
    params = {"name": "lib__steps", "arguments": {"mark": "x"}, "_meta": {"progressToken": 1}}
    answer = send(ada, [call(1, "lib__ask"), request("tools/call", 2, **params)])
    assert answer.headers["content-type"] == "application/json"
    assert [one["result"]["content"][0]["text"] for one in answer.json] == ["told", "x"]
    assert scene.server.told[told]["code"] in (-32601, -32602)


def test_calls_in_a_batch_are_decided_each_by_itself(scene: Scene, ada: Old):
    before, calls = scene.count, len(scene.server.called("echo"))
    answer = send(ada, [call(1), call(1), call(1, "lib__none"), call(4, "none__echo")])
    assert [one["id"] for one in answer.json] == [1, 1, 1, 4]
    assert [one.get("error", {}).get("code") for one in answer.json] == [None, None, -32602, -32602]
    assert len(scene.server.called("echo")) == calls + 2
    kinds = [kind for kind, _ in scene.records(before)]
    assert kinds == ["call.intent", "call.outcome"] * 2 + ["call.denied"] * 2


NUMBERS = itertools.count()


@pytest.fixture
def zoe(scene: Scene) -> tuple[Old, str]:
    """A client whose access may end, and the address of its member."""
    name = f"zoe{next(NUMBERS)}"
    (token,) = scene.admit(name)
    return Old(scene.place, token, version="2025-03-26"), f"{name}@example.test"


@contextlib.contextmanager
def waiting(scene: Scene, client: Old, *batch: Any) -> Iterator[list[Answer]]:
    """While a call of `wait` that stands in the batch runs; afterwards what was answered."""
    server, answers = scene.server, list[Answer]()
    server.released.clear()
    calls = len(server.called("wait"))
    with scene.wire() as wire:
        wire.send(raw_post(client.path, json.dumps(batch).encode(), client.head))
        reader = threading.Thread(target=lambda: answers.append(wire.answer()))
        reader.start()
        try:
            until(lambda: len(server.called("wait")) > calls)
            yield answers
            reader.join(2)
        finally:
            server.released.set()
            reader.join(5)


def withheld(scene: Scene, before: int, count: int) -> list[dict[str, Any]]:
    """The records of so many answers that were kept back; nobody waited for them."""

    def found() -> list[dict[str, Any]]:
        return [leaf for leaf in scene.place.since(before) if leaf["t"] == "answer.withheld"]

    until(lambda: len(found()) >= count)
    return found()


AFTER = [[], [call(3)]]


@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.parametrize("after", AFTER, ids=["the call that runs is the last", "another follows"])
def test_nothing_of_a_batch_is_answered_after_access_ended(
    scene: Scene, zoe: tuple[Old, str], after: list[Any]
):
    """Neither what was done before it ended nor what would come then; the records say so."""
    before, calls = scene.count, len(scene.server.called("echo"))
    client, email = zoe
    batch = [call(1), PING, call(2, "lib__wait"), *after]
    with waiting(scene, client, *batch) as answers:
        scene.place.api("POST", f"/members/{email}/suspend", {})
    (answer,) = answers
    assert (answer.status, "error" in answer.json) == (401, True)
    assert b"lib__" not in answer.body
    assert len(scene.server.called("echo")) == calls + 1
    found = withheld(scene, before, 2)
    outcomes = [leaf for leaf in scene.place.since(before) if leaf["t"] == "call.outcome"]
    done = outcomes[0]["call"]
    told = [(leaf.get("call", ""), leaf["method"], leaf["reason"]) for leaf in found]
    assert told == [(done, "tools/call", "revoked"), ("", "ping", "revoked")]


@pytest.mark.guarantee("revoke:under-a-second")
def test_a_grant_that_ends_takes_back_what_it_let_a_batch_have_before(
    scene: Scene, zoe: tuple[Old, str]
):
    client, email = zoe
    scene.place.serve("other", scene.server.url)
    grant = scene.place.grant(member=email, server="other", level="all")
    until(lambda: send(client, [call(1, "other__echo")]).json[0].get("result"))
    before = scene.count
    batch = [call(1, "other__echo"), PING, call(2, "lib__wait")]
    with waiting(scene, client, *batch) as answers:
        scene.place.api("DELETE", f"/grants/{grant}")
        scene.server.released.set()
    (answer,) = answers
    assert (answer.status, "error" in answer.json) == (503, True)
    assert [leaf["reason"] for leaf in withheld(scene, before, 3)] == ["changed"] * 3


def test_a_call_that_a_grant_took_with_it_takes_no_answer_from_the_others(
    scene: Scene, zoe: tuple[Old, str]
):
    client, email = zoe
    scene.place.serve("third", scene.server.url)
    grant = scene.place.grant(member=email, server="third", level="all")
    until(lambda: send(client, [call(1, "third__echo")]).json[0].get("result"))
    with waiting(scene, client, call(1), call(2, "third__wait"), PING) as answers:
        scene.place.api("DELETE", f"/grants/{grant}")
    (answer,) = answers
    assert answer.status == 200
    assert ["result" in one for one in answer.json] == [True, False, True]
