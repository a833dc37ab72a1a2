"""On a kept connection each request is looked at as on a new one, whatever was good before it."""

from collections.abc import Callable

import pytest
from tests.gate import Answer
from tests.integration.attacks.scene import META, Modern, Scene
from tests.stage import mirrored, modern, raw_post

NAME = "lib__echo"
Change = Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]]


def headed(**lines: str) -> Change:
    return lambda body, head: (body, head | {k.replace("_", "-"): v for k, v in lines.items()})


def bare(name: str) -> Change:
    return lambda body, head: (body, {k: v for k, v in head.items() if k != name})


def said(old: str, new: str) -> Change:
    return lambda body, head: (body.replace(old.encode(), new.encode()), head)


CHANGES: dict[str, Change] = {
    "another version in the header": headed(MCP_Protocol_Version="2025-11-25"),
    "no version in the header": bare("MCP-Protocol-Version"),
    "another method in the header": headed(Mcp_Method="tools/list"),
    "another name in the header": headed(Mcp_Name="lib__raw"),
    "no name in the header": bare("Mcp-Name"),
    "another version in the body": said('protocolVersion":"2026', 'protocolVersion":"2027'),
    "no version in the body": said("protocolVersion", "protocolVersio"),
    "no capabilities": said("clientCapabilities", "clientCapabilitie"),
    "a member of _meta twice": said('"_meta":{', '"_meta":{"a":1,"a":2,'),
    "a _meta that is no object": said('"_meta":{', '"_meta":[],"x":{'),
    "another token": headed(Authorization="Bearer gl_x"),
}


@pytest.fixture(scope="module")
def scene(stage) -> Scene:
    return Scene(stage, "kept")


@pytest.fixture(scope="module")
def ada(scene: Scene) -> Modern:
    (token,) = scene.admit("ada")
    return Modern(scene.place, token, can={})


def good(ada: Modern, number: int = 1) -> tuple[bytes, dict[str, str]]:
    head = {"Authorization": f"Bearer {ada.token}", "Accept": "application/json"}
    body = modern("tools/call", number, name=NAME, arguments={"text": "hello"})
    return body, head | mirrored("tools/call", NAME)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_request_behind_a_good_one_is_refused_as_it_would_be_alone(
    scene: Scene, ada: Modern, change: Change
):
    body, head = change(*good(ada))
    before = scene.count
    with scene.wire() as wire:
        alone = wire.send(raw_post(ada.path, body, head)).answer()
    recorded = scene.records(before)
    with scene.wire() as wire:
        assert wire.send(raw_post(ada.path, *good(ada))).answer().status == 200
        before = scene.count
        behind = wire.send(raw_post(ada.path, body, head)).answer()
    assert alone.status >= 400
    assert (behind.status, behind.json) == (alone.status, alone.json)
    assert scene.records(before) == recorded


def test_what_a_notification_may_leave_out_a_request_behind_it_may_not(scene: Scene, ada: Modern):
    body, head = CHANGES["no capabilities"](*good(ada))
    note = body.replace(b'"id":1,', b"").replace(b"tools/call", b"notifications/progress")
    with scene.wire() as wire:
        assert wire.send(raw_post(ada.path, note, head)).answer().status == 202
        answer = wire.send(raw_post(ada.path, body, head)).answer()
    assert (answer.status, answer.json["error"]["code"]) == (400, -32602)


def test_a_fault_in_meta_that_was_seen_before_bears_the_id_of_its_own_request(
    scene: Scene, ada: Modern
):
    def told(number: int) -> Answer:
        body, head = CHANGES["a member of _meta twice"](*good(ada, number))
        with scene.wire() as wire:
            return wire.send(raw_post(ada.path, body, head)).answer()

    assert [told(number).json["id"] for number in (7, 8)] == [7, 8]


def test_a_server_is_told_which_client_asks_now_and_not_which_asked_before(
    scene: Scene, ada: Modern
):
    told = []
    with scene.wire() as wire:
        for name in ("one", "two", "one", ""):
            info = {f"{META}clientInfo": {"name": name, "version": "1"}} if name else {}
            body = modern("tools/call", name=NAME, arguments={}, _meta=info)
            assert wire.send(raw_post(ada.path, body, good(ada)[1])).answer().status == 200
            told.append(scene.server.requests[-1].body.decode())
    assert ["one/1" in each for each in told] == [True, False, True, False]
    assert ["two/1" in each for each in told] == [False, True, False, False]
