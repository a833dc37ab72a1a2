"""The gate is asked to stop while everything is going on: each client gets a last word."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.leaves import Calls, leaves_of
from tests.stage import Place, Servers, mirrored, modern, raw_post
from tests.upstreams.acts import Acting
from tests.wire import Wire, until

STREAM = "application/json, text/event-stream"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate", "limits.shutdown_seconds=1", "audit.sequence_ms=50")


@pytest.fixture
def server():
    servers = Servers()
    yield servers.open(Acting())
    servers.close()


def asked(place: Place, method: str, name: str = "", **params: object) -> bytes:
    headers = {"Authorization": f"Bearer {place.token}", "Accept": STREAM}
    named = {"name": name, "arguments": {}} if name else {}
    body = modern(method, 4, **named, **params)
    return raw_post(place.path, body, {**headers, **mirrored(method, name)})


@pytest.mark.guarantee("audit:every-request-once")
def test_a_stop_ends_streams_gracefully_lets_calls_finish_and_cuts_the_rest(
    gate: Gate, server: Acting
):
    gate.start()
    place = Place(gate, "main", gate.token)
    place.serve("up", server.url)
    place.grant(everyone=True, server="up", level="all")
    until(lambda: len(place.client(place.token).tools()) > 1)
    legacy = place.legacy(place.token)
    with (
        Wire(gate.port) as listens,
        Wire(gate.port) as old,
        Wire(gate.port) as waits,
        Wire(gate.port) as hangs,
        Wire(gate.port) as idle,
    ):
        listens.send(asked(place, "subscriptions/listen", notifications={})).head()
        listens.event()
        old.send(
            f"GET {place.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {place.token}"
            f"\r\nMcp-Session-Id: {legacy.session}\r\n\r\n".encode()
        ).head()
        idle.send(asked(place, "tools/list")).answer()
        waits.send(asked(place, "tools/call", "up__wait"))
        hangs.send(asked(place, "tools/call", "up__open", _meta={"progressToken": 1}))
        until(lambda: {"wait", "open"} <= set(server.executed))
        assert hangs.head().status == 200
        hangs.event()
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(gate.stop, signal.SIGTERM)
            farewell = json.loads(listens.event())
            assert idle.is_closed()
            assert listens.chunk() == b""
            assert old.chunk() == b""
            waits.send(asked(place, "tools/call", "up__echo"))
            server.released.set()
            finished = waits.answer()
            assert waits.is_closed()
            last = json.loads(hangs.event())
            assert stopping.result() == 0
    marked = {"io.modelcontextprotocol/subscriptionId": 4}
    assert farewell == {
        "jsonrpc": "2.0",
        "id": 4,
        "result": {"resultType": "complete", "_meta": marked},
    }
    assert finished.json["result"]["content"][0]["text"] == "released"
    assert finished.headers["connection"] == "close"
    assert last["error"]["code"] == 4011
    assert "stopped" in last["error"]["message"]
    leaves = leaves_of(gate.directory)
    calls = Calls(leaves)
    calls.is_paired()
    assert not calls.unresolved
    assert (calls.outcomes("ok"), calls.outcomes("cancelled")) == ({"wait": 1}, {"open": 1})
    closed = [leaf["reason"] for leaf in leaves if leaf["t"] == "stream.closed"]
    assert closed == ["shutdown", "shutdown"]
    assert "echo" not in server.executed, "nothing is begun after the stop"
    assert [leaf["reason"] for leaf in leaves if leaf["t"] == "request.refused"] == ["client_gone"]
