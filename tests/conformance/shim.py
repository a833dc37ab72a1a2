"""A proxy on this machine that adds a token to each request, and changes nothing else.

The official suite can send no token. What comes back from the target passes byte for byte, as it
comes, and when one side closes its connection, so does the other.

with Shim() as shim:
    shim.target, shim.token = gate.port, token
    ...  # http://localhost:{shim.port}/...
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

WAIT = 10.0
HEAD_BYTES = 1 << 20
CHUNK = 1 << 16


class Shim:
    """Listens on a free port from the beginning, so that a target can be told of it."""

    def __init__(self, target: int = 0, token: str = "") -> None:
        self.target = target
        self.token = token
        self.port = 0
        self.seen: list[str] = []
        """The first line of each request."""
        self._sides: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._wait(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for side in self._sides:
            side.transport.abort()
        await asyncio.sleep(0)  # what was closed is gone one turn of the loop later

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sides = [writer]
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
            sides.append(forth)
            ways = [
                asyncio.create_task(self._requests(reader, forth)),
                asyncio.create_task(_answers(back, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # nobody listens there, so this side is closed as well
        finally:
            self._sides.extend(sides)
            for side in sides:
                side.close()

    async def _requests(self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen.append(head.partition(b"\r\n")[0].decode("latin-1"))
            forth.write(with_token(head, self.token))
            await _body(head, reader, forth)


def with_token(head: bytes, token: str) -> bytes:
    """The head of a request, with a token in it."""
    line, end, rest = head.partition(b"\r\n")
    added = f"Authorization: Bearer {token}\r\n".encode() if token else b""
    return line + end + added + rest


def body_length(head: bytes) -> int | None:
    """How many bytes follow a head; nothing when they come in chunks."""
    fields = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
    told = {name.strip(): value.strip() for name, _, value in fields}
    if b"chunked" in told.get(b"transfer-encoding", b""):
        return None
    return int(told.get(b"content-length", b"0"))


async def _body(head: bytes, reader: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
    length = body_length(head)
    if length is not None:
        await _exactly(length, reader, forth)
        return
    size = 1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        forth.write(line)
        await _exactly(size + 2, reader, forth)


async def _exactly(size: int, reader: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
    while size:
        part = await reader.readexactly(min(size, CHUNK))
        size -= len(part)
        forth.write(part)
        await forth.drain()


async def _answers(back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await back.read(CHUNK):
        writer.write(part)
        await writer.drain()
