"""`gatelodge debug`: what a node has under way, for the operator on its machine alone."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.watching.scraping import get
from tests.stage import Place, Servers, mirrored, modern, raw_post
from tests.upstreams.acts import Acting
from tests.wire import Wire, until

pytestmark = pytest.mark.slow

WORD = "canary" + secrets.token_hex(8)


class Scene:
    """A gate with a server that answers when it is told to."""

    def __init__(self, directory: Path) -> None:
        self.servers = Servers()
        self.web = self.servers.open(Acting())
        self.web.tools[WORD] = self.web.wait
        self.web.definitions.append({"name": WORD, "inputSchema": {"type": "object"}})
        self.gate = Gate(directory, "audit.sequence_ms=50")

    def play(self) -> None:
        self.place = Place(self.gate, "main", self.gate.token)
        self.place.serve("web", self.web.url)
        self.token = self.place.admit(WORD, web="all")
        until(lambda: "web__echo" in self.place.client(self.token).tools())

    def call(self, wire: Wire, tool: str) -> None:
        """Send a call, and wait until its server has it."""
        before = len(self.web.executed)
        body = modern("tools/call", 1, name=f"web__{tool}", arguments={WORD: WORD})
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        wire.send(
            raw_post(self.place.path, body, {**headers, **mirrored("tools/call", f"web__{tool}")})
        )
        until(lambda: len(self.web.executed) > before)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("debug") / "data")
    try:
        with made.gate.running():
            made.play()
            yield made
    finally:
        made.servers.close()


def pending(scene: Scene) -> int:
    """The requests that wait for the only server."""
    (server,) = scene.gate.cli("debug")["servers"]
    return int(server["pending"])


def test_a_call_under_way_is_shown_by_its_id_and_its_server(scene: Scene):
    scene.web.released.clear()
    with Wire(scene.gate.port) as wire:
        scene.call(wire, WORD)
        found = scene.gate.cli("debug")
        (call,) = found["calls"]
        intents = [leaf["call"] for leaf in scene.place.leaves() if leaf["t"] == "call.intent"]
        assert call.pop("seconds") >= 0
        assert call == {
            "call": intents[-1],
            "workspace": "main",
            "server": "web",
            "method": "tools/call",
            "parked": False,
        }
        (server,) = found["servers"]
        assert (server["server"], server["state"]) == ("web", "ready")
        until(lambda: pending(scene) == 1, why="a look at its tools is over, the call is not")
        assert server["connections"] >= 1
        assert found["connections"] >= 2
        assert {"McpEndpoint._serve_request", "ServerConnection.run"} <= {
            each["name"] for each in found["tasks"]
        }
        assert (found["failing"], found["late"], found["journal"]["failed"]) == ({}, [], False)
        table = scene.gate.command("debug").stdout
        scene.web.released.set()
        assert wire.answer().status == 200
    assert call["call"] in table
    assert "web" in table
    assert "McpEndpoint._serve_request" in table
    for told in (str(found), table):
        assert not any(each in told for each in (WORD, "web__", scene.token, "mem_"))
    until(lambda: scene.gate.cli("debug")["calls"] == [], why="it is over")
    until(lambda: pending(scene) == 0, why="nothing waits for the server")


def test_nobody_else_may_look(scene: Scene):
    assert get(scene.gate, "/api/v1/debug").status == 401
    answer = get(scene.gate, "/api/v1/debug", scene.gate.token)
    assert answer.status == 403
    assert "on the gate's own machine" in answer.json["remedy"]
    told = scene.gate.command("--url", f"http://127.0.0.1:{scene.gate.port}", "debug")
    assert told.returncode == 3


def test_where_no_node_runs_it_says_so_and_makes_nothing(tmp_path: Path):
    gate = Gate(tmp_path / "none")
    told = gate.command("debug")
    assert told.returncode == 4
    assert "no node runs" in told.stderr
    assert not gate.directory.exists()
