"""Clients that come and go in the middle of everything leave nothing behind but their records."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.integration.attacks.scene import EVERYTHING, Modern, Old, Scene, told
from tests.leaves import Calls
from tests.stage import Stage
from tests.wire import until

ROUNDS = 12


@pytest.fixture(scope="module", params=["modern", "legacy"])
def scene(stage: Stage, request: pytest.FixtureRequest) -> Scene:
    return Scene(stage, f"storms-{request.param}", era=request.param)


def descriptors(stage: Stage) -> int:
    """How many files and sockets the gate has open."""
    assert stage.gate.process is not None
    return len(list(Path(f"/proc/{stage.gate.process.pid}/fd").iterdir()))


def kinds(modern: Modern, old: Old) -> list[bytes]:
    """A request of each kind that can be left in the middle."""
    slow = {"arguments": {}, "_meta": {"progressToken": 1}}
    listen = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["lib+doc://a"]}}
    batch = json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "ping"}] * 4)
    return [
        modern.raw("tools/call", {"name": "lib__open", **slow}),
        modern.raw("tools/call", {"name": "lib__hang", **slow}),
        modern.raw("tools/call", {"name": "lib__ask", "arguments": {}}),
        modern.raw("prompts/get", {"name": "lib__plan"}),
        modern.raw("resources/read", {"uri": "lib+doc://a"}),
        modern.raw("subscriptions/listen", listen),
        modern.raw("tools/call", {"name": "lib__echo", "arguments": {}})[:-10],
        old.raw("tools/call", {"name": "lib__ask", "arguments": {}}),
        old.raw("resources/subscribe", {"uri": "lib+doc://a"}),
        old.raw("tools/list", {}) + batch.encode(),
        old.stream(),
        b"POST /k/",
    ]


@pytest.mark.slow
@pytest.mark.guarantee("audit:every-request-once")
def test_a_storm_of_clients_that_hang_up_leaves_nothing_open(stage: Stage, scene: Scene):
    ada, eve = scene.admit("ada", "eve")
    quiet = Modern(scene.place, eve, can=EVERYTHING)
    old, modern = Old(scene.place, ada), Modern(scene.place, ada, can=EVERYTHING)
    before, files = scene.count, descriptors(stage)
    sent = kinds(modern, old)
    for round_ in range(ROUNDS):
        with ExitStack() as open_:
            wires = [open_.enter_context(scene.wire()).send(request) for request in sent]
            if round_ % 2:  # leave some of them after a word or two
                until(lambda wires=wires: [w for w in wires if not w.is_silent(0.02)])
            if round_ % 3 == 0:
                assert quiet.call("lib__echo").json["result"]["content"]

    def closed() -> bool:
        leaves = scene.place.leaves()[before:]
        calls = Calls(leaves)
        opened = [leaf["stream"] for leaf in leaves if leaf["t"] == "stream.opened"]
        ended = [leaf["stream"] for leaf in leaves if leaf["t"] == "stream.closed"]
        return len(calls.closers) == len(calls.intents) and sorted(opened) == sorted(ended)

    until(closed, why="something that was left is still open")
    leaves = scene.place.leaves()[before:]
    Calls(leaves).is_paired()
    assert not [leaf for leaf in leaves if leaf.get("reason") == "internal"]
    assert not [leaf for leaf in leaves if leaf.get("outcome") == "internal"]
    until(lambda: descriptors(stage) <= files + 24, why="sockets are left open")
    _still_serves(scene, modern, old)


def _still_serves(scene: Scene, modern: Modern, old: Old) -> None:
    """Every place that the storm took is free again."""
    with ExitStack() as open_:
        for _ in range(2):
            wire = open_.enter_context(scene.wire())
            until(lambda wire=wire: _listens(wire, modern))
        assert open_.enter_context(scene.wire()).send(old.stream()).head().status == 200
    asked: list[dict[str, Any]] = []
    while len(asked) < 2:
        until(lambda: _asks(modern, asked), why="no call can wait any more")
    for each in asked:
        assert modern.retry("lib__ask", each).json["result"]["content"][0]["text"] == "told"


def _listens(wire: Any, modern: Modern) -> bool:
    head = wire.send(modern.raw("subscriptions/listen", {"notifications": {}})).head()
    if head.status != 200:
        wire.skip(head)
        return False
    return bool(told(wire))


def _asks(modern: Modern, asked: list[dict[str, Any]]) -> bool:
    result = modern.call("lib__ask").json["result"]
    if result.get("resultType") != "input_required":
        return False
    asked.append(result)
    return True


def test_a_server_is_told_within_a_second_of_each_call_that_is_left(scene: Scene):
    (token,) = scene.admit("bob")
    bob, server = Modern(scene.place, token), scene.server
    call = bob.raw("tools/call", {"name": "lib__hang", "arguments": {}})
    called, left = len(server.called("hang")), len(server.left)
    with ExitStack() as open_:
        for _ in range(5):
            open_.enter_context(scene.wire()).send(call)
        until(lambda: len(server.called("hang")) == called + 5)
    until(lambda: len(server.left) == left + 5, 2, "the server still works for nobody")
