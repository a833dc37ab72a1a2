"""`server.py` behind HTTP, in the test's own process: a child of it for each session.

`via` says by which way a session hears what is not an answer: `post` (the stream of the newest
request), `get` (the session's own stream), or `sse` (HTTP with SSE, the transport of 2024-11-05).
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from tests.upstreams.http_upstream import HttpUpstream, Talk
from tests.upstreams.pools import ASKING, WAIT


@dataclass
class Session:
    """A child, and the streams on which it can be heard."""

    child: subprocess.Popen[bytes]
    said: asyncio.StreamReader
    down: Talk | None = None
    waiting: dict[Any, Talk] = field(default_factory=dict)

    def write(self, message: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.write(json.dumps(message).encode() + b"\n")

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()


@dataclass
class Relay(HttpUpstream):
    via: str = "post"
    endpoint: str = "/messages?session={}"
    sessions: dict[str, Session] = field(default_factory=dict)
    spawned: list[Session] = field(default_factory=list)
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    pipes: list[asyncio.BaseTransport] = field(default_factory=list)

    @property
    def url(self) -> str:
        path = "sse?key=1" if self.via == "sse" else "mcp?key=1"
        return f"http://{self.host}:{self.port}/{path}"

    async def stop(self) -> None:
        for session in self.spawned:
            session.kill()
        async with asyncio.timeout(WAIT):
            await asyncio.gather(*self.pumps)
        for pipe in self.pipes:
            pipe.close()
        await super().stop()

    def end(self, name: str) -> None:
        """Lose a session: its child goes, and so does its stream."""
        session = self.sessions.pop(name)
        session.kill()
        if session.down is not None:
            session.down.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await super()._serve(reader, writer)
        for name, session in list(self.sessions.items()):
            if self.via == "sse" and session.down and session.down.writer is writer:
                self.end(name)  # the stream is the session

    async def _answer(self, talk: Talk) -> None:
        seen = talk.seen
        if self.via == "sse":
            await self._answer_sse(talk)
        elif seen.verb == "POST" and seen.message.get("method") == "initialize":
            await self._begin(talk)
        elif seen.verb == "POST" and seen.message.get("method") == "server/discover":
            talk.answer("400 Bad Request", b"no session")
        elif (session := self.sessions.get(seen.header("Mcp-Session-Id") or "")) is None:
            talk.answer("404 Not Found", b"")
        elif seen.verb == "GET":
            session.down = talk
            talk.stream()
            talk.chunk(": hello\n\n")
        elif seen.verb == "DELETE":
            self.end(seen.header("Mcp-Session-Id") or "")
            talk.answer("200 OK", {})
        else:
            self._forward(session, talk)

    def _forward(self, session: Session, talk: Talk) -> None:
        message = talk.seen.message
        session.write(message)
        if "id" in message and "method" in message:
            session.waiting[message["id"]] = talk
            talk.stream()
        else:
            talk.write("HTTP/1.1 202 Accepted\nContent-Length: 0\n\n")

    async def _begin(self, talk: Talk) -> None:
        name, session = await self._spawn()
        session.write(talk.seen.message)
        line = await session.said.readline()
        talk.answer("200 OK", line, Mcp_Session_Id=name)
        self.pumps.append(asyncio.ensure_future(self._pump(session)))

    async def _spawn(self) -> tuple[str, Session]:
        pipe = subprocess.PIPE
        command = (sys.executable, ASKING, "legacy")
        # Not asyncio's own: uvloop leaves handles of a child that was killed.
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0)  # noqa: ASYNC220
        said = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        way, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(said), child.stdout
        )
        self.pipes.append(way)
        self.begun += 1
        name = f"session-{self.begun}"
        session = self.sessions[name] = Session(child, said)
        self.spawned.append(session)
        return name, session

    async def _pump(self, session: Session) -> None:
        """Whatever the child says goes to the stream it belongs to."""
        async for line in session.said:
            message = json.loads(line)
            session.waiting = {n: t for n, t in session.waiting.items() if t.writer in self.open}
            if self.via != "sse" and "method" not in message:
                talk = session.waiting.pop(message["id"], None)
                if talk is not None:
                    talk.event(message)
                    talk.end()
                continue
            waiting = list(session.waiting.values())
            way = waiting[-1] if self.via == "post" and waiting else session.down
            if way is not None and way.writer in self.open:
                way.event(message)
        for talk in (*session.waiting.values(), *([session.down] if session.down else [])):
            talk.close()
        self.sessions = {n: s for n, s in self.sessions.items() if s is not session}
        session.kill()
        session.child.stdin.close()

    async def _answer_sse(self, talk: Talk) -> None:
        seen = talk.seen
        if seen.verb == "GET" and seen.path.startswith("/sse"):
            name, session = await self._spawn()
            session.down = talk
            talk.stream()
            if self.endpoint:
                talk.chunk(f"event: endpoint\ndata: {self.endpoint.format(name)}\n\n")
            self.pumps.append(asyncio.ensure_future(self._pump(session)))
            return
        session_name = seen.path.partition("session=")[2]
        if seen.verb != "POST" or session_name not in self.sessions:
            talk.answer("404 Not Found", b"Cannot POST")
            return
        self.sessions[session_name].write(seen.message)
        talk.answer("202 Accepted", b"Accepted", Content_Type="text/plain")
