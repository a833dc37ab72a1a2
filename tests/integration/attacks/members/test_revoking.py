"""Whatever is under way for a member ends with their access, in a second; nobody else notices."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.integration.attacks.scene import EVERYTHING, Modern, Old, Scene, told
from tests.stage import Stage
from tests.wire import Wire, until

pytestmark = pytest.mark.slow

WITHIN = 1.0
ENDED = 4010


class Busy:
    """A member for whom one of everything is under way."""

    def __init__(self, scene: Scene, name: str, open_: ExitStack) -> None:
        self.scene, self.name = scene, name
        self._open = open_
        (self.token,) = scene.admit(name)
        self.modern = Modern(scene.place, self.token, can=EVERYTHING)
        self.old = Old(scene.place, self.token)
        self.idle = self._wire()
        assert self.idle.send(self.old.stream()).head().status == 200
        self.listen = self._wire()
        wanted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["x:y"]}}
        self.listen.send(self.modern.raw("subscriptions/listen", wanted)).head()
        told(self.listen)
        self.asked = self.modern.ask("lib__ask")
        self.question = self._wire()
        self.question.send(self.old.raw("tools/call", {"name": "lib__ask", "arguments": {}}))
        self.question.head()
        self.put = told(self.question)
        self.running = self._wire()
        call = {"name": "lib__open", "arguments": {}, "_meta": {"progressToken": 1}}
        self.running.send(self.modern.raw("tools/call", call)).head()
        told(self.running)
        self.task = self._task()

    def _wire(self) -> Wire:
        return self._open.enter_context(self.scene.wire())

    def _task(self) -> str:
        if self.scene.server.era == "legacy":
            return ""
        return str(self.modern.call("lib__task").json["result"]["taskId"])

    def last_words(self) -> dict[str, Any]:
        """What is said on each stream until it ends."""
        listen = told(self.listen)
        assert self.listen.is_over()
        assert self.idle.is_over()
        running, question = told(self.running), told(self.question)
        return {"listen": listen, "running": running, "question": question}

    def goes_on(self) -> None:
        """Everything still works."""
        assert self.listen.is_silent(0.01)
        assert self.idle.is_silent(0.01)
        assert self.old.request("ping", {}).status == 200
        answer = self.modern.retry("lib__ask", self.asked)
        assert answer.json["result"]["content"][0]["text"] == "told"
        assert self.old.reply(self.put["id"]).status == 202
        assert told(self.question)["result"]["content"][0]["text"] == "told"
        self.scene.server.released.set()
        assert told(self.running)["result"]["content"][0]["text"] == "released"
        if self.task:
            got = self.modern.request("tasks/get", {"taskId": self.task}).json["result"]
            assert got["taskId"] == self.task

    def is_dead(self) -> None:
        """Nothing of it can be taken up."""
        assert self.modern.retry("lib__ask", self.asked).status == 401
        assert self.old.reply(self.put["id"]).status == 401
        assert self.old.request("ping", {}).status == 401
        assert self.modern.request("tasks/get", {"taskId": self.task or "t"}).status == 401
        with self.scene.wire() as wire:
            assert wire.send(self.old.stream()).answer().status == 401


@pytest.fixture(params=["modern", "legacy"])
def pair(stage: Stage, request: pytest.FixtureRequest) -> Iterator[tuple[Busy, Busy]]:
    how = request.node.callspec.params["how"]
    scene = Scene(stage, f"revoking-{how}-{request.param}", era=request.param)
    with ExitStack() as open_:
        yield Busy(scene, "ada", open_), Busy(scene, "eve", open_)
        scene.server.released.set()


def end(scene: Scene, how: str) -> None:
    if how == "suspended":
        scene.place.api("POST", "/members/ada@example.test/suspend", {})
        return
    items = scene.place.api("GET", "/tokens?limit=100")["items"]
    (token,) = [each["id"] for each in items if each["principal"] == "ada@example.test"]
    scene.place.api("POST", f"/tokens/{token}/revoke", {})


@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.parametrize("how", ["suspended", "token"])
def test_all_that_is_under_way_ends_within_a_second_and_nobody_elses(
    pair: tuple[Busy, Busy], how: str
):
    ada, eve = pair
    scene = ada.scene
    before = scene.count
    began = time.monotonic()
    end(scene, how)
    words = ada.last_words()
    assert time.monotonic() - began < WITHIN
    assert words["listen"]["result"]["resultType"] == "complete"
    assert words["running"]["error"]["code"] == ENDED
    assert words["question"]["error"]["code"] == ENDED
    ada.is_dead()
    mine = 3 if scene.server.era == "legacy" else 1
    until(lambda: len(scene.server.left) >= mine, WITHIN, "the server was told to stop")
    eve.goes_on()
    assert len(scene.server.left) == mine
    kinds = [each for each in scene.records(before) if each[1] == "revoked"]
    assert sorted(kinds) == [("call.outcome", "revoked")] * 2 + [("stream.closed", "revoked")] * 2


@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.parametrize("how", ["sessions"])
def test_the_sessions_that_a_member_had_with_servers_end_too(pair: tuple[Busy, Busy], how: str):
    ada, eve = pair
    server = ada.scene.server
    own = {seen.header("Mcp-Session-Id") for seen in server.called("ask")} - {None}
    assert len(own) == (2 if server.era == "legacy" else 0), "each has a session of their own"
    ada.scene.place.api("POST", "/members/ada@example.test/suspend", {})

    def ended() -> set[str | None]:
        gone = [seen for seen in list(server.requests) if seen.verb == "DELETE"]
        return {seen.header("Mcp-Session-Id") for seen in gone} & own

    if own:
        until(ended, WITHIN, "the server was not told that the session is over")
        assert len(ended()) == 1
    eve.goes_on()


def test_a_session_is_ended_also_when_no_connection_to_its_server_is_left(stage: Stage):
    scene = Scene(stage, "ending", era="legacy")
    (token,) = scene.admit("ada")
    server = scene.server
    assert Modern(scene.place, token).call("lib__echo").json["result"]["content"]
    session = server.called("echo")[-1].header("Mcp-Session-Id")
    until(lambda: session in server.streams)

    async def drop() -> None:
        for writer in list(server.open):
            writer.close()

    scene.stage.servers.wait(drop())
    until(lambda: not server.open)
    scene.place.api("POST", "/members/ada@example.test/suspend", {})
    until(
        lambda: [
            s
            for s in server.requests
            if (s.verb, s.header("Mcp-Session-Id")) == ("DELETE", session)
        ],
        3,
        "the server was not told that the session is over",
    )
