"""Two members on one server: what is said to one of them never reaches the other."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.integration.attacks.scene import META, YES, Modern, Old, Scene, told
from tests.stage import Stage
from tests.wire import Wire, until

pytestmark = pytest.mark.slow

QUIET = 0.3
LEGACY = pytest.mark.parametrize("team", ["legacy"], indirect=True, scope="module")
"""A modern server has no sessions and no way aside, and sends no requests."""


class Team:
    """Ada and eve on one server of one era; zoe may use none of it."""

    def __init__(self, stage: Stage, era: str) -> None:
        self.scene = Scene(stage, f"crossing-{era}", era=era)
        self.server = self.scene.server
        self.servers = stage.servers
        self.tokens = dict(zip(("ada", "eve"), self.scene.admit("ada", "eve"), strict=True))
        self.tokens["zoe"] = self.scene.place.admit("zoe")

    def modern(self, name: str, **given: Any) -> Modern:
        return Modern(self.scene.place, self.tokens[name], **given)

    def old(self, name: str, **given: Any) -> Old:
        return Old(self.scene.place, self.tokens[name], **given)

    def shared(self) -> str:
        """The session that belongs to nobody."""
        assert self.modern("ada", can={}).call("lib__echo").json["result"]
        return str(self.server.called("echo")[-1].header("Mcp-Session-Id"))

    def aside(self, session: str, message: dict[str, Any]) -> None:
        """Have a legacy server say something on the stream of a session."""
        until(lambda: session in self.server.streams)
        talk = self.server.streams[session]
        self.servers.loop.call_soon_threadsafe(talk.event, {"jsonrpc": "2.0", **message})


@pytest.fixture(scope="module", params=["modern", "legacy"])
def team(stage: Stage, request: pytest.FixtureRequest) -> Team:
    return Team(stage, request.param)


@pytest.fixture
def lines(team: Team) -> Iterator[list[Wire]]:
    """Connections to the gate."""
    team.server.released.clear()
    with ExitStack() as open_:
        yield [open_.enter_context(team.scene.wire()) for _ in range(4)]
        team.server.released.set()


def called(client: Modern | Old, tool: str, mark: str) -> bytes:
    """A call that wants to hear all that there is, under a token that others have too."""
    meta: dict[str, Any] = {"progressToken": 1}
    if isinstance(client, Modern):
        meta[f"{META}logLevel"] = "debug"
    return client.raw("tools/call", {"name": tool, "arguments": {"mark": mark}, "_meta": meta})


def clients(team: Team, era: str) -> dict[str, Modern | Old]:
    make = team.modern if era == "modern" else team.old
    return {name: make(name) for name in ("ada", "eve")}


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_progress_and_log_messages_reach_whoever_called(team: Team, lines: list[Wire], era: str):
    both = clients(team, era)
    for wire, (name, client) in zip(lines, both.items(), strict=False):
        wire.send(called(client, "lib__steps", name))
    for wire, name in zip(lines, both, strict=False):
        *heard, last = [json.loads(each) for each in wire.answer().messages]
        kinds = [each["method"].rpartition("/")[2] for each in heard]
        assert kinds == ["progress", "message"]
        assert [each["params"].get("message", name) for each in heard] == [name] * 2
        assert last["result"]["content"][0]["text"] == name


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_what_a_server_says_on_one_call_under_anothers_number_reaches_nobody(
    team: Team, lines: list[Wire], era: str
):
    both = clients(team, era)
    waiting, crossing = lines[0], lines[1]
    waiting.send(called(both["eve"], "lib__crossed", "eve"))
    crossing.send(called(both["ada"], "lib__crossed", "ada"))
    until(lambda: len(team.server.called("crossed")) >= 2)
    assert waiting.is_silent(QUIET)
    assert crossing.is_silent(QUIET)
    team.server.released.set()
    for wire, name in ((waiting, "eve"), (crossing, "ada")):
        answer = wire.answer()
        assert answer.json["result"]["content"][0]["text"] == name
    team.server.requests[:] = [seen for seen in team.server.requests if b"crossed" not in seen.body]


@LEGACY
def test_a_log_message_aside_reaches_the_only_caller_of_its_own_session(
    team: Team, lines: list[Wire]
):
    both, known = clients(team, "modern"), len(team.server.sessions)
    for wire, (name, client) in zip(lines, both.items(), strict=False):
        before = len(team.server.called("wait"))
        wire.send(called(client, "lib__wait", name))
        until(lambda before=before: len(team.server.called("wait")) > before)
    owners = {
        seen.header("Mcp-Session-Id"): wire
        for seen, wire in zip(team.server.called("wait")[-2:], lines, strict=False)
    }
    assert len(owners) == 2, "each has a session of their own"
    assert len(team.server.sessions) >= known
    for session, wire in owners.items():
        team.aside(
            str(session),
            {"method": "notifications/message", "params": {"level": "error", "data": session}},
        )
        assert wire.head().status == 200
        assert told(wire)["params"]["data"] == session
    lines[2].send(called(team.modern("ada", can={}), "lib__wait", "ada"))
    team.aside(team.shared(), {"method": "notifications/message", "params": {"level": "error"}})
    assert all(wire.is_silent(QUIET) for wire in lines[:3]), "in a shared session it is nobody's"
    team.server.released.set()
    assert all(told(wire)["result"] for wire in owners.values())


@LEGACY
def test_a_question_aside_goes_to_the_only_call_of_its_session_or_to_nobody(
    team: Team, lines: list[Wire]
):
    ada, eve = team.old("ada"), team.old("eve")
    before = len(team.server.called("wait"))
    lines[0].send(called(ada, "lib__wait", "ada"))
    until(lambda: len(team.server.called("wait")) == before + 1)
    session = str(team.server.called("wait")[-1].header("Mcp-Session-Id"))
    lines[1].send(called(eve, "lib__wait", "eve"))
    until(lambda: len(team.server.called("wait")) == before + 2)
    answered = team.server.asked
    team.servers.wait(team.server.expect("aside"))
    team.aside(session, {"id": "aside", **team.server.question})
    assert lines[0].head().status == 200
    question = told(lines[0])
    assert question["method"] == "elicitation/create"
    assert lines[1].is_silent(QUIET)
    for stranger in (eve, team.old("ada"), team.old("eve")):
        assert stranger.reply(question["id"], {"action": "decline"}).status == 202
    assert not answered["aside"].done()
    assert ada.reply(question["id"]).status == 202
    until(answered["aside"].done)
    assert answered["aside"].result() == YES
    assert ada.reply(question["id"], {"action": "decline"}).status == 202, "twice"
    assert answered["aside"].result() == YES
    lines[2].send(called(ada, "lib__wait", "ada"))
    until(lambda: len(team.server.called("wait")) == before + 3)
    for number, at, code in (("two", session, -32603), ("none", team.shared(), -32601)):
        team.servers.wait(team.server.expect(number))
        team.aside(at, {"id": number, **team.server.question})
        until(answered[number].done)
        assert answered[number].result()["code"] == code, "nobody can tell whose it is"
    assert lines[1].is_silent(0.01)
    assert lines[2].is_silent(0.01)


def listens(team: Team, wire: Wire, name: str, **wanted: Any) -> dict[str, Any]:
    """Open a modern stream; what is honoured."""
    client = team.modern(name)
    wire.send(client.raw("subscriptions/listen", {"notifications": wanted})).head()
    return dict(told(wire)["params"]["notifications"])


def watched(team: Team) -> set[str]:
    """What the server was last told to watch."""
    if team.server.era == "legacy":
        found: set[str] = set()
        for seen in team.server.requests:
            message = seen.message if seen.verb == "POST" else {}
            if message.get("method") == "resources/subscribe":
                found.add(message["params"]["uri"])
            elif message.get("method") == "resources/unsubscribe":
                found.discard(message["params"]["uri"])
        return found
    # A stream that the server has opened: one that it only was asked for hears nothing yet.
    last = team.server.listening[-1].seen.message["params"]["notifications"]
    return set(last.get("resourceSubscriptions", ()))


def test_a_resource_that_changes_is_told_to_those_who_wait_for_it_and_may_read_it(
    team: Team, lines: list[Wire]
):
    mine, hers, nobodys, both = lines
    a, b = "lib+doc://a", "lib+doc://b"
    assert listens(team, mine, "ada", resourceSubscriptions=[a, "nowhere"]) == {
        "resourceSubscriptions": [a]
    }
    assert listens(team, hers, "eve", resourceSubscriptions=[b]) == {"resourceSubscriptions": [b]}
    assert listens(team, nobodys, "zoe", resourceSubscriptions=[a, b]) == {}
    old = team.old("eve")
    both.send(old.stream()).head()
    for uri in (a, b):
        assert old.request("resources/subscribe", {"uri": uri}).json["result"] == {}
    assert (
        team.old("zoe").request("resources/subscribe", {"uri": a}).json["error"]["code"] == -32002
    )
    until(lambda: watched(team) == {"doc://a", "doc://b"})
    team.servers.say(team.server, "notifications/resources/updated", uri="doc://a")
    for wire in (mine, both):
        assert told(wire)["params"]["uri"] == a
    assert hers.is_silent(QUIET)
    assert nobodys.is_silent(0.01)
    mine.socket.close()
    assert old.request("resources/unsubscribe", {"uri": a}).json["result"] == {}
    until(lambda: watched(team) == {"doc://b"}, why="nobody waits for it any more")
    team.servers.say(team.server, "notifications/resources/updated", uri="doc://a")
    team.servers.say(team.server, "notifications/resources/updated", uri="doc://b")
    for wire in (hers, both):
        assert told(wire)["params"]["uri"] == b
    assert nobodys.is_silent(0.01)


def test_a_list_that_changed_is_told_to_those_who_may_see_it(team: Team, lines: list[Wire]):
    mine, hers, nobodys, _ = lines
    wanted = {"promptsListChanged": True}
    for wire, name in ((mine, "ada"), (nobodys, "zoe")):
        assert listens(team, wire, name, **wanted) == wanted
    assert listens(team, hers, "eve", toolsListChanged=True) == {"toolsListChanged": True}
    team.server.prompts = [*team.server.prompts, {"name": f"new-{len(team.server.prompts)}"}]
    team.servers.tell(team.server, "notifications/prompts/list_changed")
    assert told(mine)["method"] == "notifications/prompts/list_changed"
    assert hers.is_silent(QUIET)
    assert nobodys.is_silent(0.01)


@LEGACY
def test_what_one_member_can_be_asked_opens_no_session_for_another(team: Team):
    for name in ("ada", "eve"):
        assert team.modern(name, can={}).call("lib__echo").json["result"]
        assert team.modern(name, can={"roots": {}}).call("lib__echo").json["result"]
    used = [seen.header("Mcp-Session-Id") for seen in team.server.called("echo")[-4:]]
    assert used[0] == used[2], "nobody can be asked anything there, so it is shared"
    assert len({used[0], used[1], used[3]}) == 3
    assert [team.server.sessions[str(s)] for s in used] == [{}, {"roots": {}}] * 2


@LEGACY
def test_however_many_sessions_a_client_opens_its_server_has_one_for_it(team: Team):
    assert team.old("ada").call("lib__echo").json["result"]
    before = len(team.server.sessions)
    for _ in range(30):
        old = team.old("ada")
        assert old.call("lib__echo").json["result"]
        old.send("DELETE", b"", old.head)
    assert len(team.server.sessions) == before


@LEGACY
def test_no_member_takes_all_the_sessions_of_a_server(team: Team):
    assert team.modern("eve").call("lib__echo").json["result"]["content"]
    mine = [{"roots": {}}, {"sampling": {}}, {"sampling": {}, "roots": {}}, {"elicitation": {}}]
    for can in mine:
        for level in ("debug", "info", "notice", "warning", "error", "critical", "alert"):
            meta = {f"{META}logLevel": level}
            params = {"name": "lib__echo", "arguments": {}, "_meta": meta}
            answer = team.modern("ada", can=can).request("tools/call", params)
            assert "isError" not in answer.json["result"], "her oldest one made room"
    until(lambda: any(seen.verb == "DELETE" for seen in team.server.requests))
    hers = {"elicitation": {}, "roots": {}}
    assert "isError" not in team.modern("eve", can=hers).call("lib__echo").json["result"]
