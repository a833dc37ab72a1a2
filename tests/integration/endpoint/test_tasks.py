"""Tasks of a modern server: what their client did not declare is neither announced nor asked."""

from typing import Any

import pytest
from tests.integration.attacks.scene import Modern, Old, Scene, told
from tests.stage import Place, Stage
from tests.upstreams.http_upstream import Talk
from tests.upstreams.library import QUESTION, SAMPLE, TASKS, Library
from tests.wire import Wire

DECLARED: dict[str, Any] = {"extensions": {TASKS: {}}}
REQUIRED = {"requiredCapabilities": {"extensions": {TASKS: {}}}}


def asks(talk: Talk) -> None:
    """A task that wants a form to be filled and a sample to be made."""
    requests = {"form": QUESTION, "sample": SAMPLE}
    task = {"taskId": "t", "status": "input_required", "ttlMs": None, "inputRequests": requests}
    talk.result({"resultType": "complete", **task})


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    place = stage.place("tasks")
    for alias, hidden in (("lib", []), ("shy", ["sampling"])):
        server = stage.servers.open(Library(era="modern"))
        server.methods["tasks/get"] = asks
        place.serve(alias, server.url, hidden_capabilities=hidden)
    return place


@pytest.fixture(scope="module")
def ada(place: Place) -> str:
    return place.admit("ada", lib="all", shy="all")


def task(place: Place, ada: str, alias: str, can: dict[str, Any]) -> Any:
    """What a client that declares this is told of a task of its own."""
    client = Modern(place, ada, can={**can, **DECLARED})
    sealed = client.call(f"{alias}__task", {}).json["result"]["taskId"]
    return client.request("tasks/get", {"taskId": sealed}).json


def test_changes_of_tasks_are_refused_to_a_client_that_does_not_know_tasks(place: Place, ada: str):
    wanted = {"notifications": {"taskIds": ["t"], "toolsListChanged": True}}
    answer = Modern(place, ada, can={}).request("subscriptions/listen", wanted)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["data"]) == (400, -32021, REQUIRED)


def test_a_client_that_knows_tasks_is_told_that_their_changes_are_not_announced(
    place: Place, ada: str
):
    wanted = {"notifications": {"taskIds": ["t"], "toolsListChanged": True}}
    with Wire(place.gate.port) as wire:
        wire.send(Modern(place, ada, can=DECLARED).raw("subscriptions/listen", wanted)).head()
        assert told(wire)["params"]["notifications"] == {"toolsListChanged": True}


def test_a_task_asks_its_client_what_that_declared(place: Place, ada: str):
    answer = task(place, ada, "lib", {"elicitation": {}, "sampling": {}})
    assert answer["result"]["inputRequests"].keys() == {"form", "sample"}


@pytest.mark.parametrize(
    ("alias", "can"),
    [("lib", {"elicitation": {}}), ("lib", {}), ("shy", {"elicitation": {}, "sampling": {}})],
    ids=["half declared", "nothing declared", "hidden"],
)
def test_a_task_that_asks_what_was_not_declared_to_its_server_is_not_handed_on(
    place: Place, ada: str, alias: str, can: dict[str, Any]
):
    before = len(place.leaves())
    answer = task(place, ada, alias, can)
    assert "did not declare" in answer["error"]["message"]
    assert "What is your name?" not in str(answer)
    outcomes = [x["outcome"] for x in place.since(before) if x["t"] == "call.outcome"]
    assert outcomes == ["task_started", "upstream_protocol"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_wish_for_a_task_of_2025_11_25_reaches_no_server(stage: Stage, era: str):
    scene = Scene(stage, f"wishes-{era}", era=era)
    (token,) = scene.admit("ada")
    wish = {"name": "lib__raw", "arguments": {}, "task": {"ttl": 60_000}}
    for client in (Modern(scene.place, token), Old(scene.place, token)):
        client.request("tools/call", wish)
    calls = scene.server.called("raw")
    assert len(calls) == 2
    assert not [seen for seen in calls if "task" in seen.message["params"]]


def test_a_task_that_a_legacy_server_begins_unasked_is_no_result_and_its_id_reaches_nobody(
    stage: Stage,
):
    scene = Scene(stage, "unasked", era="legacy")
    (token,) = scene.admit("ada")
    scene.server.tools["raw"] = lambda talk: talk.result({"task": {"taskId": "own-id"}})
    answer = Old(scene.place, token).call("lib__raw")
    assert b"own-id" not in answer.body
    assert answer.json["result"]["isError"]
