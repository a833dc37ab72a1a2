"""What a legacy session waits for is watched as soon as it has a stream to hear by."""

import json
from typing import Any

import pytest
from tests.stage import Legacy, Place, Stage, raw_post
from tests.upstreams.http_upstream import HttpUpstream, Talk
from tests.wire import until

ROUNDS = 10
"""So many times the two meet, since each of them may win."""


def _discover(talk: Talk) -> None:
    can = {"tools": {}, "resources": {"subscribe": True}}
    talk.result({"supportedVersions": ["2026-07-28"], "capabilities": can})


@pytest.fixture(scope="module")
def shelf(stage: Stage) -> HttpUpstream:
    """A server with resources that change."""
    listed = [{"uri": f"doc://{number}", "name": str(number)} for number in range(ROUNDS)]
    methods = {
        "server/discover": _discover,
        "resources/list": lambda talk: talk.result({"resources": listed}),
        "resources/templates/list": lambda talk: talk.result({"resourceTemplates": []}),
    }
    return stage.servers.open(HttpUpstream(era="modern", methods=methods))


@pytest.fixture(scope="module")
def place(stage: Stage, shelf: HttpUpstream) -> Place:
    place = stage.place("subscribed")
    place.serve("shelf", shelf.url)
    return place


def watched(shelf: HttpUpstream) -> list[str]:
    """What the server was ever asked to watch."""
    asked = [seen.message["params"]["notifications"] for seen in shelf.of("subscriptions/listen")]
    return [uri for each in asked for uri in each.get("resourceSubscriptions", [])]


def opening(place: Place, legacy: Legacy) -> bytes:
    """A GET stream down to its bytes."""
    return (
        f"GET {place.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {legacy.token}\r\n"
        f"Accept: text/event-stream\r\nMcp-Session-Id: {legacy.session}\r\n\r\n"
    ).encode()


def subscribing(place: Place, legacy: Legacy, uri: str) -> bytes:
    """A subscription down to its bytes."""
    asked = {"jsonrpc": "2.0", "id": 9, "method": "resources/subscribe", "params": {"uri": uri}}
    headers = {"Authorization": f"Bearer {legacy.token}", "Mcp-Session-Id": legacy.session}
    return raw_post(place.path, json.dumps(asked).encode(), headers)


def test_what_is_subscribed_to_while_the_stream_opens_is_watched(
    stage: Stage, place: Place, shelf: HttpUpstream
):
    token = place.admit("ada", shelf="all")
    for number in range(ROUNDS):
        legacy, uri = place.legacy(token), f"doc://{number}"
        with stage.wire() as stream, stage.wire() as other:
            stream.send(opening(place, legacy))
            other.send(subscribing(place, legacy, f"shelf+{uri}"))
            assert stream.head().status == 200
            assert other.answer().json["result"] == {}
            until(lambda: uri in watched(shelf), why=f"{uri} is watched")  # noqa: B023


def test_what_was_taken_back_while_it_could_not_be_read_is_told_no_more(
    stage: Stage, place: Place, shelf: HttpUpstream
):
    token, who = place.admit("bob"), {"member": "bob@example.test", "server": "shelf"}
    grant = place.grant(**who, level="read")
    legacy, kept, left = (
        place.legacy(token),
        {"uri": "shelf+doc://kept"},
        {"uri": "shelf+doc://left"},
    )

    def listed() -> list[Any]:
        found: list[Any] = legacy.request("resources/list", {}).json["result"]["resources"]
        return found

    until(listed)
    for each in (kept, left):
        assert legacy.request("resources/subscribe", each).json["result"] == {}
    place.api("DELETE", f"/grants/{grant}")
    until(lambda: not listed())
    assert legacy.request("resources/unsubscribe", left).json["result"] == {}
    never = legacy.request("resources/unsubscribe", {"uri": "shelf+doc://never"}).json
    assert never["error"]["message"] == "Resource not found"
    place.grant(**who, level="read")
    until(listed)
    with stage.wire() as stream:
        assert stream.send(opening(place, legacy)).head().status == 200
        until(lambda: "doc://kept" in watched(shelf))
        for each in (left, kept):
            uri = each["uri"].removeprefix("shelf+")
            stage.servers.say(shelf, "notifications/resources/updated", uri=uri)
        assert json.loads(stream.event())["params"] == kept
