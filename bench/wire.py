"""What a call looks like on the wire, in both eras, and a small client for everything unhurried."""

import http.client
import json
import re
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from msgspec import Struct, field

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = "io.modelcontextprotocol"
ACCEPT = "application/json, text/event-stream"


class Door(Struct, frozen=True):
    """How a target is spoken to."""

    port: int
    path: str = "/mcp"
    tool: str = "echo"
    token: str | None = None
    era: str = "modern"


class Shape(Struct, frozen=True):
    """One kind of request: what the load generator sends again and again, id apart."""

    port: int
    path: str
    body: str  # with @ID@ where the JSON-RPC id stands
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An answer that is not the one that was asked for; the text is what came."""


def _headers(door: Door, method: str, name: str | None) -> dict[str, str]:
    headers = {} if door.token is None else {"Authorization": f"Bearer {door.token}"}
    if door.era == "modern":
        headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        if name is not None:
            headers["Mcp-Name"] = name
    return headers


def _body(door: Door, method: str, params: dict[str, Any], *, notification: bool = False) -> str:
    if door.era == "modern":
        params = params | {
            "_meta": {f"{META}/protocolVersion": MODERN, f"{META}/clientCapabilities": {}}
        }
    message = {"jsonrpc": "2.0"} | ({} if notification else {"id": "@ID@"})
    text = json.dumps(message | {"method": method, "params": params}, separators=(",", ":"))
    return text.replace('"@ID@"', "@ID@")


def call_shape(door: Door) -> Shape:
    """Give the call that is measured; a legacy one opens its session here."""
    params = {"name": door.tool, "arguments": {"text": "hello"}}
    session = open_session(door) if door.era == "legacy" else {}
    headers = _headers(door, "tools/call", door.tool) | session
    return Shape(door.port, door.path, _body(door, "tools/call", params), headers)


def listen_shape(door: Door) -> Shape:
    """Give a modern listen request: a stream that stays open and says next to nothing."""
    params = {"notifications": {"toolsListChanged": True}}
    method = "subscriptions/listen"
    return Shape(door.port, door.path, _body(door, method, params), _headers(door, method, None))


def open_session(door: Door) -> dict[str, str]:
    """Open a legacy session and give the headers that its calls bear."""
    hello = {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    headers = _headers(door, "initialize", None)
    first = Shape(door.port, door.path, _body(door, "initialize", hello), headers)
    answer, given = ask(first)
    if "result" not in answer:
        raise Refused(f"initialize: {answer}")
    session = {"MCP-Protocol-Version": LEGACY}
    if given.get("Mcp-Session-Id"):
        session["Mcp-Session-Id"] = given["Mcp-Session-Id"]
    done = _body(door, "notifications/initialized", {}, notification=True)
    ask(Shape(door.port, door.path, done, headers | session))
    return session


def ask(shape: Shape, number: int = 1, seconds: float = 30) -> tuple[Any, Any]:
    """Send one request and give its JSON answer (empty for a 202) with the answer's headers."""
    connection = http.client.HTTPConnection("127.0.0.1", shape.port, timeout=seconds)
    try:
        body = shape.body.replace("@ID@", str(number))
        headers = {"Content-Type": "application/json", "Accept": ACCEPT, **shape.headers}
        connection.request("POST", shape.path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status not in {200, 202}:
        raise Refused(f"{answer.status}: {text[:300]}")
    if (answer.getheader("Content-Type") or "").startswith("text/event-stream"):
        events = re.findall(r"^data: ?(\{.*)$", text, re.MULTILINE)
        text = next((e for e in events if "result" in e or "error" in e), "")
    return (json.loads(text) if text else {}), answer.headers


def good_call(shape: Shape) -> None:
    """Make one call and hold its answer against what was asked.

    Raises Refused for a wrong one, OSError when nobody answers.
    """
    answer, _ = ask(shape, number=4711)
    result = answer.get("result")
    if answer.get("id") != 4711 or not result or result.get("isError"):
        raise Refused(f"{answer}"[:300])


def hold_streams(shape: Shape, count: int, stack: ExitStack) -> list[socket.socket]:
    """Open streams that stay; each has sent its first bytes with status 200 when this returns."""
    streams = []
    for number in range(count):
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", shape.port), 10))
        body = shape.body.replace("@ID@", str(number + 1))
        headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Accept": ACCEPT}
        headers |= {**shape.headers, "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        stream.sendall(f"POST {shape.path} HTTP/1.1\r\n{head}\r\n{body}".encode())
        streams.append(stream)
    for stream in streams:
        first = stream.recv(4096)
        if not first.startswith(b"HTTP/1.1 200"):
            raise Refused(first[:300].decode(errors="replace"))
    return streams
