"""The stream that a legacy session has of its own: opened with it, and opened again when it ends.

Source: MCP 2025-11-25 basic/transports (listening for messages from the server).
"""

import asyncio
from collections.abc import Callable

from gatelodge.adapters.upstream.http.responses import EventStream
from gatelodge.adapters.upstream.session import McpSession
from gatelodge.adapters.upstream.subscriptions import LISTEN_FIRST, LISTEN_LAST

STREAM_SECONDS = 1.0
"""How long a request waits for a session's own stream to be open."""


class SessionStream:
    """Opens the stream of one session with `make`; `lost` is called when the session is gone."""

    def __init__(
        self, make: Callable[[], EventStream], lost: Callable[[], None], session: McpSession
    ) -> None:
        self._make = make
        self._lost = lost
        self._session = session
        self._stream: EventStream | None = None

    async def open(self) -> None:
        """Open it: a server may ask there, and waits until it is answered.

        In a session of somebody's own that is waited for: what is asked before reaches nobody.
        """
        self.close()  # of a session that was lost before it was heard
        stream = self._stream = self._make()
        if not self._session.asker.shared:
            await asyncio.wait(
                (stream.opened, stream.ended),
                timeout=STREAM_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )

    def close(self) -> None:
        """Close it, if there is one."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    async def keep_open(self) -> None:
        """Keep it open until cancelled; a server that has none is left in peace."""
        loop, stream = asyncio.get_running_loop(), self._stream
        pause, again = LISTEN_FIRST, False
        while stream is not None:
            began = loop.time()
            try:
                refused = await stream.ended
            finally:
                stream.close()
            # A first 404 says that there is no such stream; after one, that the session is gone.
            if refused == 404 and again:
                self._lost()
            if refused:
                return
            if loop.time() - began > LISTEN_LAST:
                pause = LISTEN_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, LISTEN_LAST)
            stream, again = self._make(), True
            self._session.watching.missed()  # whatever was said in between was not heard
