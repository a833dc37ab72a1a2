"""A call of several rounds, as a modern client meets it."""

from typing import Any

from tests.integration.attacks.scene import META, Modern, told
from tests.stage import Stage
from tests.upstreams.http_upstream import Talk
from tests.upstreams.library import QUESTION, Library, text, tool

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
