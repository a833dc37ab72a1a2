"""Ways in which a scripted server answers one tool's calls, well and badly; `acting()` has all.

Each is a function for `HttpUpstream.tools`, called with the one request that it answers.
"""

import asyncio
import contextlib
import json
import threading

from tests.upstreams.http_upstream import HttpUpstream, Talk


class Acting(HttpUpstream):
    """A server with a tool for each act; `left` names the tools whose caller hung up on them."""

    def __init__(self, **given) -> None:
        super().__init__(**given)
        self.left: list[str] = []
        self.released = threading.Event()
        """Set by the test: the tool `wait` answers then."""
        self.tools = {
            "hang": self.hang,
            "wait": self.wait,
            "open": self.open_and_hang,
            "fail": fail,
            "refuse": refuse,
            "steps": steps,
            "cut": cut,
            "cut_stream": cut_stream,
            "garbage": garbage,
            "no_json": no_json,
            "wrong_id": wrong_id,
            "wrong_id_stream": wrong_id_stream,
            "no_result": lambda talk: talk.answer("200 OK", {"jsonrpc": "2.0", "id": _id(talk)}),
            "list": lambda talk: talk.result([1]),
            "asks": lambda talk: talk.result({"resultType": "input_required", "inputRequests": {}}),
            "five_hundred": lambda talk: talk.answer("500 Oh", b"secret words", Content_Type="a/b"),
            "elsewhere": lambda talk: talk.answer("307 Go", b"", Location="http://127.0.0.1:1/mcp"),
            "accepted": lambda talk: talk.answer("202 Accepted", b""),
            "packed": lambda talk: talk.result({}, Content_Encoding="gzip"),
            "large": lambda talk: talk.result(text("x" * 300_000)),
            "large_stream": large_stream,
        }
        names = ("echo", *self.tools)
        self.definitions = [{"name": n, "inputSchema": {"type": "object"}} for n in names]

    async def hang(self, talk: Talk) -> None:
        """Answer nothing until the caller hangs up."""
        await self._until_left(talk)

    async def wait(self, talk: Talk) -> None:
        """Answer once the test says so."""
        while not self.released.is_set():  # noqa: ASYNC110 - set from the test's own thread
            await asyncio.sleep(0.01)
        talk.result(text("released"))

    async def open_and_hang(self, talk: Talk) -> None:
        """Say that there is progress, and no more."""
        talk.stream()
        talk.event(_progress(talk, 1))
        await self._until_left(talk)

    async def _until_left(self, talk: Talk) -> None:
        with contextlib.suppress(ConnectionError):
            await talk.writer._reader.read(1)
        self.left.append(talk.seen.message["params"]["name"])
        talk.close()

    @property
    def executed(self) -> list[str]:
        """The tools that were called, in order."""
        return [seen.message["params"]["name"] for seen in self.of("tools/call")]


def text(words: str) -> dict:
    """A tool result that says this."""
    return {"content": [{"type": "text", "text": words}]}


def fail(talk: Talk) -> None:
    talk.result({**text("it does not work"), "isError": True})


def refuse(talk: Talk) -> None:
    error = {"code": -32055, "message": "not today", "data": {"n": 12345678901234567890123}}
    talk.answer("200 OK", {"jsonrpc": "2.0", "id": _id(talk), "error": error})


def steps(talk: Talk) -> None:
    """Progress, somebody else's progress, a log line, then the result."""
    talk.stream()
    talk.event(_progress(talk, 1))
    talk.event(_told("notifications/progress", progressToken="of another call", progress=9))
    talk.event(_told("notifications/message", level="info", data="words"))
    talk.event(_progress(talk, 2))
    talk.event({"jsonrpc": "2.0", "id": _id(talk), "result": text("done")})
    talk.end()


def cut(talk: Talk) -> None:
    talk.write("HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 100\n\n", b"{")
    talk.close()


def cut_stream(talk: Talk) -> None:
    talk.stream()
    talk.event(_progress(talk, 1))
    talk.close()


def garbage(talk: Talk) -> None:
    talk.write("\0\1\2 this is no HTTP\n\n")
    talk.close()


def no_json(talk: Talk) -> None:
    talk.answer("200 OK", b"<html>secret words</html>")


def wrong_id(talk: Talk) -> None:
    talk.answer("200 OK", {"jsonrpc": "2.0", "id": 987654, "result": text("of another")})


def wrong_id_stream(talk: Talk) -> None:
    talk.stream()
    talk.event({"jsonrpc": "2.0", "id": 987654, "result": text("of another")})
    talk.end()


async def large_stream(talk: Talk) -> None:
    """100 MB in one event, as fast as they are taken."""
    talk.stream()
    head = json.dumps({"jsonrpc": "2.0", "id": _id(talk), "result": {"content": "x"}})
    talk.chunk(f"data: {head[:-3]}")
    for _ in range(1600):
        talk.chunk(b"x" * 65536)
        await talk.writer.drain()
        await asyncio.sleep(0)


def _id(talk: Talk):
    return talk.seen.message["id"]


def _progress(talk: Talk, step: int) -> dict:
    token = talk.seen.message["params"].get("_meta", {}).get("progressToken")
    return _told("notifications/progress", progressToken=token, progress=step)


def _told(method: str, **params) -> dict:
    return {"jsonrpc": "2.0", "method": method, "params": params}
