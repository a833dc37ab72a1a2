"""Who ends a call and what that means, and streams that tell their members what changed."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.gate import Gate
from tests.leaves import Calls, leaves_of
from tests.stage import Legacy, Place, Servers, Stage, mirrored, modern, raw_post
from tests.upstreams.acts import Acting
from tests.wire import Wire, until

STREAM = "application/json, text/event-stream"
WITHIN = 1.0


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    return stage.place("streams")


@pytest.fixture(scope="module", params=["modern", "legacy"])
def server(stage: Stage, place: Place, request: pytest.FixtureRequest) -> Acting:
    """A server of each era, behind the alias of that name."""
    server = stage.servers.open(Acting(era=request.param))
    place.serve(request.param, server.url)
    place.grant(everyone=True, server=request.param, level="all")
    return server


@pytest.fixture(scope="module")
def ada(place: Place) -> str:
    return place.admit("ada")


@pytest.fixture
def alias(server: Acting, place: Place, ada: str) -> str:
    server.released.clear()
    until(lambda: f"{server.era}__echo" in place.client(ada).tools())
    return server.era


def called(place: Place, ada: str, tool: str, session: str = "", number: Any = 1) -> bytes:
    """A call down to its bytes; of a legacy session when one is given."""
    headers = {"Authorization": f"Bearer {ada}", "Accept": STREAM}
    if session:
        params = {"name": tool, "arguments": {}}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        return raw_post(
            place.path, json.dumps(message).encode(), {**headers, "Mcp-Session-Id": session}
        )
    body = modern("tools/call", number, name=tool, arguments={}, _meta={"progressToken": 1})
    return raw_post(place.path, body, {**headers, **mirrored("tools/call", tool)})


def outcome_of(place: Place, before: int) -> str:
    """How the one call since then ended."""

    def ended() -> list[dict[str, Any]]:
        return [leaf for leaf in place.since(before) if leaf["t"] == "call.outcome"]

    return str(until(ended)[0]["outcome"])


class TestHangingUp:
    """A modern client cancels by closing; a legacy one does not."""

    @pytest.mark.parametrize("tool", ["hang", "open"], ids=["before-a-byte", "in-the-stream"])
    def test_a_modern_client_that_hangs_up_cancels(
        self, stage: Stage, place: Place, server: Acting, ada: str, alias: str, tool: str
    ):
        before, executed = len(place.leaves()), len(server.executed)
        with stage.wire() as wire:
            wire.send(called(place, ada, f"{alias}__{tool}"))
            until(lambda: len(server.executed) > executed)
            if tool == "open":
                assert wire.head().status == 200
                assert b"progress" in wire.event()
            left, told = len(server.left), len(server.of("notifications/cancelled"))
        if alias == "modern":
            until(lambda: len(server.left) > left, WITHIN)
        else:
            until(lambda: len(server.of("notifications/cancelled")) > told, WITHIN)
        assert outcome_of(place, before) == "client_gone"

    def test_a_legacy_client_that_is_cut_off_does_not_cancel(
        self, stage: Stage, place: Place, server: Acting, ada: str, alias: str
    ):
        session = place.legacy(ada).session
        before, executed = len(place.leaves()), len(server.executed)
        told = len(server.of("notifications/cancelled"))
        with stage.wire() as wire:
            wire.send(called(place, ada, f"{alias}__wait", session))
            until(lambda: len(server.executed) > executed)
        assert place.client(ada).call(f"{alias}__echo").status == 200  # the gate saw it leave
        server.released.set()
        assert outcome_of(place, before) == "ok"
        assert len(server.of("notifications/cancelled")) == told


class TestCancelling:
    """notifications/cancelled takes back a request of the same session, and no other."""

    @pytest.fixture
    def waiting(
        self, stage: Stage, place: Place, server: Acting, ada: str, alias: str
    ) -> Iterator[tuple[Legacy, Wire, Wire]]:
        """Two sessions of one member, each with a request of the same id under way."""
        mine, other = place.legacy(ada), place.legacy(ada)
        executed = len(server.executed)
        with stage.wire() as first, stage.wire() as second:
            first.send(called(place, ada, f"{alias}__wait", mine.session, 7))
            second.send(called(place, ada, f"{alias}__wait", other.session, 7))
            until(lambda: len(server.executed) == executed + 2)
            yield mine, first, second

    def test_it_ends_the_own_request_only(
        self, place: Place, server: Acting, waiting: tuple[Legacy, Wire, Wire]
    ):
        mine, first, second = waiting
        before = len(place.leaves())
        assert cancel(mine, 7).status == 202
        told = first.answer()
        assert (told.status, told.json["id"], told.json["error"]["code"]) == (200, 7, 4011)
        assert "cancelled" in told.json["error"]["message"]
        assert outcome_of(place, before) == "cancelled"
        server.released.set()
        assert second.answer().json["result"]["content"][0]["text"] == "released"

    def test_a_strangers_word_ends_nothing(
        self, place: Place, server: Acting, waiting: tuple[Legacy, Wire, Wire]
    ):
        mine, first, second = waiting
        eve = place.legacy(place.token)
        stolen = place.legacy(place.token)
        stolen.session = mine.session
        assert cancel(eve, 7).status == 202
        assert cancel(stolen, 7).status == 404
        for never in (8, "7", 7.0, None):
            assert cancel(mine, never).status == 202
        server.released.set()
        for wire in (first, second):
            assert wire.answer().json["result"]["content"][0]["text"] == "released"


def cancel(client: Legacy, number: Any) -> Any:
    params = {"requestId": number, "reason": "enough"}
    return client.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


def listening(place: Place, token: str, number: Any = 1, **wanted: Any) -> bytes:
    """A modern listen down to its bytes."""
    body = modern("subscriptions/listen", number, notifications=wanted)
    headers = {"Authorization": f"Bearer {token}", "Accept": STREAM}
    return raw_post(place.path, body, {**headers, **mirrored("subscriptions/listen")})


def old_stream(place: Place, legacy: Legacy) -> bytes:
    """A legacy GET stream down to its bytes."""
    return (
        f"GET {place.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {legacy.token}\r\n"
        f"Accept: text/event-stream\r\nMcp-Session-Id: {legacy.session}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("number", [5, -1, "five", "", "5"], ids=repr)
@pytest.mark.parametrize("wanted", [{}, {"toolsListChanged": True, "strange": True}])
def test_a_stream_begins_with_what_is_honoured_under_its_own_id(
    stage: Stage, place: Place, ada: str, number: Any, wanted: dict[str, Any]
):
    with stage.wire() as wire:
        head = wire.send(listening(place, ada, number, **wanted)).head()
        assert head.headers["content-type"] == "text/event-stream"
        assert head.headers["x-accel-buffering"] == "no"
        told = json.loads(wire.event())
    assert told["method"] == "notifications/subscriptions/acknowledged"
    honoured = {"toolsListChanged": True} if wanted else {}
    assert told["params"]["notifications"] == honoured
    mark = told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"]
    assert (type(mark), mark) == (type(number), number)


class TestChanges:
    """Only those for whom something changed hear of it, and at once."""

    @pytest.fixture(scope="class")
    @classmethod
    def team(cls, stage: Stage, place: Place) -> dict[str, str]:
        place.serve("new", stage.servers.open(Acting()).url)
        return {name: place.admit(name) for name in ("bob", "carol")}

    @pytest.fixture
    def streams(
        self, stage: Stage, place: Place, team: dict[str, str]
    ) -> Iterator[dict[str, Wire]]:
        """Each member's modern and legacy stream, and one that asked for nothing."""
        with ExitStack() as open_:
            found = {}
            for name, token in team.items():
                for era in ("modern", "legacy"):
                    wire = found[f"{name}-{era}"] = open_.enter_context(stage.wire())
                    if era == "modern":
                        wire.send(listening(place, token, toolsListChanged=True)).head()
                        wire.event()
                    else:
                        wire.send(old_stream(place, place.legacy(token))).head()
            deaf = found["bob-deaf"] = open_.enter_context(stage.wire())
            deaf.send(listening(place, team["bob"])).head()
            deaf.event()
            yield found

    def test_a_grant_and_its_end_are_told_to_its_member_alone(
        self, place: Place, streams: dict[str, Wire]
    ):
        began = time.monotonic()
        grant = place.grant(member="bob@example.test", server="new", level="all")
        for round_ in ("granted", "taken back"):
            for era in ("modern", "legacy"):
                told = json.loads(streams[f"bob-{era}"].event())
                assert told["method"] == "notifications/tools/list_changed", round_
                marked = "_meta" in told.get("params", {})
                assert marked == (era == "modern")
            assert time.monotonic() - began < WITHIN
            if round_ == "granted":
                began = time.monotonic()
                place.api("DELETE", f"/grants/{grant}")
        for quiet in ("carol-modern", "carol-legacy", "bob-deaf"):
            assert streams[quiet].is_silent(0.2), quiet


def test_a_member_has_so_many_streams_and_no_more(stage: Stage, place: Place):
    dan = place.admit("dan")
    legacy = place.legacy(dan)
    with ExitStack() as open_:
        wires = [open_.enter_context(stage.wire()) for _ in range(5)]
        for wire in wires[:2]:
            wire.send(listening(place, dan)).head()
            wire.event()
        assert wires[2].send(old_stream(place, legacy)).head().status == 200
        before = len(place.leaves())
        for wire, sent in (
            (wires[3], listening(place, dan, 9)),
            (wires[4], old_stream(place, legacy)),
        ):
            refused = wire.send(sent).answer()
            assert (refused.status, refused.json["error"]["code"]) == (429, -32000)
            assert refused.headers["retry-after"] == "5"
        refusals = [leaf for leaf in place.since(before) if leaf["t"] == "request.refused"]
        assert [(leaf["reason"], leaf["http"]) for leaf in refusals] == [("limit", 429)] * 2
        wires[0].socket.close()

        def listens_again() -> bool:
            head = wires[3].send(listening(place, dan)).head()
            return head.status == 200 or not wires[3].skip(head)

        until(listens_again)


def test_a_stream_whose_client_left_is_closed_on_record(stage: Stage, place: Place, ada: str):
    before = len(place.leaves())
    with stage.wire() as wire:
        wire.send(listening(place, ada)).head()

    def ended() -> list[dict[str, Any]]:
        found = place.since(before)
        mine = [leaf.get("stream") for leaf in found if leaf["t"] == "stream.opened"]
        pair = [leaf for leaf in found if leaf.get("stream") in mine]
        return pair if len(pair) == 2 else []

    opened, closed = until(ended)
    assert (opened["t"], opened["proto"]) == ("stream.opened", "2026-07-28")
    assert closed["t"] == "stream.closed"
    assert closed["reason"] == "client_gone"


def test_a_stream_to_http_1_0_is_not_chunked(stage: Stage, place: Place, ada: str):
    with stage.wire() as wire:
        head = wire.send(listening(place, ada).replace(b"HTTP/1.1", b"HTTP/1.0")).head()
        assert "transfer-encoding" not in head.headers
        assert head.headers["connection"] == "close"
        assert (wire.unread or wire.socket.recv(6)).startswith(b"event:")


@pytest.mark.slow
@pytest.mark.timeout(40)
def test_an_idle_stream_breathes_so_that_proxies_keep_it(stage: Stage, place: Place, ada: str):
    with stage.wire() as wire:
        wire.send(listening(place, ada)).head()
        wire.event()
        assert wire.chunk() == b": \n\n"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate", "limits.shutdown_seconds=1", "audit.sequence_ms=50")


@pytest.fixture
def own_server() -> Iterator[Acting]:
    servers = Servers()
    yield servers.open(Acting())
    servers.close()


def asked(place: Place, method: str, name: str = "", **params: object) -> bytes:
    headers = {"Authorization": f"Bearer {place.token}", "Accept": STREAM}
    named = {"name": name, "arguments": {}} if name else {}
    body = modern(method, 4, **named, **params)
    return raw_post(place.path, body, {**headers, **mirrored(method, name)})


@pytest.mark.slow
@pytest.mark.guarantee("audit:every-request-once")
def test_a_stop_ends_streams_gracefully_lets_calls_finish_and_cuts_the_rest(
    gate: Gate, own_server: Acting
):
    server = own_server
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
            assert listens.is_over()
            assert old.is_over()
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
