"""A server that outlives the gate and remembers each call that reached it: witnessing.py TOOLS.

It prints its port, offers the tools `t_0` to `t_{TOOLS-1}`, and notes a call before it answers
anything. Arguments: `id` is the caller's own mark of the call; `for` is how many seconds it takes,
-1 until the gate hangs up. GET /seen tells everything that was noted.
Standard library only. `Witness` starts it and asks.
"""

import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections import Counter

HERE = __file__
WAIT = 20.0


class Serving:
    """What was noted: how often each id came, by tool, and when last; how many calls run, how many
    without end."""

    def __init__(self, tools):
        self.tools = [{"name": f"t_{n}", "inputSchema": {"type": "object"}} for n in range(tools)]
        self.calls = {}
        self.last = {}
        self.running = 0
        self.held = 0

    async def serve(self, reader, writer):
        try:
            while (asked := await self._read(reader)) is not None:
                status, body = await self._answer(reader, *asked)
                head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
                writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _read(self, reader):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").lower().split("\r\n")
            sizes = [line.partition(":")[2] for line in lines if line.startswith("content-length:")]
            body = await reader.readexactly(int(sizes[0])) if sizes else b""
        except asyncio.IncompleteReadError:
            return None
        return head.partition(b" ")[0], body

    async def _answer(self, reader, verb, body):
        if verb == b"GET":
            seen = {
                "calls": self.calls,
                "last": self.last,
                "running": self.running,
                "held": self.held,
            }
            return "200 OK", json.dumps(seen).encode()
        message = json.loads(body)
        match message["method"]:
            case "server/discover":
                result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
            case "tools/list":
                result = {"tools": self.tools}
            case "tools/call":
                result = await self._call(reader, message["params"])
            case _:
                error = {"code": -32601, "message": "Method not found"}
                told = {"jsonrpc": "2.0", "id": message.get("id"), "error": error}
                return "404 Not Found", json.dumps(told).encode()
        result["resultType"] = "complete"
        told = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        return "200 OK", json.dumps(told).encode()

    async def _call(self, reader, params):
        given = params.get("arguments", {})
        marks = self.calls.setdefault(params["name"], Counter())
        marks[given.get("id", "")] += 1
        self.last[given.get("id", "")] = time.time()
        seconds = given.get("for", 0)
        self.running += 1
        self.held += seconds < 0
        try:
            if seconds:
                await self._take(reader, seconds)
        finally:
            self.running -= 1
            self.held -= seconds < 0
        return {"content": [{"type": "text", "text": given.get("id", "")}]}

    async def _take(self, reader, seconds):
        """Take that long; a gate that hangs up ends it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds < 0 else seconds):
                await reader.read(1)
                raise ConnectionError("the gate hung up")


async def main():
    serving = Serving(int(sys.argv[1]))
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


class Witness:
    """The server in a process of its own."""

    def __init__(self, tools=1):
        command = [sys.executable, HERE, str(tools)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(WAIT)
        self.process.stdout.close()

    def seen(self):
        """Everything that was noted so far."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            link.request("GET", "/seen")
            return json.loads(link.getresponse().read())
        finally:
            link.close()

    def until_running(self, calls):
        """Wait until that many calls are running."""
        self.until(lambda seen: seen["running"] == calls)

    def until(self, true):
        """Poll until it is true of what was noted, for a bounded time."""
        ends = time.monotonic() + WAIT
        while not true(seen := self.seen()):
            assert time.monotonic() < ends, {**seen, "calls": "..."}
            time.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main())
