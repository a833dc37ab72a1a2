"""One gate with real servers behind it, shared by the tests of real clients.

`time` and `git` are Python servers and `all` is server-everything over stdio; `web` is
server-everything over HTTP. Ada may use all of them, Ben only `time`.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.gate import WAIT, Gate, environment
from tests.stage import Place
from tests.wire import until

NODE = Path(__file__).parents[2] / "node"
EVERYTHING = NODE / "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
BIN = Path(sys.executable).parent
RULE = (
    '@reason("history is kept") @advice("Make a new branch.") '
    'forbid (principal, action, resource == Gatelodge::Tool::"{}/git_reset")'
    ' when {{ context.now > datetime("1970-01-01T00:00:00Z") }};'
)


class House(Place):
    """The gate's first workspace, with members and servers in it."""

    def __init__(self, gate: Gate, repository: Path) -> None:
        super().__init__(gate, "main", gate.token)
        self.repository = str(repository)
        self.ada = self.ben = ""
        self._guests = 0

    def url(self, alias: str = "") -> str:
        """The endpoint that a client is given."""
        path = f"/k/main/s/{alias}/mcp" if alias else "/k/main/mcp"
        return f"http://127.0.0.1:{self.gate.port}{path}"

    def guest(self, *more: str) -> tuple[str, str]:
        """A member of their own for one test, who may use `time` and `more`: email and token."""
        self._guests += 1
        name = f"guest{self._guests}"
        grants = dict.fromkeys(("time", *more), "all")
        return f"{name}@example.test", self.admit(name, **grants)

    def furnish(self, port: int) -> None:
        """Register the servers, and let people in."""
        with ThreadPoolExecutor() as together:
            for done in (
                together.submit(self.spawn, "time", str(BIN / "mcp-server-time")),
                together.submit(self.spawn, "git", str(BIN / "mcp-server-git")),
                together.submit(self.spawn, "all", "node", str(EVERYTHING), "stdio"),
                together.submit(self.serve, "web", f"http://127.0.0.1:{port}/mcp"),
            ):
                done.result(WAIT)
        self.looked_at("all", "web")
        git = self.api("GET", "/servers/git")["id"]
        self.api("POST", "/guardrails", {"name": "keep-history", "text": RULE.format(git)})
        self.ada = self.admit("ada", time="all", git="all", all="all", web="all")
        self.ben = self.admit("ben", time="all")

    def furnish_for_ben(self) -> None:
        """Register `time` alone, and let Ben in."""
        self.spawn("time", str(BIN / "mcp-server-time"))
        self.ben = self.admit("ben", time="all")

    def outcomes(self, tool: str) -> list[str]:
        """How each call of a tool ended, in order."""
        leaves = self.leaves()
        calls = {leaf["call"] for leaf in leaves if leaf.get("tool") == tool}
        return [x["outcome"] for x in leaves if x["t"] == "call.outcome" and x["call"] in calls]

    def streams_opened(self) -> int:
        """How many streams were ever opened."""
        return sum(leaf["t"] == "stream.opened" for leaf in self.leaves())


@contextmanager
def server_everything(way: str) -> Iterator[int]:
    """The port of a server-everything of its own; `way` is `streamableHttp` or `sse`."""
    assert EVERYTHING.exists(), "run `npm ci` in tests/node"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["node", str(EVERYTHING), way],
        env=environment(PORT=str(port)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _listens(port), why="server-everything does not listen")
        yield port
    finally:
        process.kill()
        process.wait(WAIT)


@pytest.fixture(scope="session")
def everything() -> Iterator[int]:
    """The port of a server-everything over HTTP."""
    with server_everything("streamableHttp") as port:
        yield port


@pytest.fixture(scope="session")
def house(everything: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The gate, furnished."""
    repository = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    directory = tmp_path_factory.mktemp("clients") / "gate"
    gate = Gate(directory, "limits.page_size=5", "audit.sequence_ms=50", "hosting.stop_seconds=0.5")
    with gate.running():
        made = House(gate, repository)
        made.furnish(everything)
        yield made


@pytest.fixture
def small_house(tmp_path: Path) -> Iterator[House]:
    """A gate with `time` and Ben alone, for a test that needs no other."""
    with Gate(tmp_path / "gate").prepared().running() as gate:
        made = House(gate, tmp_path)
        made.furnish_for_ben()
        yield made


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
