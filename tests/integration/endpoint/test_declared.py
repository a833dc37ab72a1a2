"""What a client declares reaches its own sessions with servers, but for what an admin withholds."""

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.gate import ROOT
from tests.integration.attacks.scene import ASKABLE, BOTH, Modern, Old
from tests.stage import Place, Stage
from tests.upstreams.http_upstream import Talk
from tests.upstreams.library import Library
from tests.wire import until

pytestmark = pytest.mark.slow

APPS = "io.modelcontextprotocol/ui"
CHOOSY = str(ROOT / "tests/upstreams/choosy_server.py")
CHANGED = "notifications/roots/list_changed"
TELLS = {"roots": {"listChanged": True}}
DECLARED = "io.modelcontextprotocol/clientCapabilities"
REST = {"elicitation": {}, "roots": {}}
"""What is left of a client that declares everything, without sampling."""


@pytest.fixture(params=[Modern, Old], ids=["modern", "legacy"])
def kind(request: pytest.FixtureRequest) -> type[Modern | Old]:
    return request.param


def asked_for_a_sample(place: Place, token: str, kind: type[Modern | Old]) -> Any:
    """The answer of a call in which the server wants a sample."""
    return kind(place, token, can=ASKABLE).call("lib__sample", {}, accept=BOTH)


def test_a_legacy_server_is_told_the_rest_and_its_question_is_refused(
    stage: Stage, kind: type[Modern | Old]
):
    place = stage.place(f"hidden-old-{kind.__name__.lower()}")
    server = stage.servers.open(Library(era="legacy"))
    place.serve("lib", server.url, hidden_capabilities=["sampling"])
    ada = place.admit("ada", lib="all")
    answer = asked_for_a_sample(place, ada, kind)
    assert "told" in str(answer.json)
    assert [error["code"] for error in server.told] == [-32021 if kind is Modern else -32601]
    assert REST in server.sessions.values()
    assert not [said for said in server.sessions.values() if "sampling" in said]


def test_a_modern_server_is_told_the_rest_and_its_question_is_refused(
    stage: Stage, kind: type[Modern | Old]
):
    place = stage.place(f"hidden-new-{kind.__name__.lower()}")
    server = stage.servers.open(Library(era="modern"))
    place.serve("lib", server.url, hidden_capabilities=["sampling"])
    ada = place.admit("ada", lib="all")
    answer = asked_for_a_sample(place, ada, kind)
    assert "did not declare" in str(answer.json)
    (seen,) = server.called("sample")
    assert seen.message["params"]["_meta"][DECLARED] == REST
    asked = [each.message.get("params", {}).get("_meta", {}) for each in server.of("tools/list")]
    assert asked
    assert not [meta for meta in asked if "sampling" in meta.get(DECLARED, {})]


def test_what_is_not_hidden_is_asked_as_ever(stage: Stage):
    place = stage.place("hidden-rest")
    server = stage.servers.open(Library(era="legacy"))
    place.serve("lib", server.url, hidden_capabilities=["sampling", "roots"])
    ada = place.admit("ada", lib="all")
    client = Modern(place, ada, can=ASKABLE)
    asked = client.ask("lib__ask")
    assert "told" in str(client.retry("lib__ask", asked).json)
    assert server.told == [{"action": "accept", "content": {"name": "Ada"}}]


@pytest.mark.parametrize("odd", [False, True], ids=["one page", "what cannot be read"])
@pytest.mark.parametrize("hidden", [["elicitation"], []], ids=["hidden", "not declared"])
def test_no_legacy_client_is_sent_to_a_page_that_it_may_not_be_asked_to_visit(
    stage: Stage, hidden: list[str], odd: bool
):
    page = {"mode": "url", "elicitationId": "e-1", "url": "https://page.test", "message": "Visit."}

    def insist(talk: Talk) -> None:
        data = {"elicitations": [page, 7] if odd else [page]}
        error = {"code": -32042, "message": "Visit a page first.", "data": data}
        number = talk.seen.message["id"]
        talk.answer("200 OK", {"jsonrpc": "2.0", "id": number, "error": error})

    place = stage.place(f"hidden-page-{len(hidden)}-{int(odd)}")
    server = Library(era="legacy")
    server.tools["ask"] = insist
    place.serve("lib", stage.servers.open(server).url, hidden_capabilities=hidden)
    can = {"elicitation": {"form": {}, "url": {}} if hidden else {"form": {}}}
    client = Old(place, place.admit("ada", lib="all"), can=can)
    answer = client.call("lib__ask", {}, accept=BOTH).json
    assert "error" not in answer
    assert answer["result"]["isError"]
    assert "did not declare" in answer["result"]["content"][0]["text"]


def test_a_legacy_client_that_declared_it_is_sent_to_a_page(stage: Stage):
    place = stage.place("hidden-no-page")
    server = Library(era="legacy")
    page = {"mode": "url", "elicitationId": "e-1", "url": "https://page.test", "message": "Visit."}
    error = {"code": -32042, "message": "Visit.", "data": {"elicitations": [page]}}
    server.tools["ask"] = lambda talk: talk.answer(
        "200 OK", {"jsonrpc": "2.0", "id": talk.seen.message["id"], "error": error}
    )
    place.serve("lib", stage.servers.open(server).url)
    can = {"elicitation": {"form": {}, "url": {}}}
    client = Old(place, place.admit("ada", lib="all"), can=can)
    assert client.call("lib__ask", {}, accept=BOTH).json["error"] == error


def test_tools_that_a_server_offers_for_what_is_hidden_are_not_offered(
    stage: Stage, tmp_path: Path, kind: type[Modern | Old]
):
    place = stage.place(f"hidden-choosy-{kind.__name__.lower()}")
    for alias, era in (("now", "modern"), ("then", "legacy")):
        folder = tmp_path / alias
        folder.mkdir()
        command = (sys.executable, CHOOSY, era, str(folder))
        place.spawn(alias, *command, era=era, hidden_capabilities=["elicitation", "roots"])
    ada = place.admit("ada", now="all", then="all")
    for alias in ("now", "then"):
        client = kind(place, ada, alias, {**ASKABLE, "extensions": {APPS: {}}})
        listed = client.request("tools/list", {}, accept=BOTH).json["result"]["tools"]
        assert [tool["name"] for tool in listed] == ["open", "picture"]
        assert "error" in client.call("form", {}, accept=BOTH).json
    assert not list((tmp_path / "then").glob("answer-*"))


def test_that_a_call_started_a_process_stands_in_its_outcome(stage: Stage, tmp_path: Path):
    place = stage.place("started")
    place.spawn("then", sys.executable, CHOOSY, "legacy", str(tmp_path), era="legacy")
    token = place.admit("ada", then="all")
    can = {"sampling": {}}
    clients = [Old(place, token, can=each) for each in ({}, can, can)]
    before = len(place.leaves())
    for client in clients:
        assert client.call("then__open", {}, accept=BOTH).status == 200
    ended = [leaf for leaf in place.since(before) if leaf["t"] == "call.outcome"]
    assert [leaf.get("process", False) for leaf in ended] == [False, True, False]


def test_changed_roots_are_told_in_the_sessions_of_the_client_that_said_so(stage: Stage):
    place = stage.place("roots")
    server = stage.servers.open(Library(era="legacy"))
    place.serve("lib", server.url)
    ada, eve = (place.admit(name, lib="all") for name in ("ada", "eve"))
    told = Old(place, ada, can=TELLS)
    others = [
        Old(place, eve, can=TELLS),
        Old(place, ada, can={"roots": {}}),
        Old(place, ada, can={}),
    ]
    for number, client in enumerate((told, *others)):
        assert client.call("lib__echo", {"number": number}, accept=BOTH).status == 200
    carried = {
        seen.message["params"]["arguments"]["number"]: seen.header("Mcp-Session-Id")
        for seen in server.of("tools/call")
    }
    assert len(set(carried.values())) == 4
    before = len(place.leaves())
    for client in (*others[1:], told):
        note = {"jsonrpc": "2.0", "method": CHANGED}
        assert client.say(note).status == 202
    (heard,) = until(lambda: server.of(CHANGED))
    assert heard.header("Mcp-Session-Id") == carried[0]
    assert server.sessions[carried[0]] == TELLS
    leaves = place.since(before)
    assert [leaf["method"] for leaf in leaves if leaf["t"] == "request.answered"] == [CHANGED] * 3
    (intent,) = [leaf for leaf in leaves if leaf["t"] == "call.intent"]
    (outcome,) = [leaf for leaf in leaves if leaf["t"] == "call.outcome"]
    assert (intent["method"], intent["call"]) == (CHANGED, outcome["call"])


def test_changed_roots_are_not_told_where_roots_are_hidden(stage: Stage):
    place = stage.place("hidden-roots")
    tells = {**TELLS, "sampling": {}}
    servers = {}
    for alias, hidden in (("kept", ["roots"]), ("told", ["elicitation"])):
        servers[alias] = stage.servers.open(Library(era="legacy"))
        place.serve(alias, servers[alias].url, hidden_capabilities=hidden)
    ada = place.admit("ada", kept="all", told="all")
    client = Old(place, ada, can=tells)
    for alias in servers:
        assert client.call(f"{alias}__echo", {}, accept=BOTH).status == 200
    assert client.say({"jsonrpc": "2.0", "method": CHANGED}).status == 202
    until(lambda: servers["told"].of(CHANGED))
    assert client.call("kept__echo", {}, accept=BOTH).status == 200
    assert not servers["kept"].of(CHANGED)
    assert {"sampling": {}} in servers["kept"].sessions.values()


def test_an_admin_sees_what_is_hidden(stage: Stage):
    place = stage.place("hidden-seen")
    url = stage.servers.open(Library()).url
    place.serve("lib", url, hidden_capabilities=["sampling", "roots", "roots"])
    assert place.api("GET", "/servers/lib")["hidden_capabilities"] == ["roots", "sampling"]
