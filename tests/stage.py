"""One gate for many tests: workspaces of their own on it, members, and servers that are scripted.

A test module takes a `Place` (a workspace with its own log) from the shared gate and reads what its
requests left there. Servers run in a thread of the test's own process, so a test scripts them in
Python and looks at what they received.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gate import MODERN, WAIT, Answer, Client, Gate
from tests.leaves import leaves_of
from tests.upstreams.http_upstream import HttpUpstream
from tests.wire import Wire, until

LIMITS = (
    "audit.sequence_ms=50",
    "limits.body_bytes=65536",
    "limits.header_bytes=8192",
    "limits.result_bytes=262144",
    "limits.call_seconds=1",
    "limits.page_size=3",
    "limits.streams_per_principal=3",
    "limits.denials_per_second=1000",  # many tests share a member; the rate has tests of its own
    "limits.answers_per_second=1000",
    "listen.allowed_hosts=gate.example.test",
    "listen.allowed_origins=https://page.example.test",
)
"""Small, so that each limit can be reached in a moment.

Not the one of an idle connection: a test on a busy machine is idle for longer than a moment.
"""


class Servers:
    """Scripted servers, each on a port of its own, on an event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._open: list[HttpUpstream] = []

    def open(self, upstream: HttpUpstream) -> HttpUpstream:
        """Start a server."""
        self.wait(upstream.start())
        self._open.append(upstream)
        return upstream

    def stop(self, upstream: HttpUpstream) -> None:
        """Kill a server with every connection that it has."""
        self._open.remove(upstream)
        self.wait(_killed(upstream))

    def wait(self, work: Awaitable[Any]) -> Any:
        """Run something on the servers' loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(_as_coroutine(work), self.loop).result(WAIT)

    def tell(self, upstream: HttpUpstream, method: str) -> None:
        """Have a server send a notification to whoever listens."""
        self._to_all(upstream, {"jsonrpc": "2.0", "method": method})

    def say(self, upstream: HttpUpstream, method: str, **params: Any) -> None:
        """Have it send one with these params."""
        self._to_all(upstream, {"jsonrpc": "2.0", "method": method, "params": params})

    def _to_all(self, upstream: HttpUpstream, told: dict[str, Any]) -> None:
        """Who listens is looked up on the servers' loop: a stream may be replaced meanwhile."""

        def tell() -> None:
            for talk in upstream.listening:
                talk.event(told)

        self.loop.call_soon_threadsafe(tell)

    def close(self) -> None:
        """End every server and the thread."""
        for upstream in list(self._open):
            self.stop(upstream)
        self.wait(_cancelled())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT)
        self.loop.close()


async def _as_coroutine(work: Awaitable[Any]) -> Any:
    return await work


async def _killed(upstream: HttpUpstream) -> None:
    assert upstream.server is not None
    upstream.server.close()
    for writer in list(upstream.open):
        writer.transport.abort()


async def _cancelled() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Place:
    """A workspace: its members, servers, rules and log."""

    def __init__(self, gate: Gate, slug: str, token: str) -> None:
        self.gate = gate
        self.slug = slug
        self.token = token
        self.id = self.api("GET", "/")["id"]

    @property
    def path(self) -> str:
        """The path of its endpoint."""
        return f"/k/{self.slug}/mcp"

    def api(self, verb: str, path: str, body: Any = None) -> Any:
        """Ask the admin API, as this workspace's owner; `path` is below the workspace.

        A server that is a process is described by the operator on the machine.
        """
        mine, self.gate.token = self.gate.token, self.token
        try:
            local = isinstance(body, dict) and body.get("transport", {}).get("type") == "stdio"
            return self.gate.api(verb, f"/workspaces/{self.slug}{path}", body, local=local)
        finally:
            self.gate.token = mine

    def serve(self, alias: str, url: str, **more: Any) -> None:
        """Register a server, perhaps with an era or what is hidden, and approve its offer."""
        transport = {"type": "http", "url": url, "allow_private": True}
        self._stand(alias, transport, more)

    def spawn(self, alias: str, *command: str, **more: Any) -> None:
        """Register a stdio server in the same way."""
        transport = {"type": "stdio", "command": list(command), "run_as": "gateway"}
        self._stand(alias, transport, more)

    def _stand(self, alias: str, transport: dict[str, Any], more: dict[str, Any]) -> None:
        self.api("POST", "/servers", {"alias": alias, "transport": transport, **more})
        self.approve(alias)

    def approve(self, alias: str) -> dict[str, Any]:
        """Look at a server and approve all that it has; what the look said."""
        seen: dict[str, Any] = self.api("POST", f"/servers/{alias}/observe", {})
        self.api("POST", f"/servers/{alias}/approve", all_of(seen))
        return seen

    def review(self, alias: str, tool: str, **found: Any) -> None:
        """Say what a tool was found to do, as it stands now."""
        seen = self.api("GET", f"/servers/{alias}/tools/show?tool={tool}")["tool"]
        finding = {"digest": seen["digest"], **found}
        self.api("POST", f"/servers/{alias}/tools/review", {"tools": {tool: finding}})

    def looked_at(self, *aliases: str) -> None:
        """Wait until it is known which tools these servers add for clients that declare."""
        for alias in aliases:

            def told() -> str:
                return str(self.api("GET", f"/servers/{alias}/health")["detail"])  # noqa: B023

            until(lambda: "Offered only to clients" in told(), why=f"{alias} is looked at")

    def admit(self, name: str, **grants: str) -> str:
        """Let a member in, with a level for each of these servers; returns a token of theirs."""
        email = f"{name}@example.test"
        self.api("POST", "/members", {"email": email})
        for server, level in grants.items():
            self.grant(member=email, server=server, level=level)
        return self.token_for(member=email)

    def token_for(self, **who: str) -> str:
        """A token for a member or an agent, known to the gate."""
        token = str(self.api("POST", "/tokens", who)["token"])
        until(lambda: self.client(token).request("tools/list", {}).status == 200)
        return token

    def grant(self, **wanted: Any) -> str:
        """Grant something; the grant's id."""
        return str(self.api("POST", "/grants", wanted)["id"])

    def client(self, token: str, alias: str = "") -> Client:
        """A modern client; with `alias`, at the endpoint of one server."""
        return self.gate.client(token, self._path(alias))

    def legacy(self, token: str, alias: str = "") -> "Legacy":
        """A client with a legacy session."""
        return Legacy(self.gate.port, token, self._path(alias))

    def _path(self, alias: str) -> str:
        return f"/k/{self.slug}/s/{alias}/mcp" if alias else self.path

    def leaves(self) -> list[dict[str, Any]]:
        """Every record of this workspace so far."""
        self.api("GET", "/audit/tail?limit=1&who=false")  # moves the journal into the logs
        return leaves_of(self.gate.directory, f"calls:{self.id}")

    def since(self, before: int) -> list[dict[str, Any]]:
        """The records of single requests, from that many on; servers come and go meanwhile."""
        others = ("auth.failed", "log.opened", "instance.", "egress.")
        return [leaf for leaf in self.leaves()[before:] if not leaf["t"].startswith(others)]


class Legacy(Client):
    """A client of 2025-11-25 with a session."""

    def __init__(self, port: int, token: str, path: str) -> None:
        super().__init__(port, token, path)
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "legacy", "version": "1"},
        }
        self.session = ""
        answer = self.request("initialize", hello)
        self.opened = answer.json["result"]
        self.session = answer.headers["mcp-session-id"]

    def request(self, method: str, params: dict[str, Any], **headers: str) -> Answer:
        """Send a request of the session."""
        self._ids += 1
        message = {"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params}
        return self.say(message, **headers)

    def say(self, message: dict[str, Any], **headers: str) -> Answer:
        """Send any message of the session."""
        mine = {"mcp-session-id": self.session} if self.session else {}
        return self.post(str.encode(_json(message)), {**mine, **headers})


def all_of(seen: dict[str, Any]) -> dict[str, Any]:
    """The approval of everything that a look at a server has shown."""
    return {
        "description": seen["digest"],
        "tools": {tool["name"]: tool["digest"] for tool in seen["tools"]},
        "instructions": seen["instructions"]["digest"],
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def modern(method: str, number: Any = 1, **params: Any) -> bytes:
    """The body of a modern request."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        **params.pop("_meta", {}),
    }
    params = {**params, "_meta": meta}
    return _json({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def mirrored(method: str, name: str = "") -> dict[str, str]:
    """The headers that must say what a modern body says."""
    named = {"Mcp-Name": name} if name else {}
    return {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, **named}


def raw_post(path: str, body: bytes, headers: dict[str, str], *more: bytes) -> bytes:
    """A POST down to its bytes; `more` are lines of the head as they are."""
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"Host: 127.0.0.1"]
    lines += [f"{k}: {v}".encode() for k, v in headers.items()]
    lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Stage:
    """The shared gate and its servers."""

    def __init__(self, directory: Path, *more: str) -> None:
        self.gate = Gate(directory, *LIMITS, *more).prepared()
        self.servers = Servers()
        self._asked: Counter[str] = Counter()

    def place(self, slug: str) -> Place:
        """A new workspace on the gate; a module whose tests are spread asks for it again."""
        self._asked[slug] += 1
        if self._asked[slug] > 1:
            slug = f"{slug}-{self._asked[slug]}"
        owner = f"owner@{slug}.example.test"
        made = self.gate.api("POST", "/workspaces", {"slug": slug, "owner": owner}, local=True)
        return Place(self.gate, slug, made["token"])

    def wire(self) -> Wire:
        """A connection to the gate."""
        return Wire(self.gate.port)

    def unrouted(self) -> list[dict[str, Any]]:
        """The records of requests that reached no workspace."""
        self.gate.api("GET", "/workspaces/main/audit/tail?limit=1&who=false")
        return leaves_of(self.gate.directory, "unrouted")


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The gate that the endpoint's tests share."""
    shared = Stage(tmp_path_factory.mktemp("stage") / "gate")
    try:
        with shared.gate.running():
            yield shared
    finally:
        shared.servers.close()
