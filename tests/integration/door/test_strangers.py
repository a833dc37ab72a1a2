"""What strangers send to the port: limited on every path, counted on every path, kept by nobody."""

import contextlib
import json
import socket
from collections import Counter
from pathlib import Path

import pytest
from tests.gate import Client, Gate
from tests.integration.endpoint.test_endpoint_records import sums
from tests.stage import Place, Stage, mirrored, modern, raw_post
from tests.wire import Wire, until

BODY = modern("tools/list")
LIST = mirrored("tools/list")
PATHS = ("/k/guests/mcp", "/api/v1/workspaces", "/", "//k/guests/mcp")
MIB = 1 << 20


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    return stage.place("guests")


@pytest.fixture(scope="module")
def ada(place: Place) -> str:
    return place.admit("ada")


def head(path: str, *lines: str, verb: str = "POST") -> bytes:
    every = (f"{verb} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", "")
    return "\r\n".join(every).encode()


def refused(leaves: list[dict]) -> Counter[tuple[str, int]]:
    """How many requests were turned away, by reason and status."""
    found: Counter[tuple[str, int]] = Counter()
    for leaf in leaves:
        if leaf["t"] == "request.refused":
            found[leaf["reason"], leaf["http"]] += leaf.get("count", 1)
    return found


def resident(gate: Gate) -> int:
    """MiB of memory that the process holds."""
    assert gate.process is not None
    status = Path(f"/proc/{gate.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


@pytest.mark.parametrize("path", PATHS)
def test_a_head_is_limited_on_every_path(stage: Stage, path: str):
    with stage.wire() as wire:
        wire.send(head(path)[:-2] + b"X: " + b"x" * 9000)
        assert wire.answer().status == 431
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.is_closed()
    with stage.wire() as wire:
        assert wire.send(head(path)[:-2] + b"X: 1\r\n" * 300).answer().status == 431


@pytest.mark.parametrize("path", PATHS)
def test_a_chunk_may_not_be_framed_by_far_more_than_it_holds(stage: Stage, ada: str, path: str):
    with stage.wire() as wire:
        lines = ("Transfer-Encoding: chunked", f"Authorization: Bearer {ada}")
        wire.send(head(path, *lines))
        spam = b"1;" + b"x" * 4000 + b"\r\n.\r\n"
        with contextlib.suppress(ConnectionError):
            wire.send(spam * 400, b"0\r\n\r\n")
        assert wire.answer().status in (400, 401)


@pytest.mark.parametrize("path", PATHS[:3])
def test_nobody_without_a_token_is_asked_for_a_body(stage: Stage, path: str):
    for lines in (["Content-Length: 60000"], ["Content-Length: 60000", "Expect: 100-continue"]):
        with stage.wire() as wire:
            answer = wire.send(head(path, *lines)).answer()
            assert (answer.status, answer.headers["connection"]) == (401, "close")


def test_a_foreign_host_is_refused_before_a_body_on_every_face(stage: Stage, place: Place):
    for path in PATHS[:2]:
        lines = (f"Authorization: Bearer {place.token}", "Content-Length: 60000")
        sent = head(path, *lines).replace(b"127.0.0.1", b"evil.example.test")
        with stage.wire() as wire:
            answer = wire.send(sent).answer()
            assert (answer.status, answer.headers["connection"]) == (403, "close")
            assert b"listen.allowed_hosts" in answer.body
        with stage.wire() as wire:
            lone = sent.replace(b"Content-Length: 60000", b"Content-Length: 0")
            assert wire.send(lone).answer().status == 403


@pytest.mark.guarantee("audit:every-request-once")
def test_what_is_refused_is_counted_on_every_path(stage: Stage, place: Place, ada: str):
    door, sent = stage.unrouted(), Counter[tuple[str, int]]()
    failed, before = sums(door), refused(door)
    for _ in range(3):
        with stage.wire() as wire:
            asked = head("/api/v1/workspaces", "Authorization: Bearer no", verb="GET")
            assert wire.send(asked).answer().status == 401
        rows = [
            (asked.replace(b"127.0.0.1", b"evil.example.test"), "origin_not_allowed", 403),
            (asked[:-2] + b"Origin: https://evil.example.test\r\n\r\n", "origin_not_allowed", 403),
            (head("//k/guests/mcp", verb="GET"), "not_found", 404),
            (head("/nowhere", verb="GET"), "not_found", 404),
            (b"GET /api HTTP/1.1\r\nBad : x\r\n\r\n", "malformed_http", 400),
        ]
        for each, reason, status in rows:
            with stage.wire() as wire:
                assert wire.send(each).answer().status == status, each
            sent[reason, status] += 1

    def counted() -> bool:
        more = refused(stage.unrouted()) - before
        return all(more[kind] == times for kind, times in sent.items())

    until(counted, 5, "not each was counted once")
    until(lambda: (sums(stage.unrouted()) - failed)["malformed"] == 3, 5)


def test_whoever_may_not_ask_the_admin_api_that_is_named_in_their_workspaces_log(
    stage: Stage, place: Place, ada: str
):
    place.api("POST", "/agents", {"name": "robot", "owner": "ada@example.test"})
    robot = place.token_for(agent="robot")
    before, door = len(place.leaves()), refused(stage.unrouted())
    path = f"/api/v1/workspaces/{place.slug}/members"
    mine = f"Authorization: Bearer {ada}"
    asked = [
        (head(path, mine, verb="GET"), 403),
        (head(path, mine, "Content-Type: text/plain", "Content-Length: 2") + b"{}", 400),
        (head(path, f"Authorization: Bearer {robot}", verb="GET"), 403),
    ]
    for sent, status in asked:
        with stage.wire() as wire:
            assert wire.send(sent).answer().status == status
    told = [(leaf["t"], leaf["http"], bool(leaf["actor_c"])) for leaf in place.since(before)]
    assert told == [("request.refused", status, True) for _, status in asked]
    assert refused(stage.unrouted()) == door


def test_a_target_in_absolute_form_is_the_same_request(stage: Stage, place: Place, ada: str):
    before = len(place.leaves())
    sent = raw_post(
        "http://127.0.0.1/k/guests/mcp", BODY, {"Authorization": f"Bearer {ada}"} | LIST
    )
    with stage.wire() as wire:
        assert wire.send(sent).answer().status == 200
        foreign = sent.replace(b"http://127.0.0.1", b"http://evil.example.test")
        assert wire.send(foreign).answer().status == 403
    kinds = [leaf["t"] for leaf in place.since(before)]
    assert kinds == ["request.answered", "request.refused"]


def test_requests_for_both_faces_may_follow_each_other(stage: Stage, place: Place, ada: str):
    before = len(place.leaves())
    mcp = raw_post(place.path, BODY, {"Authorization": f"Bearer {ada}", **LIST})
    path = f"/api/v1/workspaces/{place.slug}/"
    asked = head(path, f"Authorization: Bearer {place.token}", verb="GET")
    with stage.wire() as wire:
        wire.send(asked + mcp + asked + mcp)
        assert [wire.answer().status for _ in range(4)] == [200] * 4
    assert len(place.since(before)) == 2


@pytest.mark.parametrize("path", ["/k/guests/mcp", "/api/v1/workspaces"])
def test_a_client_that_has_finished_sending_gets_its_answer(
    stage: Stage, place: Place, ada: str, path: str
):
    sent = raw_post(path, BODY, {"Authorization": f"Bearer {ada}", **LIST})
    if path.startswith("/api"):
        sent = head(path, f"Authorization: Bearer {place.token}", verb="GET")
    with stage.wire() as wire:
        wire.send(sent).socket.shutdown(socket.SHUT_WR)
        answer = wire.answer()
        while answer.status == 100:
            answer = wire.answer()
        assert answer.status == 200
        assert wire.is_closed()


def test_what_is_malformed_outside_of_the_endpoints_writes_no_line(stage: Stage):
    before = stage.gate.stderr
    for path in ("/api/v1/workspaces", "/nowhere"):
        for _ in range(5):
            with stage.wire() as wire:
                wire.send(head(path)[:-2] + b"bad \x00 header\r\n\r\n")
                assert wire.answer().status == 400
    assert stage.gate.stderr == before


def test_a_page_of_an_allowed_origin_may_ask_and_read(stage: Stage, place: Place, ada: str):
    origin = {"origin": "https://page.example.test"}
    asks = {
        **origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, mcp-param-x",
    }
    before = refused(place.leaves())
    told = Client(stage.gate.port, "", place.path).send("OPTIONS", b"", asks)
    assert (told.status, told.body) == (204, b"")
    assert told.headers["access-control-allow-origin"] == origin["origin"]
    assert told.headers["access-control-allow-headers"] == "authorization, mcp-param-x"
    assert "content-length" not in told.headers
    until(lambda: (refused(place.leaves()) - before)["preflight", 204] == 1, 5)
    for token, status in ((ada, 200), ("", 401)):
        answer = Client(stage.gate.port, token, place.path).post(BODY, {**LIST, **origin})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == origin["origin"]
        assert "Mcp-Session-Id" in answer.headers["access-control-expose-headers"]
    foreign = {**asks, "origin": "https://evil.example.test"}
    told = Client(stage.gate.port, "", place.path).send("OPTIONS", b"", foreign)
    assert told.status == 403
    assert "access-control-allow-origin" not in told.headers


def test_strangers_may_not_open_more_than_there_is_room_for_and_a_member_finds_room(
    tmp_path: Path,
):
    gate = Gate(tmp_path / "gate", "limits.connections=20", "audit.sequence_ms=50")
    with gate.running():
        mine = Wire(gate.port)
        good = raw_post("/k/main/mcp", BODY, {"Authorization": f"Bearer {gate.token}", **LIST})
        assert mine.send(good).answer().status == 200
        wires = [Wire(gate.port) for _ in range(60)]
        for number, wire in enumerate(wires):
            wire.send(head(PATHS[number % 3])[:-2])
        assert gate.process is not None
        sockets = Path(f"/proc/{gate.process.pid}/fd")
        until(lambda: len(list(sockets.iterdir())) < 60, why="more are open than allowed")
        assert gate.client(gate.token).tools() == []
        assert mine.send(good).answer().status == 200
        for wire in [mine, *wires]:
            wire.socket.close()


@pytest.mark.slow
def test_what_strangers_sent_is_gone_with_their_connections(tmp_path: Path):
    gate = Gate(tmp_path / "gate")
    with gate.running():
        client, partial = gate.client(gate.token), b"x" * (4 * MIB - 1)
        client.tools()
        before = resident(gate)
        lines = ("Content-Length: 4194304", "Content-Type: application/json")
        for token in ([], [f"Authorization: Bearer {gate.token}"]):
            for path in PATHS[:3] * 12:
                with Wire(gate.port) as wire, contextlib.suppress(ConnectionError):
                    wire.send(head(path, *lines, *token), partial)
            until(lambda: resident(gate) < before + 40, 5, "memory is not given back")


@pytest.mark.slow
def test_strangers_heads_stand_under_one_total_and_the_greediest_loses(tmp_path: Path):
    gate = Gate(tmp_path / "gate", "limits.stranger_bytes=65536", "limits.keepalive_seconds=60")
    with gate.running():
        modest = Wire(gate.port).send(head("/k/main/mcp")[:-2])
        greedy = [Wire(gate.port).send(head(p)[:-2] + b"X: " + b"x" * 30_000) for p in PATHS[:3]]
        lost = until(lambda: [wire for wire in greedy if not wire.is_silent(0.05)])
        assert len(lost) < len(greedy)
        assert lost[0].answer().status == 503
        rest = f"Authorization: Bearer {gate.token}\r\nContent-Length: {len(BODY)}\r\n"
        rest += "Content-Type: application/json\r\n" + "".join(
            f"{k}: {v}\r\n" for k, v in LIST.items()
        )
        modest.send(rest.encode() + b"\r\n" + BODY)
        assert modest.answer().status == 200
        for wire in (modest, *greedy):
            wire.socket.close()


@pytest.mark.slow
def test_answers_that_nobody_reads_are_given_up(tmp_path: Path):
    gate = Gate(tmp_path / "gate", "limits.write_seconds=1", "limits.keepalive_seconds=2")
    with gate.running():
        gate.client(gate.token).tools()
        before = resident(gate)
        wires = [Wire(gate.port) for _ in range(8)]
        asked = head("/api/openapi.json", verb="GET") * 100
        for wire in wires:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.send(asked)
        assert gate.process is not None
        sockets = Path(f"/proc/{gate.process.pid}/net/tcp")
        port = f":{gate.port:04X} "

        def open_() -> int:
            lines = sockets.read_text().splitlines()
            return sum(1 for line in lines if port in line[:20] and " 01 " in line)

        until(lambda: open_() == 0, 30, "a connection stays that nobody reads")
        until(lambda: resident(gate) < before + 30, 5)
        for wire in wires:
            wire.socket.close()
        assert json.loads(Client(gate.port, "", "/api/openapi.json").send("GET", b"", {}).body)
