"""What a failing server does to a call: answer and record say so, and nobody else feels it."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.stage import Place, Stage, mirrored, modern, raw_post
from tests.upstreams.acts import Acting
from tests.upstreams.http_upstream import HttpUpstream
from tests.wire import until


class Row(NamedTuple):
    """A tool's act, the error's code that the answer names, the outcome on record."""

    tool: str
    code: str
    outcome: str


FAULTS = [
    Row("hang", "error.upstream.timeout", "timeout"),
    Row("cut", "error.upstream.protocol", "upstream_protocol"),
    Row("cut_stream", "error.upstream.protocol", "upstream_protocol"),
    Row("garbage", "error.upstream.protocol", "upstream_protocol"),
    Row("no_json", "error.upstream.protocol", "upstream_protocol"),
    Row("wrong_id", "error.upstream.protocol", "upstream_protocol"),
    Row("wrong_id_stream", "error.upstream.protocol", "upstream_protocol"),
    Row("no_result", "error.upstream.protocol", "upstream_protocol"),
    Row("list", "error.upstream.protocol", "upstream_protocol"),
    Row("asks", "error.upstream.protocol", "upstream_protocol"),
    Row("five_hundred", "error.upstream.protocol", "upstream_protocol"),
    Row("elsewhere", "error.upstream.unreachable", "upstream_unreachable"),
    Row("accepted", "error.upstream.protocol", "upstream_protocol"),
    Row("packed", "error.upstream.protocol", "upstream_protocol"),
    Row("large", "error.refused.limit", "blocked_response"),
    Row("large_stream", "error.refused.limit", "blocked_response"),
]


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    return stage.place("faults")


@pytest.fixture(scope="module")
def server(stage: Stage, place: Place) -> Acting:
    server = stage.servers.open(Acting())
    place.serve("bad", server.url)
    place.serve("old", stage.servers.open(Acting(era="legacy")).url)
    place.serve("good", stage.servers.open(HttpUpstream()).url)
    return server


@pytest.fixture(scope="module")
def ada(place: Place, server: Acting) -> str:
    return place.admit("ada", bad="all", old="all", good="all")


@pytest.mark.parametrize("alias", ["bad", "old"], ids=["modern", "legacy"])
@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.tool)
def test_a_fault_of_a_server_is_told_by_name_and_recorded(
    place: Place, server: Acting, ada: str, row: Row, alias: str
):
    before = len(place.leaves())
    answer = place.client(ada).call(f"{alias}__{row.tool}", {"x": 1})
    assert answer.status == 200
    result = answer.json["result"]
    assert result["isError"] is True
    assert result["_meta"]["dev.gatelodge/decision"]["error"] == row.code
    assert "secret words" not in json.dumps(result)
    assert ".." not in result["content"][0]["text"]
    if (row.tool, alias) == ("hang", "bad"):
        until(lambda: "hang" in server.left, why="a modern server that hangs is hung up on")
    intent, outcome = place.since(before)
    assert (intent["t"], intent["tool"]) == ("call.intent", row.tool)
    assert (outcome["call"], outcome["outcome"], outcome["bytes_out"]) == (
        intent["call"],
        row.outcome,
        0,
    )
    assert place.client(ada).call("good__echo", {"x": 1}).json["result"]["content"]


@pytest.mark.guarantee("protocol:lossless")
def test_an_error_of_a_server_passes_unchanged(place: Place, ada: str):
    before = len(place.leaves())
    answer = place.client(ada).call("bad__refuse")
    assert answer.status == 200
    assert b'"n": 12345678901234567890123' in answer.body
    assert answer.json["error"]["message"] == "not today"
    _, outcome = place.since(before)
    assert (outcome["outcome"], outcome["rpc_code"]) == ("rpc_error", -32055)


def test_a_tools_own_failure_passes_unchanged(place: Place, ada: str):
    before = len(place.leaves())
    result = place.client(ada).call("bad__fail").json["result"]
    assert (result["isError"], result["content"][0]["text"]) == (True, "it does not work")
    assert place.since(before)[1]["outcome"] == "tool_error"


def test_no_call_runs_twice_whatever_comes_back(place: Place, server: Acting, ada: str):
    before = len(server.executed)
    for tool in ("cut", "garbage", "five_hundred", "elsewhere", "no_json", "wrong_id"):
        place.client(ada).call(f"bad__{tool}")
    assert len(server.executed) - before == 6


def test_a_redirect_is_not_followed(stage: Stage, place: Place, server: Acting, ada: str):
    trap = stage.servers.open(HttpUpstream())
    server.tools["elsewhere"] = lambda talk: talk.answer("307 Go", b"", Location=trap.url)
    place.client(ada).call("bad__elsewhere")
    assert not trap.requests


def asked(ada: str, tool: str, accept: str, **meta: object) -> bytes:
    """A call that may ask for progress, down to its bytes."""
    body = modern("tools/call", name=tool, arguments={}, _meta=meta)
    headers = {"Authorization": f"Bearer {ada}", "Accept": accept, **mirrored("tools/call", tool)}
    return raw_post("/k/faults/mcp", body, headers)


BOTH = "application/json, text/event-stream"


@pytest.mark.parametrize("alias", ["bad", "old"], ids=["modern", "legacy"])
@pytest.mark.parametrize("token", ["a token", "", 7, 12345678901234567890123])
def test_progress_reaches_whoever_asked_for_it_under_their_own_token(
    stage: Stage, ada: str, alias: str, token: object
):
    with stage.wire() as wire:
        answer = wire.send(asked(ada, f"{alias}__steps", BOTH, progressToken=token)).answer()
    assert answer.headers["content-type"] == "text/event-stream"
    *progress, last = [json.loads(message) for message in answer.messages]
    assert [told["params"]["progress"] for told in progress] == [1, 2]
    assert {told["method"] for told in progress} == {"notifications/progress"}
    assert [told["params"]["progressToken"] for told in progress] == [token, token]
    assert last["result"]["content"][0]["text"] == "done"


@pytest.mark.parametrize(
    ("accept", "meta"),
    [("application/json", {"progressToken": 1}), (BOTH, {}), (BOTH, {"progressToken": None})],
    ids=["no-stream", "no-token", "null-token"],
)
def test_progress_reaches_nobody_who_did_not_ask(
    stage: Stage, ada: str, accept: str, meta: dict[str, object]
):
    with stage.wire() as wire:
        answer = wire.send(asked(ada, "bad__steps", accept, **meta)).answer()
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["result"]["content"][0]["text"] == "done"


def test_a_call_that_fails_after_progress_ends_its_stream_with_the_error(stage: Stage, ada: str):
    with stage.wire() as wire:
        answer = wire.send(asked(ada, "bad__cut_stream", BOTH, progressToken=1)).answer()
    progress, last = [json.loads(message) for message in answer.messages]
    assert progress["params"] == {"progressToken": 1, "progress": 1}
    decision = last["result"]["_meta"]["dev.gatelodge/decision"]
    assert decision["error"] == "error.upstream.protocol"


def test_a_dead_server_fails_its_own_calls_only_and_comes_back(
    stage: Stage, place: Place, ada: str
):
    dead = stage.servers.open(HttpUpstream())
    place.serve("dead", dead.url)
    place.grant(member="ada@example.test", server="dead", level="all")
    client = place.client(ada)
    until(lambda: "dead__echo" in client.tools())
    assert client.call("dead__echo").json["result"].get("isError") is None
    stage.servers.stop(dead)
    before = len(place.leaves())
    told = client.call("dead__echo").json["result"]["_meta"]["dev.gatelodge/decision"]
    assert told["error"] == "error.upstream.unreachable"
    assert [leaf.get("outcome") for leaf in place.since(before)] == [None, "upstream_unreachable"]
    names = client.tools()
    assert "dead__echo" in names
    assert "good__echo" in names
    assert client.call("good__echo").json["result"].get("isError") is None
    again = HttpUpstream(definitions=dead.definitions, port=dead.port)
    stage.servers.open(again)
    until(lambda: client.call("dead__echo").json["result"].get("isError") is None)


def test_a_result_of_100_megabytes_costs_the_gate_no_memory(stage: Stage, place: Place, ada: str):
    place.client(ada).call("bad__large_stream")
    before = resident(stage)
    for alias in ("bad", "old", "bad"):
        place.client(ada).call(f"{alias}__large_stream")
    assert resident(stage) - before < 64 * 1024


def resident(stage: Stage) -> int:
    """The most memory that the gate had so far, in KiB."""
    assert stage.gate.process is not None
    status = Path(f"/proc/{stage.gate.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
