"""What a legacy server says in a session, outside of every call: to whose it is, or to nobody."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.integration.attacks.scene import BOTH, Old, told
from tests.stage import Place, Stage
from tests.upstreams.http_upstream import Talk
from tests.upstreams.library import Library, text, tool
from tests.wire import Wire, until

MESSAGE = "notifications/message"
UPDATED = "notifications/resources/updated"
VISITED = "notifications/elicitation/complete"


class Member:
    """A member with a legacy client whose GET stream is open, and the session that it got."""

    def __init__(self, place: Place, wire: Wire, token: str, **can: Any) -> None:
        self.client = Old(place, token, can=can)
        self.wire = wire
        assert wire.send(self.client.stream()).head().status == 200

    def call(self, name: str) -> bytes:
        """Call a tool; all that comes back."""
        return self.client.call(f"lib__{name}", accept=BOTH).body

    def heard(self) -> Any:
        """The next message on the GET stream that is not about a list."""
        while "list_changed" in (message := told(self.wire))["method"]:
            pass
        return message

    def session(self, server: Library, name: str = "echo") -> str:
        """The session that a call of this client is made in at the server."""
        before = len(server.called(name))
        assert b'"result"' in self.call(name)
        (seen,) = server.called(name)[before:]
        return str(seen.header("Mcp-Session-Id"))


@pytest.fixture(scope="module")
def server(stage: Stage) -> Library:
    server = Library(era="legacy")
    stage.servers.open(server)
    return server


@pytest.fixture(scope="module")
def place(stage: Stage, server: Library) -> Place:
    place = stage.place("session-words")
    place.serve("lib", server.url)
    return place


@pytest.fixture
def wires(stage: Stage) -> Iterator[list[Wire]]:
    with ExitStack() as open_:
        yield [open_.enter_context(stage.wire()) for _ in range(2)]


def said(stage: Stage, server: Library, session: str, method: str, **params: Any) -> None:
    """Have the server say this on the stream of that session."""
    until(lambda: session in server.streams)
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    stage.servers.loop.call_soon_threadsafe(server.streams[session].event, message)


def log(stage: Stage, server: Library, session: str, words: str, level: str = "info") -> None:
    said(stage, server, session, MESSAGE, level=level, data=words)


def test_what_is_logged_right_before_an_answer_and_after_it_reaches_whose_session_it_is(
    stage: Stage, place: Place, server: Library, wires: list[Wire]
):
    ada = Member(place, wires[0], place.admit("ada", lib="all"), elicitation={})
    bob = Member(place, wires[1], place.admit("bob", lib="all"), elicitation={})

    def logs_and_answers(talk: Talk) -> None:
        aside = server.streams[talk.seen.header("Mcp-Session-Id") or ""]
        params = {"level": "info", "data": "before"}
        aside.event({"jsonrpc": "2.0", "method": MESSAGE, "params": params})
        talk.result(text("answered"))

    bobs = bob.session(server)
    assert bobs != ada.session(server)
    server.tools["logs"] = logs_and_answers
    before = len(server.called("logs"))
    if b"before" not in ada.call("logs"):
        assert ada.heard()["params"] == {"level": "info", "data": "before"}
    session = str(server.called("logs")[before].header("Mcp-Session-Id"))
    log(stage, server, session, "after")
    assert ada.heard()["params"]["data"] == "after"
    said(stage, server, session, VISITED, elicitationId="e-1")
    assert ada.heard()["params"] == {"elicitationId": "e-1"}
    log(stage, server, bobs, "bob's")
    assert bob.heard()["params"]["data"] == "bob's"


def test_what_may_be_about_a_tool_that_one_may_use_no_more_is_not_said(
    stage: Stage, place: Place, server: Library, wires: list[Wire]
):
    token = place.admit("cyd")
    email = "cyd@example.test"
    place.grant(member=email, server="lib", tool="echo", level="all")
    lost = place.grant(member=email, server="lib", tool="steps", level="all")
    cyd = Member(place, wires[0], token, elicitation={})
    session = cyd.session(server)
    assert session == cyd.session(server, "steps")
    log(stage, server, session, "one")
    assert cyd.heard()["params"]["data"] == "one"
    place.api("DELETE", f"/grants/{lost}")
    while told(cyd.wire)["method"] != "notifications/tools/list_changed":
        pass
    log(stage, server, session, "two")
    cyd.session(server)
    place.grant(member=email, server="lib", tool="steps", level="all")
    while told(cyd.wire)["method"] != "notifications/tools/list_changed":
        pass
    log(stage, server, session, "three")
    assert cyd.heard()["params"]["data"] == "three"


def test_what_is_said_in_a_session_of_several_reaches_nobody(
    stage: Stage, place: Place, server: Library, wires: list[Wire]
):
    dan = Member(place, wires[0], place.admit("dan", lib="all"))
    session = dan.session(server)
    log(stage, server, session, "whose?")
    server.definitions.append(tool("another"))
    place.approve("lib")
    heard = ""
    while heard != "notifications/tools/list_changed":
        heard = told(dan.wire)["method"]
        assert heard.endswith("/list_changed")


def test_a_stream_hears_log_messages_of_the_level_of_its_session(
    stage: Stage, place: Place, server: Library, wires: list[Wire]
):
    eve = Member(place, wires[0], place.admit("eve", lib="all"))
    assert eve.client.request("logging/setLevel", {"level": "error"}).json["result"] == {}
    session = eve.session(server)
    log(stage, server, session, "small")
    log(stage, server, session, "large", level="error")
    assert eve.heard()["params"]["data"] == "large"


def test_a_resource_that_changed_in_a_session_of_ones_own_is_told_to_its_owner_alone(
    stage: Stage, place: Place, server: Library, wires: list[Wire]
):
    fay = Member(place, wires[0], place.admit("fay", lib="all"), elicitation={})
    gus = Member(place, wires[1], place.admit("gus", lib="all"), elicitation={})
    for each in (fay, gus):
        until(
            lambda each=each: "doc:" in json.dumps(each.client.request("resources/list", {}).json)
        )
        assert (
            each.client.request("resources/subscribe", {"uri": "lib+doc://a"}).json["result"] == {}
        )
    said(stage, server, fay.session(server), UPDATED, uri="doc://a")
    assert fay.heard()["params"] == {"uri": "lib+doc://a"}
    log(stage, server, gus.session(server), "gus's")
    assert gus.heard()["params"]["data"] == "gus's"
