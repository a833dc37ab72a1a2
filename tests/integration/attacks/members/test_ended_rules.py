"""A grant, tool or group that ends, or a guardrail that begins, ends what is under way by it."""

from contextlib import ExitStack
from typing import Any

import pytest
from tests.integration.attacks.scene import EVERYTHING, Modern, Old, Scene, told
from tests.stage import Place, Stage
from tests.wire import until

pytestmark = pytest.mark.slow

ENDED = 4010


def by_grant(place: Place) -> None:
    for each in place.api("GET", "/grants?limit=100")["items"]:
        if each["grantee"] == "ada@example.test":
            place.api("DELETE", f"/grants/{each['id']}")


def by_group(place: Place) -> None:
    place.api("POST", "/groups/staff/remove-member", {"principal": "ada@example.test"})


def by_tools(place: Place) -> None:
    for name in ("ask", "open"):
        place.api("POST", "/servers/lib/tools/block", {"tool": name, "why": "OPS-1"})


def by_guardrail(place: Place) -> None:
    text = '@reason("Nobody works today.")\nforbid (principal, action, resource);'
    place.api("POST", "/guardrails", {"name": "stop", "text": text})


WAYS = {"grant": by_grant, "group": by_group, "tools": by_tools, "guardrail": by_guardrail}


def admitted(scene: Scene, how: str) -> str:
    """A member who may use everything, by a place in a group where that is what ends."""
    if how != "group":
        return scene.admit("ada")[0]
    place = scene.place
    place.api("POST", "/groups", {"name": "staff"})
    token = place.admit("ada")
    place.api("POST", "/groups/staff/add-member", {"principal": "ada@example.test"})
    place.grant(group="staff", server="lib", level="all")
    client = place.client(token)
    until(lambda: client.request("prompts/list", {}).json["result"]["prompts"])
    return token


@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("how", WAYS)
def test_what_is_under_way_by_it_ends_and_what_its_client_says_reaches_no_server(
    stage: Stage, how: str, era: str
):
    scene = Scene(stage, f"ended-{how}-{era}", era=era)
    token = admitted(scene, how)
    modern, old = Modern(scene.place, token, can=EVERYTHING), Old(scene.place, token)
    with ExitStack() as open_:
        question, running = (open_.enter_context(scene.wire()) for _ in range(2))
        asked = modern.ask("lib__ask")
        question.send(old.raw("tools/call", {"name": "lib__ask", "arguments": {}})).head()
        put = told(question)
        call: dict[str, Any] = {"name": "lib__open", "arguments": {}, "_meta": {"progressToken": 1}}
        running.send(modern.raw("tools/call", call)).head()
        told(running)
        seen = len(scene.server.of("tools/call"))
        WAYS[how](scene.place)
        assert told(running)["error"]["code"] == ENDED
        assert told(question)["error"]["code"] == ENDED
        assert old.reply(put["id"]).status == 202
        retried = modern.retry("lib__ask", asked).json
        assert "error" in retried or retried["result"]["isError"]
    assert scene.server.told == []
    assert len(scene.server.of("tools/call")) == seen
