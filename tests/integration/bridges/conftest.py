"""One gate with servers that ask their client, of either era and over each transport."""

import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.suite import fixture
from tests.gate import ROOT, WAIT, Gate, environment
from tests.integration.bridges.pairs.covering import marked
from tests.integration.bridges.visitors import MODERN
from tests.integration.clients.conftest import EVERYTHING, server_everything
from tests.leaves import Calls
from tests.stage import Place
from tests.wire import until

ASKING = str(ROOT / "tests/upstreams/asking/sdk.py")
PUSHING = ("push", "sse", "pipe")
"""Legacy servers, which ask by a request: over HTTP, HTTP with SSE, stdio."""
NEEDING = ("need", "needpipe")
"""Modern servers, which answer `input_required`: over HTTP, stdio."""
ALIASES = (*PUSHING, *NEEDING, "both")
"""`both` is the conformance fixture, of both eras."""


every_server = pytest.mark.parametrize("alias", [*PUSHING, *NEEDING])
pushing_server = pytest.mark.parametrize("alias", PUSHING)
SETTINGS = (
    "audit.sequence_ms=50",
    "hosting.stop_seconds=0.5",
    "limits.parked_per_principal=3",
)


HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make weekly` what a pairwise set of clients, servers and methods does without."""
    marked([item for item in items if item.path.is_relative_to(HERE)], MODERN, NEEDING)


class Town(Place):
    """The gate's first workspace; Ada may use all its servers. `urls` are theirs."""

    def __init__(self, gate: Gate, urls: dict[str, str], spawned: dict[str, list[str]]) -> None:
        super().__init__(gate, "main", gate.token)
        self.urls = urls
        self._guests = 0
        with ThreadPoolExecutor() as together:
            for done in (
                *(together.submit(self.serve, alias, url) for alias, url in urls.items()),
                *(together.submit(self._spawn, alias, c) for alias, c in spawned.items()),
            ):
                done.result(WAIT)
        self.ada = self.admit("ada", **dict.fromkeys((*urls, *spawned), "all"))
        for alias in (*urls, *spawned):  # what a server offers is shown once it was met
            ada = self.client(self.ada, alias)
            until(lambda: ada.request("prompts/list", {}).json["result"]["prompts"])  # noqa: B023

    def url(self, alias: str = "") -> str:
        """The endpoint that a client is given."""
        return f"http://127.0.0.1:{self.gate.port}{self._path(alias)}"

    def guest(self, *aliases: str) -> tuple[str, str]:
        """A member of their own for one test, who may use these servers: email and token."""
        self._guests += 1
        name = f"guest{self._guests}"
        return f"{name}@example.test", self.admit(name, **dict.fromkeys(aliases, "all"))

    def agent_of(self, owner: str, *aliases: str) -> str:
        """An agent of that member, who may use these servers; a token of it."""
        self._guests += 1
        name = f"agent{self._guests}"
        self.api("POST", "/agents", {"name": name, "owner": owner})
        for alias in aliases:
            self.grant(agent=name, server=alias, level="all")
        return self.token_for(agent=name)

    def _spawn(self, alias: str, command: list[str]) -> None:
        """Start a server; one of the asking ones speaks both eras over stdio, and shall not."""
        era = command[2] if ASKING in command else "auto"
        self.spawn(alias, *command, era=era)

    def since(self, before: int) -> list[dict[str, Any]]:
        """The records of calls from that many on; each intent is closed once."""
        leaves = [x for x in self.leaves()[before:] if x["t"].startswith("call.")]
        Calls(leaves).is_paired()
        return leaves

    def outcomes(self, before: int) -> list[str]:
        """How each call ended since then."""
        return [x["outcome"] for x in self.since(before) if x["t"] == "call.outcome"]

    def closed(self, before: int) -> bool:
        """Say whether a call ended since then."""
        return any(leaf["t"] == "call.outcome" for leaf in self.leaves()[before:])

    def streams(self) -> int:
        """How many streams were ever opened."""
        return sum(leaf["t"] == "stream.opened" for leaf in self.leaves())


@contextmanager
def _asking(era: str, transport: str) -> Iterator[str]:
    command = [sys.executable, ASKING, era, transport]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True)
    with process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], WAIT)[0], "it does not start"
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A gate with servers that ask."""
    gate = Gate(tmp_path_factory.mktemp("bridges") / "gate", *SETTINGS)
    with ExitStack() as open_:
        urls = {
            "push": open_.enter_context(_asking("legacy", "http")),
            "sse": open_.enter_context(_asking("legacy", "sse")),
            "need": open_.enter_context(_asking("modern", "http")),
            "both": f"http://127.0.0.1:{open_.enter_context(fixture('dual'))}/mcp",
        }
        open_.enter_context(gate.running())
        python = [sys.executable, ASKING]
        pipes = {"pipe": [*python, "legacy", "stdio"], "needpipe": [*python, "modern", "stdio"]}
        yield Town(gate, urls, pipes)


@pytest.fixture(scope="session")
def fair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A gate with server-everything behind it, over each transport."""
    gate = Gate(tmp_path_factory.mktemp("fair") / "gate", "limits.page_size=3", *SETTINGS)
    with ExitStack() as open_:
        web = open_.enter_context(server_everything("streamableHttp"))
        old = open_.enter_context(server_everything("sse"))
        urls = {"web": f"http://127.0.0.1:{web}/mcp", "old": f"http://127.0.0.1:{old}/sse"}
        open_.enter_context(gate.running())
        yield Town(gate, urls, {"io": ["node", str(EVERYTHING), "stdio"]})
