"""Each limit that the protocol can run into: what the client is told, and what is on record."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from tests.integration.attacks.scene import ASKABLE, Modern, Old, Scene, told
from tests.stage import Stage, mirrored, modern, raw_post
from tests.upstreams.http_upstream import HttpUpstream, Talk
from tests.upstreams.library import Library
from tests.wire import until

from gatelodge.config.schema import LimitSettings

RELEASED = threading.Event()
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class Team(Scene):
    """A member of a workspace with a legacy server, and a modern one by the alias `new`."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage, "limits", era="legacy")
        self.new = stage.servers.open(Library(era="modern"))
        self.place.serve("new", self.new.url)
        self.place.grant(everyone=True, server="new", level="all")
        self.token, self.bob = self.admit("ada", "bob")
        self.place.api("POST", "/agents", {"name": "robot", "owner": "ada@example.test"})
        self.place.grant(agent="robot", server="lib", level="all")
        self.robot = self.place.token_for(agent="robot")
        until(lambda: "new__echo" in self.modern().tools())

    def modern(self, can: Any = ASKABLE) -> Modern:
        return Modern(self.place, self.token, can=can)

    def agent(self) -> Modern:
        """The member's own agent, which counts for the member."""
        return Modern(self.place, self.robot, can=ASKABLE)

    def old(self, **given: Any) -> Old:
        return Old(self.place, self.token, **given)

    def raw(self, body: bytes, **headers: str) -> Any:
        """What comes back for these bytes."""
        mine = {"Authorization": f"Bearer {self.token}", **mirrored("ping"), **headers}
        with self.wire() as wire:
            wire.send(raw_post(self.place.path, body, mine))
            return wire.answer()


@pytest.fixture(scope="module")
def team(stage: Stage) -> Team:
    return Team(stage)


Said = tuple[int, Any]
"""The HTTP status of an answer, and what it says: an error's message or a result's text."""


def words(answer: Any) -> Said:
    told_ = answer.json
    if "error" in told_:
        return answer.status, told_["error"]["message"]
    return answer.status, told_["result"]["content"][0]["text"]


def header_bytes(team: Team) -> Said:
    return words(team.raw(modern("ping"), X="x" * 8192))


def body_bytes(team: Team) -> Said:
    return words(team.raw(modern("ping", x="x" * 65536)))


def json_depth(team: Team) -> Said:
    return words(team.raw(modern("ping", x=json.loads("[" * 130 + "]" * 130))))


def result_bytes(team: Team) -> Said:
    team.server.raw = json.dumps({"content": [], "x": "x" * 262_144}).encode()
    return words(team.modern().call("lib__raw"))


async def in_halves(talk: Talk) -> None:
    """Two thirds of a result, and the rest when the test says so."""
    body = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],"x":"' % talk.seen.message["id"]
    head = "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: {}\n\n"
    talk.write(head.format(len(body) + 150_003), body + b"x" * 100_000)
    RELEASED.clear()
    while not RELEASED.is_set():  # noqa: ASYNC110 - set from the test's own thread
        await asyncio.sleep(0.01)
    talk.write("", b"x" * 50_000 + b'"}}')


def person_bytes(team: Team) -> Said:
    team.server.raw = json.dumps({"content": [], "x": "x" * 200_000}).encode()
    team.server.tools["steps"], before = in_halves, len(team.server.called("steps"))
    ada = team.modern()
    with team.wire() as wire:
        wire.send(ada.raw("tools/call", {"name": "lib__steps", "arguments": {}}))
        until(lambda: len(team.server.called("steps")) > before)
        refused = until(lambda: "content" in (told := ada.call("lib__raw").json["result"])
                        and told.get("isError") and told)  # fmt: skip
        bob = Modern(team.place, team.bob)
        assert len(bob.call("lib__raw").json["result"]["x"]) == 200_000, "it is another's room"
        RELEASED.set()
        assert len(wire.answer().json["result"]["x"]) == 150_000, "what is there keeps its room"
    assert len(ada.call("lib__raw").json["result"]["x"]) == 200_000, "all of it was given back"
    return 200, refused["content"][0]["text"]


def call_seconds(team: Team) -> Said:
    return words(team.modern().call("lib__hang"))


def rounds(team: Team) -> Said:
    ada = team.modern()
    asked = ada.ask("new__ask_forever")
    while "resultType" in asked and asked["resultType"] == "input_required":
        answer = ada.retry("new__ask_forever", asked)
        asked = answer.json["result"]
    return words(answer)


def streams_per_principal(team: Team) -> Said:
    listen = team.modern().raw("subscriptions/listen", {"notifications": {}})
    with ExitStack() as open_:
        wires = [open_.enter_context(team.wire()) for _ in range(4)]
        for wire in wires[:3]:
            wire.send(listen).head()
            told(wire)
        listen = team.agent().raw("subscriptions/listen", {"notifications": {}})
        return words(wires[3].send(listen).answer())


def calls_per_principal(team: Team) -> Said:
    team.server.released.clear()
    call = team.modern().raw("tools/call", {"name": "lib__wait", "arguments": {}})
    before = len(team.server.called("wait"))
    with ExitStack() as open_:
        wires = [open_.enter_context(team.wire()) for _ in range(7)]
        for wire in wires[:6]:
            wire.send(call)
        until(lambda: len(team.server.called("wait")) == before + 6)
        call = team.agent().raw("tools/call", {"name": "lib__wait", "arguments": {}})
        answer = wires[6].send(call).answer()
        team.server.released.set()
        for wire in wires[:6]:
            assert wire.answer().status == 200
    return words(answer)


def parked_per_principal(team: Team) -> Said:
    ada = team.modern()
    asked, left = [ada.ask("lib__ask") for _ in range(2)], len(team.server.left)
    answer = team.agent().call("lib__ask")
    until(lambda: len(team.server.left) == left + 1, 2, "the server was not told to stop")
    for each in asked:
        assert ada.retry("lib__ask", each).json["result"]["content"]
    return words(answer)


def question_seconds(team: Team) -> Said:
    ada, left, began = team.modern(), len(team.server.left), time.monotonic()
    asked = ada.ask("lib__ask")
    until(lambda: len(team.server.left) == left + 1, why="the server waits for ever")
    assert time.monotonic() - began > 2.9
    return words(ada.retry("lib__ask", asked))


def question_seconds_of_a_legacy_client(team: Team) -> Said:
    ada, began = team.old(), time.monotonic()
    with team.wire() as wire:
        wire.send(ada.raw("tools/call", {"name": "lib__ask", "arguments": {}})).head()
        question, result = told(wire), told(wire)["result"]
    assert time.monotonic() - began > 2.9
    assert ada.reply(question["id"]).status == 202
    assert team.server.told[-1]["message"] == "the client did not answer"
    return 200, result["content"][0]["text"]


def subscriptions(team: Team) -> Said:
    uris = [f"lib+doc://{n}" for n in range(5)]
    return words(
        team.modern().request(
            "subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}}
        )
    )


def subscriptions_of_a_session(team: Team) -> Said:
    ada = team.old()
    for n in range(4):
        assert ada.request("resources/subscribe", {"uri": f"lib+doc://{n}"}).json["result"] == {}
    assert ada.request("resources/subscribe", {"uri": "lib+doc://0"}).json["result"] == {}
    return words(ada.request("resources/subscribe", {"uri": "lib+doc://5"}))


def subscriptions_by_length(team: Team) -> Said:
    uri = "lib+doc://" + "x" * 50_000
    return words(team.old().request("resources/subscribe", {"uri": uri}))


def batch_messages(team: Team) -> Said:
    ada = team.old(version="2025-03-26")
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    return words(ada.post(json.dumps([ping] * 5).encode(), {"mcp-session-id": ada.session}))


class Limit(NamedTuple):
    """How it is reached, what is told, and the last record of it: type, reason or outcome."""

    reach: Callable[[Team], Said]
    status: int
    says: str
    record: tuple[str, str]


BLOCKED, REFUSED = ("call.outcome", "blocked_response"), "request.refused"
LIMITS = [
    Limit(header_bytes, 431, "the head is too large", (REFUSED, "too_large")),
    Limit(body_bytes, 413, "the body is too large", (REFUSED, "too_large")),
    Limit(json_depth, 400, "nests deeper than 128", (REFUSED, "malformed_json")),
    Limit(result_bytes, 200, "larger than 262144 bytes", BLOCKED),
    Limit(person_bytes, 200, "Too many large results are under way", BLOCKED),
    Limit(call_seconds, 200, "No answer within 4 s", ("call.outcome", "timeout")),
    Limit(rounds, 200, "asked more than 10 times", BLOCKED),
    Limit(streams_per_principal, 429, "too many open streams", (REFUSED, "limit")),
    Limit(calls_per_principal, 200, "limits.calls_per_principal", ("call.denied", "quota")),
    Limit(parked_per_principal, 200, "too many of your calls wait", BLOCKED),
    Limit(question_seconds, 400, "make the request anew", ("call.outcome", "rpc_error")),
    Limit(question_seconds_of_a_legacy_client, 200, "told", ("call.outcome", "ok")),
    Limit(subscriptions, 400, "at most 4 resources", ("request.answered", "rpc_error")),
    Limit(
        subscriptions_of_a_session, 200, "at most 4 resources", ("request.answered", "rpc_error")
    ),
    Limit(subscriptions_by_length, 200, "too long", ("request.answered", "rpc_error")),
    Limit(batch_messages, 400, "at most 4 messages", (REFUSED, "limit")),
]


@pytest.mark.slow
@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.reach.__name__)
def test_a_limit_that_is_reached_is_told_and_recorded(team: Team, limit: Limit):
    before = team.count
    status, says = limit.reach(team)
    assert status == limit.status
    assert limit.says in says
    assert limit.record in team.records(before)
    assert team.modern({}).call("new__echo").json["result"]["content"], "everything else goes on"


def test_no_page_is_longer_than_a_page(team: Team):
    for method, member in (
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ):
        sizes, params = [], {}
        while True:
            result = team.modern().request(method, params).json["result"]
            sizes.append(len(result[member]))
            if "nextCursor" not in result:
                break
            params = {"cursor": result["nextCursor"]}
        assert set(sizes[:-1]) == {3}
        assert 0 < sizes[-1] <= 3


def test_a_server_that_is_slow_to_list_holds_up_nobody(stage: Stage, team: Team):
    slow = HttpUpstream()
    slow.methods["tools/list"] = lambda talk: None
    transport = {"type": "http", "url": stage.servers.open(slow).url, "allow_private": True}
    team.place.api("POST", "/servers", {"alias": "slow", "transport": transport})
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"error\.upstream\.timeout"):
        team.place.api("POST", "/servers/slow/observe", {})
    assert time.monotonic() - began < LimitSettings().list_seconds, (
        "longer than a gate that is not told"
    )
    assert team.modern().request("tools/list", {}).status == 200
