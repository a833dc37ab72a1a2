"""How the people of the demo's history reach their gate: over its sockets, like any client."""

import asyncio
import http.client
import socket
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gatelodge.core.errors import Conflict

_VERSION = "2026-07-28"
_SECONDS = 30.0
_API = "/api/v1/workspaces/main"
_REFUSED = 400
_JSON = {"content-type": "application/json", "accept": "application/json"}


class _LocalLink(http.client.HTTPConnection):
    """A connection to the local socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Reach the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))


class DemoVisitor:
    """Somebody at the gate: with a token, or (without one) the operator on its machine.

    One connection, kept; blocking, so it works in a thread.
    """

    def __init__(self, address: str, local: Path, token: str = "") -> None:
        host = address.removeprefix("http://")
        self._headers = dict(_JSON)
        if token:
            self._headers["authorization"] = f"Bearer {token}"
            self._link: http.client.HTTPConnection = http.client.HTTPConnection(
                host, timeout=_SECONDS
            )
        else:
            self._link = _LocalLink(local)

    async def change(self, path: str, /, **body: Any) -> Any:
        """Ask the admin API for a change; what it answers. Raises Conflict when it refuses."""
        return await self._ask("POST", _API + path, body)

    async def read(self, path: str) -> Any:
        """Ask the admin API for something."""
        return await self._ask("GET", _API + path)

    async def end(self, path: str) -> Any:
        """Ask the admin API to take something away."""
        return await self._ask("DELETE", _API + path)

    async def call(self, tool: str, **arguments: Any) -> int:
        """Call a tool at the endpoint; the status of the answer, whatever it is."""
        status, _ = await self._send("tools/call", {"name": tool, "arguments": arguments}, tool)
        return status

    async def look(self) -> int:
        """List the tools, as a client does when it connects."""
        status, _ = await self._send("tools/list", {})
        return status

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await asyncio.to_thread(
            self._exchange, method, path, self._headers, b"" if body is None else _json(body)
        )
        if status >= _REFUSED:
            text = f"the demo's history stopped at {method} {path}: {answer.decode()[:300]}"
            raise Conflict(text, remedy="Start without --demo, in another data directory.")
        return msgspec.json.decode(answer) if answer else None

    async def _send(self, method: str, params: dict[str, Any], name: str = "") -> tuple[int, bytes]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": _VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "demo", "version": "1"},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        told = {"MCP-Protocol-Version": _VERSION, "Mcp-Method": method}
        if name:
            told["Mcp-Name"] = name
        headers = {**self._headers, **told}
        send = partial(self._exchange, "POST", "/k/main/mcp", headers, _json(body))
        return await asyncio.to_thread(send)

    def _exchange(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        self._link.request(method, path, body, headers)
        answer = self._link.getresponse()
        return answer.status, answer.read()


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
