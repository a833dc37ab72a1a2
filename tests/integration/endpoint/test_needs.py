"""A tool that a server offers only to some clients is shown to those, and called by those."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.gate import ROOT, Gate
from tests.integration.attacks.scene import BOTH, Modern, Old
from tests.stage import Place, Stage
from tests.wire import Wire

CHOOSY = str(ROOT / "tests/upstreams/choosy_server.py")
UI = {"mimeTypes": ["text/html;profile=mcp-app"]}
EVERY = ["open", "form", "picture", "both"]
CLIENTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, {"open"}),
    "form": ({"elicitation": {"form": {}}}, {"open", "form"}),
    "app": ({"extensions": {"io.modelcontextprotocol/ui": UI}}, {"open", "picture"}),
    "tasks": ({"extensions": {"io.modelcontextprotocol/tasks": {}}}, {"open"}),
    "two": ({"elicitation": {}, "sampling": {}}, {"open", "form", "both"}),
}
"""What a client declares, and the tools that the server itself offers it."""
HIDDEN = ["elicitation", "roots", "sampling"]
ALIASES = ("now", "then", "shy")
"""The same server of each era, and one that is told of nobody that it could ask."""


@pytest.fixture(scope="module")
def place(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = stage.place("choosy")
    for alias, era in zip(ALIASES, ("modern", "legacy", "legacy"), strict=True):
        folder = str(tmp_path_factory.mktemp(alias))
        hidden = HIDDEN if alias == "shy" else []
        place.spawn(alias, sys.executable, CHOOSY, era, folder, era=era, hidden_capabilities=hidden)
    place.looked_at(*ALIASES)
    return place


@pytest.fixture(scope="module")
def ada(place: Place) -> str:
    return place.admit("ada", now="all", then="all", shy="all")


@pytest.fixture(params=[Modern, Old], ids=["modern", "legacy"])
def kind(request: pytest.FixtureRequest) -> type[Modern | Old]:
    return request.param


def tools_of(client: Modern | Old) -> list[str]:
    """The names on every page of its list."""
    names, page = [], {}
    while True:
        result = client.request("tools/list", page, accept=BOTH).json["result"]
        names += [tool["name"] for tool in result["tools"]]
        if "nextCursor" not in result:
            return names
        page = {"cursor": result["nextCursor"]}


@pytest.mark.guarantee("access:list-equals-call")
@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("declared", CLIENTS)
def test_what_a_client_is_listed_is_what_reaches_the_server_and_that_says_what_it_lacks(
    place: Place, ada: str, kind: type[Modern | Old], declared: str, alias: str
):
    can, served = CLIENTS[declared]
    client = kind(place, ada, alias, can)
    listed = tools_of(client)
    told = HIDDEN if alias == "shy" else []
    every = ["open", "picture"] if alias == "shy" else EVERY
    # The extension for tasks passes in the modern era alone; else this client declares nothing.
    heard = {*can} - {*told} if declared != "tasks" else alias == "now" and kind is Modern
    assert listed == (every if heard else ["open"])
    for tool in every:
        before = len(place.leaves())
        answer = client.call(tool, {}, accept=BOTH).json
        forwarded = "call.intent" in [leaf["t"] for leaf in place.since(before)]
        assert forwarded == (tool in listed), tool
        if tool in served:
            assert answer["result"]["content"][0]["text"] == tool
        elif forwarded:
            assert answer["error"]["message"] == f"{tool} is not for you"


@pytest.mark.parametrize("alias", ALIASES)
def test_a_call_of_what_is_not_listed_for_want_of_a_capability_says_so(
    place: Place, ada: str, kind: type[Modern | Old], alias: str
):
    client, before = kind(place, ada, alias, {}), len(place.leaves())
    answer = client.call("picture", {}).json
    assert answer["result"]["isError"]
    assert "only to clients that declare" in answer["result"]["content"][0]["text"]
    told = [(leaf["t"], leaf.get("reason"), leaf.get("tool")) for leaf in place.since(before)]
    assert told[-1] == ("call.denied", "missing_capability", "picture")


@pytest.mark.slow
def test_tools_that_a_server_adds_stay_approved_over_a_restart(tmp_path: Path):
    gate, seen = Gate(tmp_path / "data"), []
    for start in range(2):
        with gate.running():
            gate.token = gate.token or gate.ready["token"]
            place = Place(gate, "main", gate.token)
            if not start:
                place.spawn("then", sys.executable, CHOOSY, "legacy", str(tmp_path), era="legacy")
            place.looked_at("then")
            seen.append(place.api("GET", "/tools?server=then")["items"])
    assert [tool["standing"] for tool in seen[0]] == ["pinned"] * len(EVERY)
    assert seen[0] == seen[1]


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
