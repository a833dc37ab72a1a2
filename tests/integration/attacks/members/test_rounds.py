"""A call of several rounds, as a modern client meets it."""

from contextlib import ExitStack
from typing import Any

import pytest
from tests.integration.attacks.scene import EVERYTHING, META, Modern, Old, told
from tests.stage import Place, Stage
from tests.upstreams.http_upstream import Talk
from tests.upstreams.library import QUESTION, SAMPLE, Library, text, tool
from tests.wire import until

pytestmark = pytest.mark.slow

PROGRESS = "notifications/progress"
ANSWER = {"action": "accept", "content": {"name": "Ada"}}


class Climbing(Library):
    """Asks twice in one call, and tells how far it is before and after each answer."""

    def __init__(self) -> None:
        super().__init__(era="legacy")
        self.definitions.append(tool("climb"))
        self.tools["climb"] = self._climb

    async def _climb(self, talk: Talk) -> None:
        message = talk.seen.message
        token = message["params"]["_meta"]["progressToken"]
        talk.stream()
        for step in (1, 2):
            await self._answer_to(talk, self.question)
            said = {"progressToken": token, "progress": step}
            talk.event({"jsonrpc": "2.0", "method": PROGRESS, "params": said})
        talk.event({"jsonrpc": "2.0", "id": message["id"], "result": text("told")})
        talk.end()


def test_progress_reaches_the_client_in_each_round_under_the_token_of_that_round(stage: Stage):
    place = stage.place("climbing")
    place.serve("lib", stage.servers.open(Climbing()).url)
    client = Modern(place, place.admit("ada", lib="all"))
    order: dict[str, Any] = {"name": "lib__climb", "arguments": {}}
    asked = client.request("tools/call", {**order, "_meta": {"progressToken": "t0"}})
    result = asked.json["result"]
    heard = []
    for number in (1, 2):
        answers = dict.fromkeys(result["inputRequests"], ANSWER)
        given = {"inputResponses": answers, "requestState": result["requestState"]}
        params = {**order, **given, "_meta": {"progressToken": f"t{number}"}}
        with stage.wire() as wire:
            wire.send(client.raw("tools/call", params)).head()
            said = told(wire)
            heard.append((said.get("method"), said.get("params")))
            result = told(wire)["result"]
    assert heard == [
        (PROGRESS, {"progressToken": "t1", "progress": 1}),
        (PROGRESS, {"progressToken": "t2", "progress": 2}),
    ]
    assert result["content"][0]["text"] == "told"


def test_a_server_that_asks_is_named_to_nobody_by_what_it_calls_itself(stage: Stage):
    place = stage.place("asks-unnamed")
    server = Library(era="modern")
    server.tools["ask"] = lambda talk: talk.result(
        {
            "resultType": "input_required",
            "inputRequests": {"q": QUESTION},
            "_meta": {f"{META}serverInfo": {"name": "inner"}, "vendor/kept": 1},
        }
    )
    place.serve("lib", stage.servers.open(server).url)
    asked = Modern(place, place.admit("ada", lib="all")).ask("lib__ask")
    assert asked["_meta"]["vendor/kept"] == 1
    assert asked["_meta"][f"{META}serverInfo"]["name"] == "gatelodge"


class Working(Library):
    """Its task wants to know something; `wants` is what."""

    def __init__(self, wants: Any) -> None:
        super().__init__(era="modern")
        self.wants = wants

    def _task(self, status: str) -> dict[str, Any]:
        asks = {} if self.wants is None else {"inputRequests": self.wants}
        return super()._task("input_required" if asks else status) | asks


def task_of(place: Place, server: Working, token: str) -> tuple[Modern, Any]:
    """What a client is told of a task that wants to know something."""
    wants, server.wants = server.wants, None
    client = Modern(place, token, can=EVERYTHING)
    task = client.call("lib__task").json["result"]["taskId"]
    server.wants = wants
    return client, task


NO_SAMPLES = {key: value for key, value in EVERYTHING.items() if key != "sampling"}
UNREADABLE = {"q": {"method": "sampling/createMessage", "params": "any"}}


@pytest.mark.parametrize(
    ("wants", "can", "hidden"),
    [
        ({"q": SAMPLE}, EVERYTHING, ["sampling"]),
        ({"q": SAMPLE}, NO_SAMPLES, []),
        (UNREADABLE, EVERYTHING, []),
    ],
    ids=["hidden", "not declared", "unreadable"],
)
def test_a_task_asks_no_client_what_it_may_not_be_asked(
    stage: Stage, wants: Any, can: dict[str, Any], hidden: list[str]
):
    place = stage.place("task-asks")
    server = Working(wants)
    stage.servers.open(server)
    place.serve("lib", server.url, hidden_capabilities=hidden)
    client, task = task_of(place, server, place.admit("ada", lib="all"))
    client.can = can
    answer = client.request("tasks/get", {"taskId": task})
    assert "sampling/createMessage" not in answer.body.decode()
    assert "did not declare" in answer.json["error"]["message"]


@pytest.mark.parametrize("wants", [{"q": SAMPLE, "r": QUESTION}, {}], ids=["two", "none"])
def test_a_task_asks_its_client_what_it_declared(stage: Stage, wants: Any):
    place = stage.place("task-asks-on")
    server = Working(wants)
    stage.servers.open(server)
    place.serve("lib", server.url)
    client, task = task_of(place, server, place.admit("ada", lib="all"))
    shown = client.request("tasks/get", {"taskId": task}).json["result"]
    assert shown["inputRequests"] == wants


def test_an_answer_is_taken_although_its_member_has_no_room_for_another_call(stage: Stage):
    place = stage.place("full-house")
    server = Library(era="legacy")
    place.serve("lib", stage.servers.open(server).url)
    client = Modern(place, place.admit("ada", lib="all"))
    asked = [client.ask("lib__ask") for _ in range(2)]
    with ExitStack() as open_:
        for _ in range(4):
            wire = open_.enter_context(stage.wire())
            wire.send(client.raw("tools/call", {"name": "lib__wait", "arguments": {}}))
        until(lambda: len(server.called("wait")) == 4)
        full = client.call("lib__echo", {}).json["result"]
        assert "too many calls of yours" in full["content"][0]["text"]
        answers = [client.retry("lib__ask", each).json["result"] for each in asked]
        made_up = client.retry("lib__ask", asked[0]).json
        server.released.set()
    assert [each["content"][0]["text"] for each in answers] == ["told", "told"]
    assert made_up["error"]["code"] == -32602


def test_no_round_goes_up_for_a_legacy_client_after_its_grant_ended(stage: Stage):
    place = stage.place("rounds-end")
    server = Library(era="modern")
    place.serve("lib", stage.servers.open(server).url)
    token = place.admit("ada")
    grant = place.grant(member="ada@example.test", server="lib", level="all")
    client = Old(place, token)
    until(lambda: "lib__ask" in client.tools())
    with stage.wire() as wire:
        wire.send(client.raw("tools/call", {"name": "lib__ask", "arguments": {}}, 7)).head()
        question = told(wire)
        place.api("DELETE", f"/grants/{grant}")
        until(lambda: "lib__ask" not in client.tools())
        assert client.reply(question["id"]).status == 202
        answer = told(wire)
    assert answer["error"]["code"] == 4010, answer
    assert len(server.called("ask")) == 1


def test_a_call_is_repeated_as_it_was_once_the_page_was_visited(stage: Stage):
    place = stage.place("visited")
    server = Library(era="legacy")
    page = {"mode": "url", "elicitationId": "e-1", "url": "https://page.test", "message": "Visit."}
    error = {"code": -32042, "message": "Visit.", "data": {"elicitations": [page]}}

    def insist(talk: Talk) -> None:
        if len(server.called("ask")) > 1:
            talk.result(text("visited"))
            return
        number = talk.seen.message["id"]
        talk.answer("200 OK", {"jsonrpc": "2.0", "id": number, "error": error})

    server.tools["ask"] = insist
    place.serve("lib", stage.servers.open(server).url)
    can = {"elicitation": {"url": {}}}
    client = Modern(place, place.admit("ada", lib="all"), can=can)
    answer = client.retry("lib__ask", client.ask("lib__ask")).json["result"]
    assert answer["content"][0]["text"] == "visited"
    first, again = (seen.message["params"] for seen in server.called("ask"))
    assert again == first
