"""A stream of events to a page: sent under a permit, at the reader's own pace, until it ends.

Source: HTML Living Standard, server-sent events. What a reader does not take is not sent, so a page
that sleeps keeps nothing here but its connection; one that takes nothing for long loses that, too.
"""

import asyncio
from typing import Protocol

from gatelodge.core.errors import HouseError
from gatelodge.web.endpoint.http.answer import HttpAnswer
from gatelodge.web.endpoint.http.connection import ClientConnection
from gatelodge.web.endpoint.http.delivery import WritePermit

LOOK_SECONDS = 0.5
"""How often it is looked whether the reader still may read."""
BREATHS = 30
"""Looks in silence before a comment keeps proxies from closing."""
PATIENCE = 40
"""Looks at which a reader had not taken what was sent, before it is dropped."""


class EventSource(Protocol):
    """What is told, one message after another."""

    @property
    def ended(self) -> bool:
        """True once nothing more comes."""
        ...

    async def take(self, seconds: float) -> bytes:
        """The next message; empty when nothing came in that time."""
        ...

    def close(self) -> None:
        """Nobody listens any more. Idempotent."""
        ...


async def send_events(
    connection: ClientConnection,
    answer: HttpAnswer,
    source: EventSource,
    permit: WritePermit | None,
) -> None:
    """Send what the source tells, until either ends or its reader may not read any more.

    Without a permit everything is told: it is about what its reader did.
    """
    # A client that half-closes waits for no end of it.
    connection.endless = True
    answer.permit = permit
    answer.open_stream()
    # At once: the page shows that it listens, and proxies that something comes.
    answer.breathe()
    silent = stuck = 0
    while not connection.gone and not source.ended:
        try:
            # From a reader that does not take what was sent nothing is taken away: the source
            # counts what it had to leave out.
            message = b""
            if connection.writable:
                message = await source.take(LOOK_SECONDS)
            else:
                await asyncio.sleep(LOOK_SECONDS)
        except HouseError:
            break  # the store is away, or the reader is nobody any more: the page asks again
        # Asked before anything is said: a reader whose access ended is no fault to be recorded.
        if connection.gone or not (permit is None or permit.holds()):
            break
        silent = 0 if message else silent + 1
        stuck = 0 if connection.writable else stuck + 1
        if stuck > PATIENCE:
            connection.abort()
            break
        if message:
            answer.say(message)
        elif silent >= BREATHS and connection.writable:
            silent = 0
            answer.breathe()
    answer.permit = connection.permit = None
    answer.end(200, b"")
