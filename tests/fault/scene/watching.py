"""Clients that note when something ended: streams, calls and probes, each on a socket of its own.

Times are of the wall clock, in seconds, so that they compare with what receipts say.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable

from tests.gate import MODERN

WAIT = 20.0
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def _request(token, method, params):
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
    body = json.dumps(message).encode()
    lines = [
        "POST /k/main/mcp HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {token}",
        "content-type: application/json",
        "accept: application/json, text/event-stream",
        f"content-length: {len(body)}",
        f"mcp-protocol-version: {MODERN}",
        f"mcp-method: {method}",
    ]
    if "name" in params:
        lines.append(f"mcp-name: {params['name']}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _answer(reader):
    """Status and body of one answer that says how long it is."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(
        int(line[15:])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    return int(head[9:12]), await reader.readexactly(size)


class Stream:
    """An open listen stream. `ended_at` is 0 while it is open."""

    def __init__(self):
        self.ended_at = 0.0
        self.read = b""

    @classmethod
    async def open(cls, port, token):
        stream = cls()
        reader, stream.writer = await asyncio.open_connection("127.0.0.1", port)
        wanted = {"notifications": {"toolsListChanged": True}}
        stream.writer.write(_request(token, "subscriptions/listen", wanted))
        while b"acknowledged" not in stream.read:
            stream.read += await asyncio.wait_for(reader.read(65536), WAIT)
        stream.task = asyncio.create_task(stream._listen(reader))
        return stream

    async def _listen(self, reader):
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(65536):
                self.read += some
        self.ended_at = time.time()
        self.writer.close()

    async def close(self):
        self.task.cancel()
        self.writer.close()


class Running:
    """A call that takes long, -1 = without end. `ended_at` is 0 until it is over."""

    def __init__(self, port, token, tool, seconds=-1.0):
        self.ended_at = 0.0
        self.answer = (0, b"")
        self.task = asyncio.create_task(self._call(port, token, tool, seconds))

    async def _call(self, port, token, tool, seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        params = {"name": tool, "arguments": {"for": seconds}}
        writer.write(_request(token, "tools/call", params))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.answer = await _answer(reader)
        self.ended_at = time.time()
        writer.close()


class Probe:
    """Asks again and again over one connection, and notes when it was refused first.

    `admitted_at` is when the last admitted request was sent, `refused_at` when the first refusal
    came, `again` how many were admitted after a refusal.
    """

    def __init__(self, port, token, *, tool="", pause=0.005, takes=0.0):
        self.port, self.token, self.pause = port, token, pause
        self.method = "tools/call" if tool else "tools/list"
        self.params = {"name": tool, "arguments": {"for": takes}} if tool else {}
        self.admitted_at = self.refused_at = 0.0
        self.statuses = []
        self.admitted = self.refused = self.again = 0
        self.longest = 0.0
        self.task = asyncio.create_task(self._ask())

    async def _ask(self):
        while True:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    await self._over(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(self.pause)

    async def _over(self, reader, writer):
        while True:
            sent = time.time()
            writer.write(_request(self.token, self.method, self.params))
            status, body = await _answer(reader)
            came = time.time()
            self.longest = max(self.longest, came - sent)
            if status == 200 and b'"error"' not in body[:40]:
                self.admitted += 1
                self.again += bool(self.refused_at)
                self.admitted_at = sent
            else:
                self.refused += 1
                self.statuses.append(status)
                self.refused_at = self.refused_at or came
            await asyncio.sleep(self.pause)

    def forget(self):
        """Begin to note anew."""
        self.refused_at = self.longest = 0.0
        self.admitted = self.refused = self.again = 0
        self.statuses = []

    async def close(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def until(true: Callable[[], object], what: str, wait: float = WAIT) -> None:
    """Poll until it is true, for a bounded time."""
    ends = time.monotonic() + wait
    while not true():
        assert time.monotonic() < ends, what
        await asyncio.sleep(0.002)
