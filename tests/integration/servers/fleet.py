"""The servers that one gate serves together: how each is started, and what is known of it.

`everything` is there three times, once for each way to reach a server. Where the gate is root each
stdio server has a uid of its own; so what they read stands where every uid can read it.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.gate import WAIT, Gate, environment
from tests.integration.servers.pages import Site
from tests.stage import Place, all_of
from tests.wire import until

from gatelodge.adapters.runtime.process.exec_permissions import PATH, barred

TESTS = Path(__file__).parents[2]
EVERYTHING = TESTS / "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
MODULES = TESTS / "servers/node_modules"
BIN = Path(sys.executable).parent
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ANY_UID = 210_000


class Scene(NamedTuple):
    """What the servers look at."""

    site: Site
    repository: Path
    files: Path


class Known(NamedTuple):
    """What is known of a server: its era, how many tools are shown, and one call's right answer."""

    era: str
    tools: int
    tool: str
    arguments: Callable[[Scene], dict[str, Any]]
    says: str


def _sum(_: Scene) -> dict[str, Any]:
    return {"a": 20, "b": 22}


_EVERYTHING = Known("legacy", 16, "get-sum", _sum, "The sum of 20 and 22 is 42.")
"""It has one more, which works as a task only."""
NEEDING = frozenset(
    (
        "get-roots-list",
        "trigger-elicitation-request",
        "trigger-sampling-request",
        "trigger-url-elicitation",
    )
)
"""What it offers only to clients that can be asked something."""

KNOWN = {
    "all": _EVERYTHING,
    "web": _EVERYTHING,
    "sse": _EVERYTHING,
    "time": Known(
        "modern", 2, "convert_time",
        lambda _: {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"},
        "T21:00:00+09:00",
    ),
    "git": Known(
        "modern", 12, "git_status", lambda s: {"repo_path": str(s.repository)}, "leaf.txt"
    ),
    "fetch": Known("modern", 1, "fetch", lambda s: {"url": f"{s.site.url}/"}, "# Visitors"),
    "files": Known(
        "legacy", 14, "read_text_file", lambda s: {"path": str(s.files / "leaf.txt")}, "a leaf"
    ),
    "memory": Known(
        "legacy", 9, "read_graph", lambda _: {}, '"entities": ['
    ),
    "thinking": Known(
        "legacy", 1, "sequentialthinking",
        lambda _: {
            "thought": "One.", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": False,
        },
        '"thoughtNumber": 1',
    ),
    "browser": Known(
        "legacy", 25, "browser_navigate", lambda s: {"url": f"{s.site.url}/"},
        "Page Title: Gatehouse",
    ),
}  # fmt: skip
REMOTE = {"web": ("streamableHttp", "/mcp"), "sse": ("sse", "/sse")}
STDIO = tuple(alias for alias in KNOWN if alias not in REMOTE)


def commands(scene: Scene, node: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The command and the variables of each stdio server."""
    reference = MODULES / "@modelcontextprotocol"
    # Git wants to be told that a repository of somebody else is meant.
    safe = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": str(scene.repository),
    }
    browser = ["--headless", "--isolated", "--no-sandbox", "--executable-path", str(CHROMIUM)]
    return {
        "all": ([node, str(EVERYTHING), "stdio"], {}),
        "time": ([str(BIN / "mcp-server-time")], {}),
        "git": ([str(BIN / "mcp-server-git"), "-r", str(scene.repository)], safe),
        # Where it finds Node it downloads a package at the first page; there is none on this path.
        "fetch": ([str(BIN / "mcp-server-fetch"), "--allow-private-ips"], {"PATH": "/var/empty"}),
        "files": ([node, str(reference / "server-filesystem/dist/index.js"), str(scene.files)], {}),
        "memory": (
            [node, str(reference / "server-memory/dist/index.js")],
            {"MEMORY_FILE_PATH": "/proc/self/cwd/memory.jsonl"},
        ),
        "thinking": ([node, str(reference / "server-sequential-thinking/dist/index.js")], {}),
        "browser": ([node, str(MODULES / "@playwright/mcp/cli.js"), *browser], {}),
    }


class Fleet(Place):
    """The gate's first workspace with every server in it. Ada may use all, Ben only `web`."""

    def __init__(self, gate: Gate, scene: Scene) -> None:
        super().__init__(gate, "main", gate.token)
        self.scene = scene
        self.node = shutil.which("node") or ""
        self.aliases = [alias for alias in KNOWN if alias != "browser" or CHROMIUM.exists()]
        self.remote: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {alias: free_port() for alias in REMOTE}
        self.ids: dict[str, str] = {}
        self.observed: dict[str, list[str]] = {}
        self.ada = self.ben = ""

    @property
    def stdio(self) -> list[str]:
        """The servers that are the gate's own children."""
        return [alias for alias in self.aliases if alias in STDIO]

    def furnish(self) -> None:
        """Start what is remote, register and approve everything, and let people in."""
        for alias in REMOTE:
            self.launch(alias)
        with ThreadPoolExecutor(4) as together:
            list(together.map(self._register, self.aliases))
        self.ada = self.admit("ada", **dict.fromkeys(self.aliases, "all"))
        self.ben = self.admit("ben", web="all")
        self.met()

    def met(self) -> None:
        """Wait until every server was met; which tools need what is known a little later."""
        until(lambda: all(self.state(alias) == "ready" for alias in self.aliases))
        self.looked_at("all", *REMOTE)

    def launch(self, alias: str) -> None:
        """Start a server that listens, and wait until it does."""
        port = self.ports[alias]
        self.remote[alias] = subprocess.Popen(
            [self.node, str(EVERYTHING), REMOTE[alias][0]],
            env=environment(PORT=str(port)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: _listens(port), why=f"{alias} does not listen")

    def end(self, alias: str) -> None:
        """Kill a server that listens."""
        process = self.remote.pop(alias)
        process.kill()
        process.wait(WAIT)

    def state(self, alias: str) -> str:
        """How a server is doing."""
        return str(self.api("GET", f"/servers/{alias}/health")["state"])

    def pid(self, alias: str) -> int:
        """The process of a stdio server."""
        return int(self.api("GET", f"/servers/{alias}/health")["pid"])

    def url(self) -> str:
        """The endpoint of all servers together."""
        return f"http://127.0.0.1:{self.gate.port}{self.path}"

    def needs(self, alias: str) -> None:
        """Skip a test of a server that this machine cannot run."""
        if alias not in self.aliases:
            pytest.skip(f"{CHROMIUM} is not there")

    def calls(self, before: int) -> list[dict[str, Any]]:
        """What was recorded of calls, from that many records on."""
        return [leaf for leaf in self.since(before) if leaf["t"].startswith("call.")]

    def streams_opened(self) -> int:
        """How many streams were ever opened."""
        return sum(leaf["t"] == "stream.opened" for leaf in self.leaves())

    def shown(self) -> list[str]:
        """Every name of Ada's list: by alias, then as the server has them."""
        return [f"{a}__{name}" for a in sorted(self.aliases) for name in self.observed[a]]

    def shown_to_all(self) -> list[str]:
        """The same for a client that can be asked nothing."""
        return [name for name in self.shown() if name.split("__")[1] not in NEEDING]

    def _register(self, alias: str) -> None:
        made = self.api("POST", "/servers", {"alias": alias, "transport": self._transport(alias)})
        seen = self.api("POST", f"/servers/{alias}/observe", {})
        self.api("POST", f"/servers/{alias}/approve", all_of(seen))
        self.ids[alias] = made["id"]
        tools = [tool["name"] for tool in seen["tools"]]
        self.observed[alias] = [name for name in tools if name != "simulate-research-query"]

    def _transport(self, alias: str) -> dict[str, Any]:
        if alias in REMOTE:
            url = f"http://127.0.0.1:{self.ports[alias]}{REMOTE[alias][1]}"
            return {"type": "http", "url": url, "allow_private": True}
        command, env = commands(self.scene, self.node)[alias]
        run_as = "own" if _reachable(command) else "gateway"
        return {"type": "stdio", "command": command, "env": env, "run_as": run_as}


def _reachable(command: list[str]) -> bool:
    """Say whether a uid of its own, which only root can give, could run this."""
    files = [word for word in command if word.startswith("/") and Path(word).is_file()]
    return os.geteuid() == 0 and not any(barred(file, PATH, ANY_UID) for file in files)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
