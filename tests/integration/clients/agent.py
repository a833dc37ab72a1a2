"""An agent's client on the wire: the headers that it always sends, and one connection at a time."""

import http.client
import json
from typing import Any, Self

from tests.gate import WAIT, Answer
from tests.integration.clients.conftest import House
from tests.wire import Wire

BOTH = "application/json, text/event-stream"


class Agent:
    """What one client sends to the gate; `always` are the headers of each of its requests."""

    def __init__(self, house: House, token: str, path: str = "/k/main/mcp", **always: str) -> None:
        self.port = house.gate.port
        self.path = path
        self.always = {"authorization": f"Bearer {token}", **_headers(always)}
        self.session: dict[str, str] = {}
        self._link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def post(self, message: dict[str, Any], **more: str) -> Answer:
        """Send a message over the connection that stays open."""
        headers = {"content-type": "application/json", "accept": BOTH, **_headers(more)}
        return self.send("POST", self.path, headers, json.dumps(message).encode())

    def send(self, verb: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Send any request; redirects are not followed."""
        everything = {**self.always, **self.session, **headers}
        self._link.request(verb, path, body or None, everything)
        got = self._link.getresponse()
        return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())

    def stranger(self, path: str) -> Answer:
        """GET as somebody without a token."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            link.request("GET", path, headers={"accept": "application/json"})
            got = link.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            link.close()

    def initialize(self, revision: str, **hello: Any) -> dict[str, Any]:
        """Open a legacy session and keep its id; the result."""
        params = {"protocolVersion": revision, "capabilities": {}, **hello}
        given = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert given.status == 200, given.body
        self.session = {"mcp-session-id": given.headers["mcp-session-id"]}
        return given.json["result"]

    def stream(self, **more: str) -> Wire:
        """Open the GET stream of the session, as far as its head."""
        headers = {"accept": "text/event-stream", **_headers(more)}
        return self._open("GET", headers, b"")

    def listen(self, message: dict[str, Any], **more: str) -> Wire:
        """Open a stream by POST, as far as its head."""
        headers = {"content-type": "application/json", "accept": BOTH, **_headers(more)}
        return self._open("POST", headers, json.dumps(message).encode())

    def _open(self, verb: str, headers: dict[str, str], body: bytes) -> Wire:
        sent = {"host": "127.0.0.1", **self.always, **self.session, **headers}
        if body:
            sent["content-length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        wire = Wire(self.port).send(f"{verb} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        opened = wire.head()
        assert opened.status == 200, opened.status
        assert opened.headers["content-type"] == "text/event-stream"
        return wire


def _headers(named: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in named.items()}


def walk(ask: Any) -> list[str]:
    """The tool names of all pages; `ask(params)` sends one tools/list."""
    found: list[str] = []
    params: dict[str, Any] = {}
    while True:
        answer = ask(params)
        assert answer.status == 200, answer.body
        result = answer.json["result"]
        found += [tool["name"] for tool in result["tools"]]
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}
