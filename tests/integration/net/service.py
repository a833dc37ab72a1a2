"""A service outside, played by the test, and what a client tells of it."""

import asyncio
import traceback

import pytest

from gatelodge.adapters.net.fetch import OutboundRequest
from gatelodge.core.errors import OutsideFailed

SECRET = "s3cret-of-a-service"
OK = b"HTTP/1.1 200 OK\r\n"
PUBLIC = "127.0.0.2"
"""An address of this machine that tests take for a public one."""


class Service:
    """A server that answers each path with the bytes, or the coroutine, that a test put there."""

    def __init__(self):
        self.answers = {}
        self.heads = []
        self.bodies = []
        self.open = set()

    async def start(self, host="127.0.0.1", tls=None, port=0):
        self.server = await asyncio.start_server(self.serve, host, port, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def serve(self, reader, writer):
        self.open.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            self.bodies.append(await reader.readexactly(int(lines.get("content-length", 0))))
            answer = self.answers[head.split()[1]]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                # Whoever asked may go: that ends the answer too.
                ends = {asyncio.ensure_future(answer(writer)), asyncio.ensure_future(reader.read())}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for each in ends:
                    each.cancel()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def stop(self):
        self.server.close()
        for writer in list(self.open):
            writer.transport.abort()
        await self.server.wait_closed()

    def asked(self, path="/", **said):
        """A request that an admin allowed to go to this server."""
        told = {"url": f"http://127.0.0.1:{self.port}{path}", "ports": frozenset((self.port,))}
        return OutboundRequest(**{**told, "private": True, "seconds": 5.0, **said})


def whole(body, head=OK):
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


async def refusal(client, asked):
    """Why nothing came."""
    with pytest.raises(OutsideFailed) as refused:
        await client.fetch(asked)
    told = "".join(traceback.format_exception(refused.value))
    assert SECRET not in told + repr(asked) + str(asked)
    return refused.value.detail


def redirect(to, status=302):
    return whole(
        b"moved", b"HTTP/1.1 %d Moved\r\nlocation: %b\r\n" % (status, to.encode("latin-1"))
    )
