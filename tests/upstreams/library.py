"""A scripted server that offers everything, and asks back: `Library`, in one era or both.

Its tools are named for what they do. Each legacy client that shakes hands has a session of its own,
so that a test can see who was told what. `raw` is answered byte for byte where it is asked for.
"""

import asyncio
import contextlib
import json
import threading
from typing import Any

from tests.upstreams.http_upstream import HttpUpstream, Seen, Talk

TASKS = "io.modelcontextprotocol/tasks"
QUESTION = {
    "method": "elicitation/create",
    "params": {
        "message": "What is your name?",
        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
SAMPLE = {
    "method": "sampling/createMessage",
    "params": {"messages": [], "maxTokens": 1},
}
TOOLS = (
    "echo", "raw", "raw_stream", "ask", "ask_twice", "ask_forever", "ask_many", "sample", "leave",
    "hang", "open", "wait", "logs", "crossed", "task", "steps",
)  # fmt: skip


def tool(name: str, **more: Any) -> dict[str, Any]:
    """The definition of a tool that takes anything."""
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def text(words: str) -> dict[str, Any]:
    """A complete result that says this."""
    return {"resultType": "complete", "content": [{"type": "text", "text": words}]}


class Library(HttpUpstream):
    """Offers tools, prompts, resources, a template, completions, logs, tasks; see `TOOLS`."""

    def __init__(self, mark: str = "", **given: Any) -> None:
        """`mark` stands in all that it says but its instructions: an admin reviews those."""
        super().__init__(**given)
        self.mark = mark
        self.definitions = [tool(name) for name in TOOLS]
        self.prompts = [{"name": name} for name in ("plan", "review", "p", "q", "r")]
        self.resources = [{"uri": f"doc://{name}", "name": name} for name in "abcdefg"]
        if mark:
            self.prompts[0] |= {"description": mark, "arguments": [{"name": mark}]}
            self.resources.append({"uri": f"doc://{mark}", "name": mark, "title": mark})
        self.templates = [{"uriTemplate": f"{name}://{{x}}", "name": name} for name in "abcd"]
        self.raw = b"{}"
        self.streamed = False
        self.sessions: dict[str, Any] = {}
        self.told: list[Any] = []
        """What it was answered to its questions, in order."""
        self.left: list[str] = []
        """A word for each call that was taken back: by hanging up, or (legacy) in words."""
        self.question = QUESTION
        self.asks = 1
        self.released = threading.Event()
        self.streams: dict[str, Talk] = {}
        """The GET stream of each legacy session."""
        self.asked: dict[str, asyncio.Future[Any]] = {}
        self.tools = {
            "raw": self._raw,
            "raw_stream": self._raw_stream,
            "ask": self._ask,
            "ask_twice": self._ask,
            "ask_forever": self._ask,
            "ask_many": self._ask_many,
            "sample": self._ask,
            "leave": self._leave,
            "hang": self._hang,
            "open": self._open,
            "wait": self._wait,
            "logs": self._logs,
            "task": lambda talk: talk.result(self._task("working") | {"resultType": "task"}),
            "steps": self._steps,
            "crossed": self._crossed,
        }

    def is_modern(self, talk: Talk) -> bool:
        """Say whether this request is of the modern era."""
        return self.era != "legacy" and talk.seen.header("MCP-Protocol-Version") == "2026-07-28"

    def called(self, name: str) -> list[Seen]:
        """The calls of this tool."""
        return [seen for seen in self.of("tools/call") if seen.message["params"]["name"] == name]

    # handshakes and lists

    def _modern(self, talk: Talk, method: str) -> None:
        if method == "server/discover":
            can = {**self._can(), "extensions": {TASKS: {}}}
            said = {"supportedVersions": ["2026-07-28"], "capabilities": can}
            talk.result({**said, "instructions": "Be kind."})
        elif method == "subscriptions/listen":
            super()._modern(talk, method)
        else:
            self._tool(talk, method)

    def _legacy(self, talk: Talk, method: str) -> None:
        message = talk.seen.message
        if method == "initialize":
            session = f"session-{len(self.sessions)}"
            self.sessions[session] = message["params"]["capabilities"]
            said = {"protocolVersion": self.version, "capabilities": self._can()}
            named = {"serverInfo": {"name": "l"}, "instructions": "Be kind."}
            talk.result({**said, **named}, Mcp_Session_Id=session)
        elif method == "server/discover":
            talk.answer("400 Bad Request", b"Missing session")
        elif talk.seen.header("Mcp-Session-Id") not in self.sessions:
            talk.answer("404 Not Found", b"")
        elif not method or "id" not in message:
            self._heard(message)
            talk.write("HTTP/1.1 202 Accepted\nContent-Length: 0\n\n")
        else:
            self._tool(talk, method)

    def _can(self) -> dict[str, Any]:
        return {
            "tools": {"listChanged": True},
            "prompts": {"listChanged": True},
            "resources": {"listChanged": True, "subscribe": True},
            "completions": {},
            "logging": {},
        }

    def _listen(self, talk: Talk) -> None:
        session = talk.seen.header("Mcp-Session-Id") or ""
        if session not in self.sessions:
            talk.answer("404 Not Found", b"")
            return
        talk.stream()
        talk.chunk(": hello\n\n")
        self.listening.append(talk)
        self.streams[session] = talk

    def _tool(self, talk: Talk, method: str) -> None:
        params = talk.seen.message["params"]
        lists = {
            "prompts/list": {"prompts": self.prompts},
            "resources/list": {"resources": self.resources},
            "resources/templates/list": {"resourceTemplates": self.templates},
            "tools/list": {"tools": self.definitions},
        }
        if method in lists:
            talk.result(lists[method])
        elif method == "resources/read":
            said = {"uri": params["uri"], "text": params["uri"]}
            talk.result({"resultType": "complete", "contents": [said]})
        elif method == "prompts/get":
            said = {"role": "user", "content": {"type": "text", "text": params["name"]}}
            talk.result({"resultType": "complete", "messages": [said]})
        elif method == "completion/complete":
            values = [f"x{self.mark}"]
            talk.result({"resultType": "complete", "completion": {"values": values}})
        elif method in ("tasks/get", "tasks/update", "tasks/cancel"):
            talk.result(self._task("working") | {"resultType": "complete"})
        elif method in ("resources/subscribe", "resources/unsubscribe", "logging/setLevel"):
            talk.result({})
        elif method == "tools/call":
            said = json.dumps(params.get("arguments", {}))
            talk.result({**text(said), "_meta": params.get("_meta", {}).get("vendor/echo", {})})
        else:
            super()._tool(talk, method)

    def _task(self, status: str) -> dict[str, Any]:
        said = {"statusMessage": self.mark} if self.mark else {}
        return {
            "taskId": f"task-of-the-server{self.mark}",
            "status": status,
            "ttlMs": 60_000,
            **said,
        }

    # answers as they were given

    def verbatim(self, talk: Talk) -> None:
        """Answer `raw`, whatever was asked; on a stream when `streamed`."""
        body = b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (talk.seen.message["id"], self.raw)
        if not self.streamed:
            talk.answer("200 OK", body)
            return
        talk.stream()
        talk.chunk(b"".join(b"data: %b\n" % line for line in body.split(b"\n")) + b"\n")
        talk.end()

    def _raw(self, talk: Talk) -> None:
        self.verbatim(talk)

    def _raw_stream(self, talk: Talk) -> None:
        """Answer `raw` as an event, and keep the stream open."""
        talk.stream()
        talk.chunk(
            b'data: {"jsonrpc":"2.0","id":%d,"result":%b}\n\n' % (talk.seen.message["id"], self.raw)
        )

    # questions

    async def _ask(self, talk: Talk) -> None:
        """Ask `asks` times, or once, or for ever; answer with what was said."""
        name = talk.seen.message["params"].get("name", "")
        times = {"ask_twice": 2, "ask_forever": 1000}.get(name, self.asks)
        question = SAMPLE if name == "sample" else self.question
        if self.is_modern(talk):
            self._ask_anew(talk, question, times)
            return
        talk.stream()
        for _ in range(times):
            answer = await self._answer_to(talk, question)
            if talk.closed:
                return
            self.told.append(answer)
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": text("told")})
        talk.end()

    def _ask_anew(self, talk: Talk, question: dict[str, Any], times: int) -> None:
        params = talk.seen.message["params"]
        state = int(params.get("requestState", "0").partition(" ")[0])
        if "inputResponses" in params:
            self.told.append(params["inputResponses"])
        if state >= times:
            talk.result(text("told"))
            return
        asked = {"resultType": "input_required", "inputRequests": {"q": question}}
        talk.result({**asked, "requestState": f"{state + 1} {self.mark}".strip()})

    async def _answer_to(self, talk: Talk, question: dict[str, Any]) -> Any:
        """Put a question on the stream of the request; wait for the answer."""
        number = f"q-{len(self.asked)}"
        future = self.asked[number] = asyncio.get_running_loop().create_future()
        talk.event({"jsonrpc": "2.0", "id": number, **question})
        hung_up = asyncio.ensure_future(talk.writer._reader.read(1))
        await asyncio.wait((future, hung_up), return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if future.done():
            hung_up.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hung_up
            return future.result()
        self._goes(talk)
        return None

    async def _ask_many(self, talk: Talk) -> None:
        """Put one question and, when released, 99 more at once; answer when all were answered."""
        talk.stream()
        for number in range(100):
            key = f"m-{number}"
            self.asked[key] = asyncio.get_running_loop().create_future()
        for key in [*self.asked]:
            if not key.startswith("m-"):
                continue
            talk.event({"jsonrpc": "2.0", "id": key, **self.question})
            while not self.released.is_set():  # noqa: ASYNC110 - set from the test's own thread
                await asyncio.sleep(0.01)
        first = [self.asked[f"m-{number}"] for number in range(100)]
        await asyncio.wait(first, timeout=20)
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": text("told")})
        talk.end()

    async def expect(self, number: str) -> None:
        """Wait from now on for the answer to a question of this id."""
        self.asked[number] = asyncio.get_running_loop().create_future()

    def _heard(self, message: dict[str, Any]) -> None:
        """An answer to a question of ours, or a notification."""
        if message.get("method") == "notifications/cancelled":
            self.left.append("taken back")
        future = self.asked.get(str(message.get("id")))
        if future is not None and not future.done():
            future.set_result(message.get("result", message.get("error")))

    # running for long

    async def _hang(self, talk: Talk) -> None:
        """Answer nothing until the caller hangs up."""
        with contextlib.suppress(ConnectionError):
            await talk.writer._reader.read(1)
        self._goes(talk)

    async def _open(self, talk: Talk) -> None:
        """Say that there is progress; answer once the test says so, unless the caller hangs up."""
        token = talk.seen.message["params"].get("_meta", {}).get("progressToken")
        talk.stream()
        talk.event(_told("notifications/progress", progressToken=token, progress=1))
        hung_up = asyncio.ensure_future(talk.writer._reader.read(1))
        while not self.released.is_set() and not hung_up.done():  # noqa: ASYNC110 - as in wait
            await asyncio.sleep(0.01)
        if hung_up.done():
            self._goes(talk)
            return
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": text("released")})
        talk.end()
        hung_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hung_up

    async def _leave(self, talk: Talk) -> None:
        """Ask, and die."""
        talk.stream()
        talk.event({"jsonrpc": "2.0", "id": "q-leave", **self.question})
        await talk.writer.drain()
        talk.writer.transport.abort()
        talk.closed = True

    async def _wait(self, talk: Talk) -> None:
        """Answer once the test says so."""
        while not self.released.is_set():  # noqa: ASYNC110 - set from the test's own thread
            await asyncio.sleep(0.01)
        talk.result(text("released"))

    def _goes(self, talk: Talk) -> None:
        if self.is_modern(talk):
            self.left.append("hung up")
        talk.close()

    def _steps(self, talk: Talk) -> None:
        """Progress and a log message for whoever called, naming them; then the result."""
        params = talk.seen.message["params"]
        mark, token = params["arguments"]["mark"], params.get("_meta", {}).get("progressToken")
        talk.stream()
        talk.event(_told("notifications/progress", progressToken=token, progress=1, message=mark))
        talk.event(_told("notifications/message", level="error", data=mark))
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": text(mark)})
        talk.end()

    async def _crossed(self, talk: Talk) -> None:
        """Progress under every token that anybody may have, answers to everybody; then wait."""
        talk.stream()
        mark = talk.seen.message["params"]["arguments"]["mark"]
        for number in (n for n in range(1, 200) if n != talk.seen.message["id"]):
            talk.event(_told("notifications/progress", progressToken=number, progress=9))
            talk.event({"jsonrpc": "2.0", "id": number, "result": text(mark)})
            talk.event({"jsonrpc": "2.0", "id": number, "error": {"code": 1, "message": mark}})
        await talk.writer.drain()
        while not self.released.is_set():  # noqa: ASYNC110 - set from the test's own thread
            await asyncio.sleep(0.01)
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": text(mark)})
        talk.end()

    def _logs(self, talk: Talk) -> None:
        """A log message of every level on the stream of the call, then the result."""
        talk.stream()
        for level in ("debug", "info", "error", "fatal"):
            talk.event(_told("notifications/message", level=level, data=level))
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": text("logged")})
        talk.end()


def _told(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}
