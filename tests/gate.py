"""A real gate in a process of its own, driven as its users drive it: by commands and by HTTP.

gate = Gate(tmp_path)
with gate.running():
    gate.cli("member", "add", "ada@example.test")
    gate.client(token).call("stub__echo", {"x": 1})
"""

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatelodge.cli.client import _connect_unix_socket

MODERN = "2026-07-28"
WAIT = 40.0
CACHES = f"/tmp/gatelodge-test-caches-{os.getuid()}"
ROOT = Path(__file__).parent.parent
_KEPT = frozenset(("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH"))
"""`PYTHONPATH` is set where the code that is tested is not the one that is installed."""


def environment(**more: str) -> dict[str, str]:
    """What a gate in a test may see of our environment."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT}
    # Most tests are about other things than a sandbox, and start many servers.
    plain = {"GATELODGE_HOSTING__PLAIN_COMMANDS": "process"}
    return {**kept, **plain, "GATELODGE_HOSTING__CACHE_DIR": CACHES, **more}


class Answer:
    """An HTTP answer: status, headers, and the JSON body when there is one."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body as JSON; of an event stream the last message."""
        body = self.body
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            body = self.messages[-1]
        return json.loads(body)

    @property
    def messages(self) -> list[bytes]:
        """The data of each event."""
        lines = self.body.split(b"\n")
        return [line[6:] for line in lines if line.startswith(b"data: ")]


class Client:
    """A client that speaks the modern era plainly, one connection a request."""

    def __init__(self, port: int, token: str, path: str = "/k/main/mcp") -> None:
        self.port = port
        self.token = token
        self.path = path
        self._ids = 0

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        """Send a body as it is."""
        given = {"content-type": "application/json", "accept": "application/json"}
        if self.token:
            given["authorization"] = f"Bearer {self.token}"
        return self.send("POST", body, {**given, **(headers or {})})

    def send(self, method: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send any request to the endpoint."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            link.request(method, self.path, body, headers)
            response = link.getresponse()
            kept = {k.lower(): v for k, v in response.getheaders()}
            return Answer(response.status, kept, response.read())
        finally:
            link.close()

    def request(self, method: str, params: dict[str, Any], **headers: str) -> Answer:
        """Send a modern request."""
        self._ids += 1
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            **params.get("_meta", {}),
        }
        message = {
            "jsonrpc": "2.0",
            "id": self._ids,
            "method": method,
            "params": {**params, "_meta": meta},
        }
        mirrored = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        if "name" in params:
            mirrored["Mcp-Name"] = params["name"]
        return self.post(json.dumps(message).encode(), {**mirrored, **headers})

    def call(self, name: str, arguments: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Call a tool."""
        return self.request("tools/call", {"name": name, "arguments": arguments or {}}, **headers)

    def tools(self) -> list[str]:
        """The names of every tool on every page."""
        names: list[str] = []
        cursor = None
        while True:
            params = {} if cursor is None else {"cursor": cursor}
            result = self.request("tools/list", params).json["result"]
            names += [tool["name"] for tool in result["tools"]]
            cursor = result.get("nextCursor")
            if cursor is None:
                return names


class Gate:
    """A data directory and the process that serves it."""

    def __init__(self, directory: Path, *sets: str, **env: str) -> None:
        self.directory = directory
        self.sets = sets
        self.env = environment(**env)
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}
        self.token = ""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.ready["address"].rpartition(":")[2])

    def arguments(self, *command: str) -> list[str]:
        """A command line for this data directory."""
        sets = [part for one in self.sets for part in ("--set", one)]
        base = [sys.executable, "-m", "gatelodge", "--data-dir", str(self.directory), *sets]
        return [*base, *command]

    def start(self, *more: str, wait: float = WAIT) -> "Gate":
        """Start it and wait until it is ready."""
        self.spawn(*more)
        try:
            self.ready = self.event("ready", wait)
        except BaseException:
            self.kill()
            raise
        self.token = self.ready.get("token") or self.token
        return self

    def prepared(self) -> "Gate":
        """Give it a database that the migrations made already: its first start has less to do."""
        from tests.ledgers import put_database

        put_database(self.directory)
        return self

    def spawn(self, *more: str) -> None:
        """Start it, whatever comes of it."""
        stderr = (self.directory.parent / f"{self.directory.name}.stderr").open("ab")
        self.process = subprocess.Popen(
            self.arguments("up", "--port", "0", "--json", *more),
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=self.env,
            start_new_session=True,
            bufsize=0,  # what stands in a buffer of ours is not seen by select
        )
        stderr.close()

    def kill(self) -> None:
        """End it as a crash would: nothing of it runs any more, nothing was said or tidied."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(WAIT)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def event(self, name: str, wait: float = WAIT) -> dict[str, Any]:
        """The next event of that name on its standard output."""
        assert self.process is not None
        assert self.process.stdout is not None
        ends = time.monotonic() + wait
        while time.monotonic() < ends:
            if not select.select([self.process.stdout], [], [], ends - time.monotonic())[0]:
                break
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the gate ended with {self.process.wait(5)}: {self.stderr}")
            found = json.loads(line)
            if found.get("event") == name:
                return found
        raise AssertionError(f"no event {name!r} within {wait} s: {self.stderr}")

    @property
    def stderr(self) -> str:
        """What it wrote to standard error so far."""
        return (self.directory.parent / f"{self.directory.name}.stderr").read_text()

    def stop(self, signum: int = signal.SIGINT) -> int:
        """End it; returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        code = self.process.wait(WAIT)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    @contextlib.contextmanager
    def running(self, *more: str) -> Iterator["Gate"]:
        """Start it, and end it with the block."""
        self.start(*more)
        try:
            yield self
        finally:
            if self.process is not None and self.process.poll() is None:
                self.stop()

    def command(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line against it; whatever it answers."""
        return subprocess.run(
            self.arguments(*command),
            capture_output=True,
            text=True,
            env=self.env,
            timeout=WAIT * 2,
            check=False,
        )

    def cli(self, *command: str) -> Any:
        """Run a command with `--json`; its value. It must succeed."""
        done = self.command("--json", *command)
        assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def api(self, method: str, path: str, body: Any = None, *, local: bool = False) -> Any:
        """Ask the admin API over the public port, as the owner; or on the machine, as operator."""
        status, told = self.ask(method, path, body, local=local)
        assert status < 300, (method, path, status, told)
        return told

    def ask(
        self, method: str, path: str, body: Any = None, *, local: bool = False
    ) -> tuple[int, Any]:
        """The same, whatever the status is."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        if local:
            link.sock = _connect_unix_socket(self.directory / "run" / "admin.sock", WAIT)
        try:
            sent = None if body is None else json.dumps(body).encode()
            link.request(method, f"/api/v1{path}", sent, headers)
            response = link.getresponse()
            told = response.read()
            return response.status, json.loads(told) if told else None
        finally:
            link.close()

    def client(self, token: str, path: str = "/k/main/mcp") -> Client:
        """A client with this token."""
        return Client(self.port, token, path)

    def member(self, email: str, *grants: str) -> str:
        """Add a member with a grant on each of these servers; returns a token."""
        self.cli("member", "add", email)
        for server in grants:
            self.cli("grant", "add", "--member", email, "--server", server, "--level", "all")
        return self.cli("token", "create", "--member", email)["token"]

    def upstream(self, alias: str, url: str) -> None:
        """Register and approve a server."""
        self.cli("server", "add", alias, "--url", url, "--allow-private")
        self.cli("server", "approve", alias, "--yes")
