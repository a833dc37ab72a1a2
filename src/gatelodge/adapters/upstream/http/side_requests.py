"""Requests and words of our own to an HTTP upstream, beside the callers' requests."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TypeVar

from gatelodge.adapters.net.client import HttpClient
from gatelodge.adapters.net.exchange import HttpReply
from gatelodge.adapters.upstream.http.head import request_wire
from gatelodge.adapters.upstream.http.responses import BufferedResponse
from gatelodge.adapters.upstream.transport import SLOW
from gatelodge.core.errors import HouseError, UpstreamTimeout
from gatelodge.ports.upstream import always

MOST_ASIDE = 256
"""Notifications and refusals of ours under way at once; more are dropped."""
TELL_SECONDS = 5.0
LAST_SECONDS = 0.5
"""How long the last words in a session may take, such as that nobody waits any more."""
T = TypeVar("T")


class SideRequests:
    """Runs them on the connections of one client; owned by a transport, which closes it."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self._aside: set[asyncio.Task[object]] = set()

    async def read(self, reading: BufferedResponse, seconds: float) -> HttpReply:
        """The whole answer. Raises UpstreamError, or LimitReached for a large one."""
        self.client.send(reading)
        try:
            async with asyncio.timeout(seconds):
                return await reading.done
        except TimeoutError:
            text = "The server did not answer the handshake in time."
            raise UpstreamTimeout(text, remedy=SLOW) from None
        finally:
            # One that had no answer in time must hold neither a connection nor a place in line.
            self.client.forget(reading)

    async def tell(
        self, head: bytes, body: bytes, admitted: Callable[[], bool] = always
    ) -> HttpReply:
        """Say something that has no response; what comes back is at most a status."""
        return await self.read(
            BufferedResponse(request_wire(head, body), 0, admitted), TELL_SECONDS
        )

    def say(self, head: bytes, *bodies: bytes) -> None:
        """Tell these in order, without waiting: that nobody hears, a caller's request finds out."""
        if bodies and len(self._aside) < MOST_ASIDE:
            self.start(self._tell_ignoring_faults(head, bodies))

    def start(self, work: Coroutine[None, None, T]) -> "asyncio.Task[T]":
        """Have work done that somebody waits for; there is no more of it than callers who wait."""
        task = asyncio.ensure_future(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task

    async def close(self) -> None:
        """Let what is under way be said, if it can be said soon."""
        if self._aside:
            await asyncio.wait(tuple(self._aside), timeout=LAST_SECONDS)
        for task in list(self._aside):
            task.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)

    async def _tell_ignoring_faults(self, head: bytes, bodies: tuple[bytes, ...]) -> None:
        with contextlib.suppress(HouseError):
            for body in bodies:
                await self.tell(head, body)
