"""What the official suite does not look at, and a gate relies on: changes, tasks, batches, eras."""

import json

import pytest
from tests.conformance import suite
from tests.gate import Client
from tests.stage import Legacy, mirrored, modern, raw_post
from tests.wire import Wire

BOTH = {"accept": "application/json, text/event-stream"}
DECLARED = {
    "io.modelcontextprotocol/clientCapabilities": {
        "elicitation": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    }
}


@pytest.fixture(scope="module")
def port():
    with suite.fixture("dual") as listening:
        yield listening


@pytest.fixture
def session(port):
    return Legacy(port, "", "/mcp")


def listening(port, **wanted):
    """A modern stream, acknowledged."""
    wire = Wire(port)
    body = modern("subscriptions/listen", 7, notifications=wanted, _meta=DECLARED)
    wire.send(raw_post("/mcp", body, mirrored("subscriptions/listen")))
    assert wire.head().status == 200
    acknowledged = json.loads(wire.event())
    assert acknowledged["params"]["notifications"] == wanted
    assert acknowledged["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 7}
    return wire


def own_stream(port, session):
    """A session's own stream."""
    wire = Wire(port)
    lines = ["GET /mcp HTTP/1.1", "Host: localhost", f"Mcp-Session-Id: {session.session}"]
    wire.send("\r\n".join([*lines, "Accept: text/event-stream", "", ""]).encode())
    assert wire.head().status == 200
    wire.chunk()  # the stream is carried once something came on it
    return wire


def posted(port, session, message):
    """The connection of a request whose answer comes bit by bit."""
    wire = Wire(port)
    given = {"Mcp-Session-Id": session.session, "Accept": BOTH["accept"]}
    wire.send(raw_post("/mcp", json.dumps(message).encode(), given))
    assert wire.head().status == 200
    assert wire.event() == b""  # so that the client can come back for the rest
    return wire


@pytest.mark.parametrize(
    ("lever", "kind", "key"),
    [
        ("test_trigger_tool_change", "tools", "toolsListChanged"),
        ("test_trigger_prompt_change", "prompts", "promptsListChanged"),
        ("test_trigger_resource_change", "resources", "resourcesListChanged"),
    ],
)
def test_a_changed_list_is_another_list_and_both_eras_hear_of_it(port, session, lever, kind, key):
    client = Client(port, "", "/mcp")
    with listening(port, **{key: True}) as stream, own_stream(port, session) as own:
        before = client.request(f"{kind}/list", {}).json["result"][kind]
        client.call(lever)
        after = client.request(f"{kind}/list", {}).json["result"][kind]
        assert len([one for one in before if one not in after]) == 1
        for wire in (stream, own):
            assert json.loads(wire.event())["method"] == f"notifications/{kind}/list_changed"


def test_an_updated_resource_reads_differently_and_only_who_subscribed_hears_of_it(port, session):
    uri = "test://watched-resource"
    client = Client(port, "", "/mcp")
    other = Legacy(port, "", "/mcp")
    session.request("resources/subscribe", {"uri": uri}, **BOTH)
    with (
        listening(port, resourceSubscriptions=[uri]) as stream,
        own_stream(port, session) as own,
        own_stream(port, other) as stranger,
    ):
        before = session.request("resources/read", {"uri": uri}, **BOTH).json["result"]
        client.call("test_trigger_resource_update")
        client.call("test_trigger_tool_change")
        assert session.request("resources/read", {"uri": uri}, **BOTH).json["result"] != before
        for wire in (stream, own):
            assert json.loads(wire.event())["params"]["uri"] == uri
        assert json.loads(stranger.event())["method"] == "notifications/tools/list_changed"


def test_the_status_of_a_task_is_told_to_who_listens_for_it(port):
    client = Client(port, "", "/mcp")
    asked = {"name": "confirm_delete", "arguments": {"filename": "x"}, "_meta": DECLARED}
    number = client.request("tools/call", asked).json["result"]["taskId"]
    with listening(port, taskIds=[number]) as stream:
        answer = {"confirm": {"action": "accept", "content": {"confirm": True}}}
        told = {"taskId": number, "inputResponses": answer, "_meta": DECLARED}
        client.request("tasks/update", told, **{"Mcp-Name": number})
        statuses = [json.loads(stream.event())["params"] for _ in range(2)]
    assert [one["status"] for one in statuses] == ["working", "completed"]
    assert statuses[1]["result"]["content"][0]["text"] == "x is deleted."


def test_a_batch_is_answered_whole_in_the_only_revision_that_has_it(port, session):
    hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {}}
    old = Client(port, "", "/mcp")
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    number = old.post(json.dumps(message).encode()).headers["mcp-session-id"]
    batch = [{"jsonrpc": "2.0", "id": n, "method": "prompts/list"} for n in ("a", "b")]
    body = json.dumps([*batch, {"jsonrpc": "2.0", "method": "notifications/x"}]).encode()
    told = old.post(body, {"mcp-session-id": number, **BOTH})
    assert {json.loads(one)["id"] for one in told.messages} == {"a", "b"}
    assert session.post(body, {"mcp-session-id": session.session, **BOTH}).status == 400


def test_a_cancelled_call_ends_without_an_answer(port, session):
    params = {"name": "test_elicitation", "arguments": {"message": "Who?"}}
    message = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}
    with posted(port, session, message) as wire:
        assert json.loads(wire.event())["method"] == "elicitation/create"
        cancel = {"method": "notifications/cancelled", "params": {"requestId": 5}}
        assert session.say({"jsonrpc": "2.0", **cancel}, **BOTH).status == 202
        assert wire.is_over()


def test_a_refused_question_ends_the_call_with_the_refusal(port, session):
    params = {"name": "test_missing_capability"}
    message = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}
    with posted(port, session, message) as wire:
        asked = json.loads(wire.event())
        error = {"code": -32601, "message": "no"}
        session.say({"jsonrpc": "2.0", "id": asked["id"], "error": error}, **BOTH)
        assert json.loads(wire.event()) == {"jsonrpc": "2.0", "id": 5, "error": error}


@pytest.mark.parametrize(("era", "is_modern"), [("legacy", False), ("modern", True)])
def test_a_server_of_one_era_refuses_the_other_as_such_servers_do(era, is_modern):
    with suite.fixture(era) as port:
        client = Client(port, "", "/mcp")
        discovered = client.request("server/discover", {})
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
        begun = client.post(json.dumps(message).encode())
    refused, accepted = (begun, discovered) if is_modern else (discovered, begun)
    assert (accepted.status, refused.status) == (200, 400)
    assert refused.json["error"]["code"] == (-32022 if is_modern else -32000)
