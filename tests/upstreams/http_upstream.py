"""An MCP server over streamable HTTP in the test's own process, scripted and watched by the test.

`HttpUpstream` answers as its era does; a test puts a function into `tools` to answer one tool's
calls in its own way, down to the bytes on the socket. Every request is kept in `requests`.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request as it came."""

    verb: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} twice"
        return found[0] if found else None

    @property
    def message(self) -> Any:
        return json.loads(self.body)


@dataclass
class Talk:
    """One request being answered: `write` puts bytes on the socket."""

    seen: Seen
    writer: asyncio.StreamWriter
    closed: bool = False

    def write(self, head: str, body: bytes = b"") -> None:
        self.writer.write(head.replace("\n", "\r\n").encode() + body)

    def answer(self, status: str, value: Any, **headers: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        lines = "".join(f"{k.replace('_', '-')}: {v}\n" for k, v in headers.items())
        kind = "" if "Content_Type" in headers else "Content-Type: application/json\n"
        self.write(f"HTTP/1.1 {status}\n{kind}{lines}Content-Length: {len(body)}\n\n", body)

    def result(self, value: Any, **headers: str) -> None:
        number = self.seen.message["id"]
        self.answer("200 OK", {"jsonrpc": "2.0", "id": number, "result": value}, **headers)

    def stream(self) -> None:
        self.write(
            "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\n\n"
        )

    def chunk(self, text: str | bytes) -> None:
        raw = text if isinstance(text, bytes) else text.encode()
        self.writer.write(b"%x\r\n%b\r\n" % (len(raw), raw))

    def event(self, value: Any) -> None:
        self.chunk(f"event: message\ndata: {json.dumps(value)}\n\n")

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    def close(self) -> None:
        self.closed = True
        self.writer.close()


ECHO = {"name": "echo", "inputSchema": {"type": "object"}}
Tool = Callable[[Talk], Awaitable[None] | None]


@dataclass
class HttpUpstream:
    """`era` is modern, legacy or both; `session` is what a legacy server knows its clients by.

    With `many` each handshake gets a session of its own, which begins with it.
    """

    era: str = "both"
    session: str = "session-1"
    many: bool = False
    begun: int = 0
    version: str = "2025-11-25"
    tells: bool = True
    can: dict[str, Any] = field(default_factory=dict)
    stream: bool = True
    definitions: list[Any] = field(default_factory=lambda: [dict(ECHO)])
    tools: dict[str, Tool] = field(default_factory=dict)
    methods: dict[str, Tool] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    listening: list[Talk] = field(default_factory=list)
    host: str = "127.0.0.1"
    port: int = 0
    server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/mcp?key=1"

    async def start(self, tls: ssl.SSLContext | None = None) -> "HttpUpstream":
        self.server = await asyncio.start_server(self._serve, self.host, self.port, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in list(self.open):
            writer.close()
        await self.server.wait_closed()

    def knows(self, seen: Seen) -> bool:
        """True when the request is of a session that is not lost."""
        named = seen.header("Mcp-Session-Id") or ""
        return named == self.session or (self.many and named.startswith(f"{self.session}/"))

    def answer_to(self, question: Any) -> Any:
        """The response that came to a question of the server, None until it comes."""
        posts = [r.message for r in self.requests if r.verb == "POST"]
        return next((m for m in posts if m.get("id") == question and "method" not in m), None)

    def of(self, method: str) -> list[Seen]:
        return [r for r in self.requests if r.verb == "POST" and r.message.get("method") == method]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self.open.add(writer)
        try:
            while (seen := await _read(reader, number)) is not None:
                self.requests.append(seen)
                talk = Talk(seen, writer)
                await self._answer(talk)
                if talk.closed:
                    return
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _answer(self, talk: Talk) -> None:
        seen = talk.seen
        if seen.verb == "GET":
            self.methods.get("GET", self._listen)(talk)
            return
        if seen.verb == "DELETE":
            scripted = self.methods.get("DELETE")
            waiting = None if scripted is None else scripted(talk)
            if waiting is not None:
                await waiting
            talk.answer("200 OK", {})
            return
        message = seen.message
        method = message.get("method", "")
        modern = seen.header("MCP-Protocol-Version") == "2026-07-28"
        scripted = self.methods.get(method)
        if scripted is None and method == "tools/call":
            scripted = self.tools.get(message["params"]["name"])
        if scripted is not None:
            waiting = scripted(talk)
            if waiting is not None:
                await waiting
        elif modern and self.era != "legacy":
            self._modern(talk, method)
        elif self.era != "modern":
            self._legacy(talk, method)
        else:
            error = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}}
            number = message.get("id")
            talk.answer("400 Bad Request", {"jsonrpc": "2.0", "id": number, "error": error})

    def _modern(self, talk: Talk, method: str) -> None:
        assert talk.seen.header("Mcp-Method") == method
        if method == "server/discover":
            can = {"tools": {"listChanged": self.tells}, **self.can}
            talk.result(
                {"supportedVersions": ["2026-07-28"], "capabilities": can, "instructions": "M"}
            )
        elif method == "subscriptions/listen":
            talk.stream()
            talk.event({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"})
            self.listening.append(talk)
        else:
            self._tool(talk, method)

    def _legacy(self, talk: Talk, method: str) -> None:
        message = talk.seen.message
        if method == "initialize":
            can = {"tools": {"listChanged": self.tells}, **self.can}
            answer = {"protocolVersion": self.version, "capabilities": can, "instructions": "L"}
            self.begun += 1
            session = f"{self.session}/{self.begun}" if self.many else self.session
            talk.result(answer, **({"Mcp_Session_Id": session} if self.session else {}))
        elif method == "server/discover":
            talk.answer("400 Bad Request", b"Missing session")
        elif not self.knows(talk.seen):
            talk.answer("404 Not Found", b"")
        elif "id" not in message or "method" not in message:
            talk.write("HTTP/1.1 202 Accepted\nContent-Length: 0\n\n")
        else:
            self._tool(talk, method)

    def _tool(self, talk: Talk, method: str) -> None:
        message = talk.seen.message
        if method == "tools/list":
            talk.result({"tools": self.definitions})
        elif method == "tools/call":
            text = json.dumps(message["params"].get("arguments", {}))
            talk.result({"content": [{"type": "text", "text": text}]})
        else:
            error = {"code": -32601, "message": "Method not found"}
            talk.answer("404 Not Found", {"jsonrpc": "2.0", "id": message["id"], "error": error})

    def _listen(self, talk: Talk) -> None:
        if not self.stream:
            talk.answer("405 Method Not Allowed", b"")
            return
        if not self.knows(talk.seen):
            talk.answer("404 Not Found", b"")
            return
        talk.stream()
        talk.chunk(": hello\n\n")
        self.listening.append(talk)


async def _read(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    verb, path, _ = first.split(" ")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    seen = Seen(verb, path, headers, b"", connection)
    seen.body = await reader.readexactly(int(seen.header("Content-Length") or 0))
    return seen
