"""One gate with servers that ask their client, of either era and over each transport."""

import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.conformance.suite import fixture
from tests.gate import ROOT, WAIT, Gate, environment
from tests.leaves import Calls
from tests.stage import Place

ASKING = str(ROOT / "tests/upstreams/asking_sdk.py")
PUSHING = ("push", "sse", "pipe")
"""Legacy servers, which ask by a request: over HTTP, HTTP with SSE, stdio."""
NEEDING = ("need", "needpipe")
"""Modern servers, which answer `input_required`: over HTTP, stdio."""
ALIASES = (*PUSHING, *NEEDING, "both")
"""`both` is the conformance fixture, of both eras."""
every_server = pytest.mark.parametrize("alias", [*PUSHING, *NEEDING])
each_era = pytest.mark.parametrize(
    "alias",
    [
        "push",
        "need",
        *(pytest.param(a, marks=pytest.mark.slow) for a in ("sse", "pipe", "needpipe")),
    ],
)
"""Every server; the quick run has one of each era."""
pushing_server = pytest.mark.parametrize("alias", PUSHING)
SETTINGS = (
    "audit.sequence_ms=50",
    "hosting.stop_seconds=0.5",
    "limits.parked_per_principal=3",
)


class Town(Place):
    """The gate's first workspace; Ada may use all servers."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate, "main", gate.token)
        self.ada = ""
        self.urls: dict[str, str] = {}
        self._guests = 0

    def url(self, alias: str = "") -> str:
        """The endpoint that a client is given."""
        return f"http://127.0.0.1:{self.gate.port}{self._path(alias)}"

    def guest(self, *aliases: str) -> tuple[str, str]:
        """A member of their own for one test, who may use these servers: email and token."""
        self._guests += 1
        name = f"guest{self._guests}"
        return f"{name}@example.test", self.admit(name, **dict.fromkeys(aliases, "all"))

    def furnish(self, urls: dict[str, str]) -> None:
        """Register the servers, and let Ada in."""
        self.urls = urls
        python = [sys.executable, ASKING]
        with ThreadPoolExecutor() as together:
            for done in (
                *(together.submit(self.serve, alias, url) for alias, url in urls.items()),
                together.submit(self.spawn, "pipe", *python, "legacy", "stdio", era="legacy"),
                together.submit(self.spawn, "needpipe", *python, "modern", "stdio", era="modern"),
            ):
                done.result(WAIT)
        self.ada = self.admit("ada", **dict.fromkeys(ALIASES, "all"))

    def since(self, before: int) -> list[dict[str, Any]]:
        """The records of calls from that many on; each intent is closed once."""
        leaves = [x for x in self.leaves()[before:] if x["t"].startswith("call.")]
        Calls(leaves).is_paired()
        return leaves

    def outcomes(self, before: int) -> list[str]:
        """How each call ended since then."""
        return [x["outcome"] for x in self.since(before) if x["t"] == "call.outcome"]


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
    """The gate, furnished."""
    gate = Gate(tmp_path_factory.mktemp("bridges") / "gate", *SETTINGS)
    with ExitStack() as open_, ThreadPoolExecutor() as together:
        started = {
            "push": together.submit(open_.enter_context, _asking("legacy", "http")),
            "sse": together.submit(open_.enter_context, _asking("legacy", "sse")),
            "need": together.submit(open_.enter_context, _asking("modern", "http")),
            "both": together.submit(open_.enter_context, fixture("dual")),
        }
        open_.enter_context(gate.running())
        made = Town(gate)
        urls = {alias: each.result(WAIT) for alias, each in started.items()}
        urls["both"] = f"http://127.0.0.1:{urls['both']}/mcp"
        made.furnish(urls)
        yield made


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
