"""Of several streams that a legacy session has open, one hears each message."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.integration.attacks.scene import Old, told
from tests.stage import Place, Stage
from tests.upstreams.library import Library
from tests.wire import Wire, until

pytestmark = pytest.mark.slow

CHANGED = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"


class Listener:
    """A member with a session, and two streams of it that were opened one after the other."""

    def __init__(self, place: Place, name: str, wires: list[Wire]) -> None:
        self.place = place
        self.email = f"{name}@example.test"
        self.client = Old(place, place.admit(name, lib="read"))
        until(lambda: self.client.request("resources/list", {}).json["result"]["resources"])
        asked = self.client.request("resources/subscribe", {"uri": f"lib+doc://{name}"})
        assert asked.json["result"] == {}
        self.older, self.newest = wires
        for wire in wires:
            assert wire.send(self.client.stream()).head().status == 200

    def see_more(self) -> None:
        """Be granted a tool more, so that the list changes."""
        self.place.grant(member=self.email, server="lib", tool="echo", level="all")


@pytest.fixture(scope="module")
def server(stage: Stage) -> Library:
    server = Library(era="modern")
    stage.servers.open(server)
    return server


@pytest.fixture(scope="module")
def place(stage: Stage, server: Library) -> Place:
    place = stage.place("old-streams")
    place.serve("lib", server.url)
    return place


@pytest.fixture
def wires(stage: Stage) -> Iterator[list[Wire]]:
    with ExitStack() as open_:
        yield [open_.enter_context(stage.wire()) for _ in range(2)]


def test_a_change_is_told_to_the_newest_stream_of_a_session_alone(place: Place, wires: list[Wire]):
    ada = Listener(place, "ada", wires)
    ada.see_more()
    assert told(ada.newest)["method"] == CHANGED
    assert ada.older.is_silent(0.3)


def test_a_resource_that_changed_is_told_to_the_newest_stream_of_a_session_alone(
    stage: Stage, place: Place, server: Library, wires: list[Wire]
):
    bob = Listener(place, "bob", wires)
    until(lambda: "doc://bob" in str([each.body for each in server.of("subscriptions/listen")]))
    stage.servers.say(server, UPDATED, uri="doc://bob")
    assert told(bob.newest)["params"] == {"uri": "lib+doc://bob"}
    assert bob.older.is_silent(0.3)


def test_an_older_stream_hears_again_once_the_newest_is_gone(place: Place, wires: list[Wire]):
    cyd = Listener(place, "cyd", wires)
    before = len(place.leaves())
    cyd.newest.socket.close()
    until(lambda: "stream.closed" in [leaf["t"] for leaf in place.since(before)])
    cyd.see_more()
    assert json.loads(cyd.older.event())["method"] == CHANGED


def test_a_members_sessions_that_nobody_hears_wait_for_so_much_and_no_more(
    stage: Stage, place: Place, server: Library, wires: list[Wire]
):
    token = place.admit("dan", lib="read")
    first, *others = [Old(place, token) for _ in range(40)]
    until(lambda: first.request("resources/list", {}).json["result"]["resources"])
    for client in (first, *others):
        asked = client.request("resources/subscribe", {"uri": "lib+doc://dan"})
        assert asked.json["result"] == {}
    for wire, client in zip(wires, (first, others[-1]), strict=True):
        assert wire.send(client.stream()).head().status == 200
    until(lambda: "doc://dan" in str([each.body for each in server.of("subscriptions/listen")]))
    stage.servers.say(server, UPDATED, uri="doc://dan")
    assert told(wires[1])["params"] == {"uri": "lib+doc://dan"}
    assert wires[0].is_silent(0.3)
