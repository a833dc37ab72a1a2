"""What a client must give back is of use to nobody else, for nothing else, and not too late."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from tests.integration.attacks.scene import BOTH, EVERYTHING, YES, Modern, Old, Scene
from tests.stage import Stage
from tests.wire import until

from gatelodge.adapters.keys.sealing import AesSealer
from gatelodge.core.protocol.bridge.state import CONTEXT, pack, read_state


class Team:
    """Ada asks, eve would like to; the server is of one era."""

    def __init__(self, stage: Stage, era: str) -> None:
        self.scene = Scene(stage, f"states-{era}", era=era)
        self.era = era
        self.tokens = dict(zip(("ada", "eve"), self.scene.admit("ada", "eve"), strict=True))
        self.key = bytes.fromhex((stage.gate.directory / "keys" / "seal").read_text())

    def client(self, name: str, alias: str = "") -> Modern:
        return Modern(self.scene.place, self.tokens[name], alias, EVERYTHING)

    def aged(self, state: str) -> str:
        """The same state, of yesterday."""
        sealer = AesSealer(self.key)
        found = read_state(sealer.open(state, CONTEXT))
        assert found is not None
        return sealer.seal(pack(replace(found, ends_at=1)), CONTEXT)

    def foreign(self, state: str) -> str:
        """The same content under a key that is not the gate's."""
        plain = AesSealer(self.key).open(state, CONTEXT)
        assert plain is not None
        return AesSealer(b"x" * 32).seal(plain, CONTEXT)


@pytest.fixture(scope="module", params=["modern", "legacy"])
def team(stage: Stage, request: pytest.FixtureRequest) -> Team:
    return Team(stage, request.param)


def flipped(text: str, place: int) -> str:
    place %= len(text)
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


class Theft(NamedTuple):
    """Who presents which state, with what else changed, where."""

    says: str
    state: Callable[[Team, str], Any] = lambda _, state: state
    who: str = "ada"
    alias: str = ""
    tool: str = "lib__ask"
    changed: tuple[tuple[str, Any], ...] = ()


THEFTS = [
    *(
        Theft(f"bit flipped at {at}", lambda _, s, at=at: flipped(s, at))
        for at in (0, 5, 20, 60, -40, -1)
    ),
    Theft("cut short", lambda _, s: s[:-4]),
    Theft("made longer", lambda _, s: s + "AAAA"),
    Theft("with padding", lambda _, s: s + "="),
    Theft("empty", lambda _, s: ""),
    Theft("the server's own", lambda _, s: "1"),
    Theft("under another key", lambda team, s: team.foreign(s)),
    Theft("too late", lambda team, s: team.aged(s)),
    Theft("by another member", who="eve"),
    Theft("for another tool", tool="lib__ask_twice"),
    Theft("with other arguments", changed=(("arguments", {"x": 1}),)),
    Theft("without arguments", changed=(("arguments", None),)),
    Theft("with something added", changed=(("vendor", 1),)),
    Theft("at the endpoint of the server", alias="lib", tool="ask"),
    Theft("of another kind", lambda team, s: team.client("ada").request("tools/list", {})
          .json["result"]["nextCursor"]),
    Theft("that is a session", lambda team, s: team.scene.place.legacy(team.tokens["ada"]).session),
]  # fmt: skip


@pytest.mark.parametrize("theft", THEFTS, ids=lambda theft: theft.says)
def test_a_state_is_good_for_its_own_request_only(team: Team, theft: Theft):
    scene, ada = team.scene, team.client("ada")
    asked = ada.ask("lib__ask")
    state = theft.state(team, asked["requestState"])
    before, seen = scene.count, len(scene.server.of("tools/call"))
    thief = team.client(theft.who, theft.alias)
    answer = thief.retry(theft.tool, {**asked, "requestState": state}, **dict(theft.changed))
    assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    assert "make the request anew" in answer.json["error"]["message"]
    assert scene.records(before) == [("call.intent", ""), ("call.outcome", "rpc_error")]
    assert len(scene.server.of("tools/call")) == seen, "the server was not asked"
    mine = ada.retry("lib__ask", asked)
    assert mine.json["result"]["content"][0]["text"] == "told", "its owner can still use it"


def test_a_state_is_no_use_in_another_method(team: Team):
    ada = team.client("ada")
    asked = ada.ask("lib__ask")
    for method, params in (
        ("prompts/get", {"name": "lib__plan"}),
        ("resources/read", {"uri": "lib+doc://a"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "lib__plan"}}),
    ):
        answer = ada.request(method, {**params, "requestState": asked["requestState"]})
        assert answer.json["error"]["code"] == -32602, method
    assert "result" in ada.retry("lib__ask", asked).json


@pytest.mark.parametrize(
    ("responses", "state"),
    [("x", "s"), ([], "s"), ({"q": 1}, "s"), ({"q": None}, "s"), (None, 7), ({}, [])],
    ids=repr,
)
def test_a_round_that_cannot_be_read_is_refused(team: Team, responses: Any, state: Any):
    ada, before = team.client("ada"), team.scene.count
    params = {"name": "lib__ask", "inputResponses": responses, "requestState": state}
    answer = ada.request("tools/call", params)
    assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    assert team.scene.records(before) == [("request.answered", "rpc_error")]


def test_a_state_is_taken_up_once_where_a_call_waits_under_it(team: Team):
    ada = team.client("ada")
    asked, calls = ada.ask("lib__ask"), len(team.scene.server.called("ask"))
    first, second = ada.retry("lib__ask", asked), ada.retry("lib__ask", asked)
    assert first.json["result"]["content"][0]["text"] == "told"
    if team.era == "legacy":
        assert (second.status, second.json["error"]["code"]) == (400, -32602)
        assert len(team.scene.server.called("ask")) == calls
    else:  # nothing waits: the server itself judges what it is given again
        assert second.json["result"]["content"][0]["text"] == "told"
        states = [
            seen.message["params"]["requestState"] for seen in team.scene.server.called("ask")[-2:]
        ]
        assert states == ["1", "1"]


def test_an_answer_that_is_missing_is_asked_for_again_and_one_too_many_is_ignored(team: Team):
    ada = team.client("ada")
    asked = ada.ask("lib__ask")
    again = ada.retry("lib__ask", asked, inputResponses={"never": YES})
    if team.era == "legacy":
        asked = again.json["result"]
        assert asked["resultType"] == "input_required"
        (key,) = asked["inputRequests"]
        more = {"never": YES, key: YES}
        again = ada.retry("lib__ask", asked, inputResponses=more)
        assert team.scene.server.told[-1] == YES
    assert again.json["result"]["content"][0]["text"] == "told"


def test_answers_to_what_was_never_asked_begin_no_second_call(team: Team):
    ada, calls = team.client("ada"), len(team.scene.server.called("echo"))
    params = {"name": "lib__echo", "arguments": {}, "inputResponses": {"q": YES}}
    assert ada.request("tools/call", params).json["result"]["content"]
    assert len(team.scene.server.called("echo")) == calls + 1
    assert not ada.request("tools/call", {**params, "requestState": ""}).json.get("result")
    assert len(team.scene.server.called("echo")) == calls + 1


def test_a_legacy_client_hands_a_server_no_state_and_no_answers_of_its_own_making(team: Team):
    old = Old(team.scene.place, team.tokens["ada"], can={})
    made = {"requestState": "1", "inputResponses": {"q": YES}}
    order = {"name": "lib__ask", "arguments": {}, **made}
    answer = old.request("tools/call", order, accept=BOTH)
    given = team.scene.server.called("ask")[-1].message["params"]
    assert not given.keys() & made.keys()
    if team.era == "modern":
        assert "did not declare" in answer.json["result"]["content"][0]["text"]


def test_a_state_is_dead_with_the_access_that_it_was_given_under(team: Team):
    place, (token,) = team.scene.place, team.scene.admit("zoe")
    zoe = Modern(place, token)
    asked, left = zoe.ask("lib__ask"), len(team.scene.server.left)
    place.api("POST", "/members/zoe@example.test/suspend", {})
    assert zoe.retry("lib__ask", asked).status == 401
    if team.era == "legacy":
        until(lambda: len(team.scene.server.left) > left, 2)
    place.api("POST", "/members/zoe@example.test/resume", {})
    again = Modern(place, place.token_for(member="zoe@example.test"))
    answer = again.retry("lib__ask", asked)
    if team.era == "legacy":
        assert answer.json["error"]["code"] == -32602
    else:  # the state is the server's own, under this member's name: it is theirs again
        assert answer.json["result"]["content"][0]["text"] == "told"


def test_a_member_without_the_grant_any_more_takes_nothing_up(team: Team):
    place = team.scene.place
    place.api("POST", "/members", {"email": "yan@example.test"})
    grant = place.grant(member="yan@example.test", server="lib", level="all")
    yan = Modern(place, place.token_for(member="yan@example.test"))
    until(lambda: "lib__ask" in yan.tools())
    asked = yan.ask("lib__ask")
    place.api("DELETE", f"/grants/{grant}")
    answer = until(
        lambda: (told := yan.retry("lib__ask", asked).json).get("error") and told, why="it goes on"
    )
    assert answer["error"]["message"] == "Unknown tool: lib__ask"


@pytest.mark.parametrize("state", ["", "x" * 60_000, "\u00e9", "=", "A", "-_-_", "\u0000"], ids=len)
def test_no_text_is_too_odd_to_be_refused_as_a_state(team: Team, state: str):
    answer = team.client("ada").retry("lib__ask", {"requestState": state})
    assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
