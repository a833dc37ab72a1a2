"""Task ids, cursors and sessions of one member mean nothing to another, or anywhere else."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.attacks.scene import EVERYTHING, Modern, Old, Scene, told
from tests.stage import Stage
from tests.upstreams.library import Library
from tests.wire import until

TASKS = ("tasks/get", "tasks/update", "tasks/cancel")
OWN = "task-of-the-server"


class Team:
    """Ada and eve, and two servers that offer the same."""

    def __init__(self, stage: Stage) -> None:
        self.scene = Scene(stage, "sealed")
        self.scene.place.serve("two", stage.servers.open(Library()).url)
        self.scene.place.grant(everyone=True, server="two", level="all")
        self.tokens = dict(zip(("ada", "eve"), self.scene.admit("ada", "eve"), strict=True))
        until(lambda: "two__task" in self.client("eve").tools())

    def client(self, name: str = "ada", alias: str = "", can: Any = EVERYTHING) -> Modern:
        return Modern(self.scene.place, self.tokens[name], alias, can)

    def task(self, name: str = "ada", alias: str = "") -> str:
        """The id of a task of theirs."""
        result = self.client(name, alias).call("task" if alias else "lib__task").json["result"]
        assert (result["resultType"], result["status"]) == ("task", "working")
        assert OWN not in json.dumps(result)
        return str(result["taskId"])


@pytest.fixture(scope="module")
def team(stage: Stage) -> Team:
    return Team(stage)


@pytest.mark.parametrize("method", TASKS)
@pytest.mark.parametrize("alias", ["", "lib"], ids=["shown", "bare"])
def test_a_task_is_reached_under_its_sealed_id_alone(team: Team, method: str, alias: str):
    task, server = team.task(alias=alias), team.scene.server
    answer = team.client(alias=alias).request(method, {"taskId": task, "inputResponses": {}})
    assert answer.json["result"]["taskId"] == task
    assert OWN not in answer.body.decode()
    seen = server.of(method)[-1]
    assert (seen.message["params"]["taskId"], seen.header("Mcp-Name")) == (OWN, OWN)


CLAIMS: dict[str, Callable[[Team], tuple[Modern, str]]] = {
    "another member": lambda team: (team.client("eve"), team.task()),
    "at the server's endpoint": lambda team: (team.client(alias="lib"), team.task()),
    "at the workspace's endpoint": lambda team: (team.client(), team.task(alias="lib")),
    "at another server's endpoint": lambda team: (team.client(alias="two"), team.task(alias="lib")),
    "the server's own id": lambda team: (team.client(), OWN),
    "a bit flipped": lambda team: (team.client(), team.task()[:-3] + "AAA"),
    "a cursor": lambda team: (team.client(), cursor(team.client(), "tools/list")),
    "a state": lambda team: (team.client(), team.client().ask("lib__ask")["requestState"]),
    "a session": lambda team: (
        team.client(),
        team.scene.place.legacy(team.tokens["ada"]).session,
    ),
}


@pytest.mark.parametrize("method", TASKS)
@pytest.mark.parametrize("says", CLAIMS)
def test_a_task_is_unknown_to_everybody_else(team: Team, says: str, method: str):
    client, task = CLAIMS[says](team)
    before, seen = team.scene.count, len(team.scene.server.of(method))
    answer = client.request(method, {"taskId": task})
    assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    assert answer.json["error"]["message"] == "Unknown task"
    assert team.scene.records(before) == [("call.denied", "tool_unknown")]
    assert len(team.scene.server.of(method)) == seen


def test_a_client_that_declares_no_tasks_is_shown_none(team: Team):
    before = team.scene.count
    answer = team.client(can={}).call("lib__task")
    error = answer.json["result"]["_meta"]["dev.gatelodge/decision"]["error"]
    assert error == "error.upstream.protocol"
    refused = team.client(can={}).request("tasks/get", {"taskId": team.task()})
    assert (refused.status, refused.json["error"]["code"]) == (400, -32021)
    kinds = [kind for kind, _ in team.scene.records(before)]
    assert kinds == ["call.intent", "call.outcome"] * 2 + ["request.answered"]


def test_a_task_is_dead_with_the_grant_on_its_tool(team: Team):
    place = team.scene.place
    place.api("POST", "/members", {"email": "yan@example.test"})
    grant = place.grant(member="yan@example.test", server="lib", level="all")
    yan = Modern(place, place.token_for(member="yan@example.test"), can=EVERYTHING)
    until(lambda: "lib__task" in yan.tools())
    task = yan.call("lib__task").json["result"]["taskId"]
    assert "result" in yan.request("tasks/get", {"taskId": task}).json
    place.api("DELETE", f"/grants/{grant}")
    until(lambda: "lib__task" not in yan.tools())
    assert yan.request("tasks/get", {"taskId": task}).json["error"]["message"] == "Unknown task"


def test_a_task_is_dead_with_its_members_access_and_lives_for_the_others(team: Team):
    place, (token,) = team.scene.place, team.scene.admit("zoe")
    zoe, task = Modern(place, token, can=EVERYTHING), team.task()
    mine = zoe.call("lib__task").json["result"]["taskId"]
    place.api("POST", "/members/zoe@example.test/suspend", {})
    assert zoe.request("tasks/get", {"taskId": mine}).status == 401
    assert "result" in team.client().request("tasks/get", {"taskId": task}).json


LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")


def cursor(client: Any, method: str) -> str:
    return str(client.request(method, {}).json["result"]["nextCursor"])


@pytest.mark.parametrize("method", LISTS)
def test_a_cursor_goes_on_in_its_own_list_at_its_own_endpoint_for_its_own_member(
    team: Team, method: str
):
    place = team.scene.place
    mine = cursor(team.client(), method)
    assert "result" in team.client().request(method, {"cursor": mine}).json
    assert "result" in place.legacy(team.tokens["ada"]).request(method, {"cursor": mine}).json
    strangers = {
        "eve": team.client("eve"),
        "bare": team.client(alias="lib"),
        "other": team.client(alias="two"),
    }
    for says, client in strangers.items():
        before = team.scene.count
        answer = client.request(method, {"cursor": mine})
        assert (answer.status, answer.json["error"]["code"]) == (400, -32602), says
        assert team.scene.records(before) == [("request.answered", "rpc_error")], says
    for other in LISTS:
        answer = team.client().request(other, {"cursor": mine})
        assert ("result" in answer.json) == (other == method), other
    for odd in ("", "AAAA", mine[:-1], mine + "A", team.task(), 7, [], {}):
        assert team.client().request(method, {"cursor": odd}).json["error"]["code"] == -32602, odd


def test_a_session_opens_no_stream_and_hears_no_answer_for_anybody_else(team: Team):
    place = team.scene.place
    mine, stolen = (Old(place, team.tokens[name]) for name in ("ada", "eve"))
    stolen.session = mine.session
    before = team.scene.count
    with team.scene.wire() as wire:
        refused = wire.send(stolen.stream()).answer()
    assert refused.status == 404
    assert stolen.reply(1).status == 404
    assert stolen.request("resources/subscribe", {"uri": "lib+doc://a"}).status == 404
    assert stolen.request("logging/setLevel", {"level": "debug"}).status == 404
    ended = stolen.send("DELETE", b"", {**stolen.head})
    assert ended.status == 404
    assert team.scene.records(before) == [("request.refused", "session_unknown")] * 5
    with team.scene.wire() as wire:
        assert wire.send(mine.stream()).head().status == 200
        assert mine.request("ping", {}).json["result"] == {}


def test_nobody_hears_of_a_subscription_after_its_session_ended(team: Team):
    place = team.scene.place
    old = Old(place, team.tokens["ada"])
    with team.scene.wire() as wire:
        wire.send(old.stream()).head()
        old.request("resources/subscribe", {"uri": "lib+doc://a"})
        server = team.scene.server
        until(lambda: any("doc://a" in t.seen.body.decode() for t in server.listening))
        team.scene.stage.servers.say(server, "notifications/resources/updated", uri="doc://a")
        assert told(wire)["params"]["uri"] == "lib+doc://a"
        old.send("DELETE", b"", {**old.head})
        assert wire.is_over()
    until(lambda: "doc://a" not in server.listening[-1].seen.body.decode())
