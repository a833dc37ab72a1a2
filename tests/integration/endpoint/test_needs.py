"""A tool that a server offers only to some clients is shown to those, and called by those."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.gate import ROOT
from tests.integration.attacks.scene import BOTH, Modern, Old
from tests.stage import Place, Stage
from tests.wire import Wire

CHOOSY = str(ROOT / "tests/upstreams/choosy_server.py")
UI = {"mimeTypes": ["text/html;profile=mcp-app"]}
CLIENTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, {"open"}),
    "form": ({"elicitation": {"form": {}}}, {"open", "form", "both"}),
    "app": ({"extensions": {"io.modelcontextprotocol/ui": UI}}, {"open", "picture", "both"}),
    "two": ({"elicitation": {}, "sampling": {}}, {"open", "form", "both"}),
}
"""What a client declares, and the tools that it is shown; `both` wants two, so one will do."""
ALIASES = ("now", "then")
"""The same server of each era."""


@pytest.fixture(scope="module")
def place(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = stage.place("choosy")
    for alias, era in zip(ALIASES, ("modern", "legacy"), strict=True):
        folder = Path(tmp_path_factory.mktemp(alias))
        place.spawn(alias, sys.executable, CHOOSY, era, str(folder), era=era)
    place.looked_at(*ALIASES)
    return place


@pytest.fixture(scope="module")
def ada(place: Place) -> str:
    return place.admit("ada", now="all", then="all")


@pytest.fixture(params=[Modern, Old], ids=["modern", "legacy"])
def kind(request: pytest.FixtureRequest) -> type[Modern | Old]:
    return request.param


@pytest.mark.parametrize("declared", CLIENTS)
def test_a_list_shows_what_the_client_is_offered_and_all_of_that_can_be_called(
    place: Place, ada: str, kind: type[Modern | Old], declared: str
):
    can, shown = CLIENTS[declared]
    for alias in ALIASES:
        client = kind(place, ada, alias, can)
        listed = client.request("tools/list", {}, accept=BOTH).json["result"]["tools"]
        assert {tool["name"] for tool in listed} == shown
        for tool in shown:
            told = client.call(tool, {}, accept=BOTH)
            assert told.json["result"]["content"][0]["text"] == tool


@pytest.mark.parametrize("alias", ALIASES)
def test_a_call_of_what_the_client_is_not_offered_says_what_is_missing(
    place: Place, ada: str, kind: type[Modern | Old], alias: str
):
    client, before = kind(place, ada, alias, {}), len(place.leaves())
    answer = client.call("form", {})
    if kind is Modern:
        assert answer.status == 400
        error = answer.json["error"]
        assert (error["code"], error["data"]) == (
            -32021,
            {"requiredCapabilities": {"elicitation": {"form": {}}}},
        )
    else:
        assert answer.json["result"]["isError"]
        assert "only to clients that declare" in answer.json["result"]["content"][0]["text"]
    told = [(leaf["t"], leaf.get("reason"), leaf.get("tool")) for leaf in place.since(before)]
    assert told[-1] == ("call.denied", "missing_capability", "form")
    assert "call.intent" not in [kind for kind, *_ in told]


def test_a_member_without_a_grant_is_told_nothing_of_what_is_missing(
    place: Place, kind: type[Modern | Old]
):
    eve = kind(place, place.admit(f"eve-{kind.__name__.lower()}", now="read"), "", {})
    told = [eve.call(name, {}).json["error"] for name in ("then__form", "then__nothing")]
    assert {error["code"] for error in told} == {-32602}
    assert told[0]["message"].replace("form", "nothing") == told[1]["message"]


def test_nobody_hears_of_a_change_that_is_none_for_them(place: Place, ada: str):
    with Wire(place.gate.port) as wire:
        listens = Modern(place, ada, "then", {"roots": {}})
        asked = {"notifications": {"toolsListChanged": True}}
        wire.send(listens.raw("subscriptions/listen", asked)).head()
        assert wire.event()
        assert place.api("POST", "/servers/then/observe", {})["tools"]
        assert wire.is_silent(0.3)


@pytest.mark.parametrize("kind", [Modern, Old], ids=["modern", "legacy"])
def test_a_client_hears_of_a_tool_that_it_is_offered_for_what_it_declared(
    place: Place, kind: type[Modern | Old]
):
    name = f"abe-{kind.__name__.lower()}"
    token = place.admit(name)
    with Wire(place.gate.port) as wire:
        listens = kind(place, token, "", {"elicitation": {"form": {}}})
        if isinstance(listens, Old):
            wire.send(listens.stream()).head()
        else:
            asked = {"notifications": {"toolsListChanged": True}}
            wire.send(listens.raw("subscriptions/listen", asked)).head()
            wire.event()
        place.grant(member=f"{name}@example.test", server="now", tool="form", level="all")
        assert json.loads(wire.event())["method"] == "notifications/tools/list_changed"
