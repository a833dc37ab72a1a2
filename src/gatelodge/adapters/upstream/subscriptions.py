"""Hearing of changes while a server is ready, and keeping its watched resources equal to a set.

A modern server is listened to on one stream for everything: for another set a new stream is opened
before the old one is closed, so that nothing is missed. A legacy server is told of each resource
that comes or goes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from msgspec import Raw

from gatelodge.adapters.upstream.transport import ChangeStream, SessionOwner
from gatelodge.core.protocol.upstream_era import ServerFeatures, listening

LISTEN_FIRST, LISTEN_LAST = 1.0, 60.0
"""Pauses before a lost stream is opened again."""
ACKNOWLEDGE_SECONDS = 5.0
"""How long the old stream is kept for a new one that is silent."""


class WatchedResources:
    """The resources of one server that are watched, and how its changes are heard."""

    def __init__(self, owner: SessionOwner) -> None:
        self.uris: frozenset[str] = frozenset()
        self._owner = owner
        self._other = asyncio.Event()
        """Set when `uris` became another set."""

    def watch(self, uris: frozenset[str]) -> None:
        """Have exactly these resources watched."""
        if uris != self.uris:
            self.uris = uris
            self._other.set()

    def missed(self) -> None:
        """Something may have been said that nobody heard."""
        self._owner.changed()
        for uri in self.uris:
            self._owner.updated(uri)

    async def listen(
        self,
        can: ServerFeatures,
        begin: Callable[[dict[str, Raw]], ChangeStream],
        *,
        missed: bool,
    ) -> None:
        """Listen to a modern server; a lost stream is opened again, a refused set is not.

        Of all else it is heard then: one resource too many shall not hide that its tools changed.
        `missed` = something may have been said before this begins.
        """
        loop = asyncio.get_running_loop()
        pause = LISTEN_FIRST
        current: ChangeStream | None = None
        refused: frozenset[str] = frozenset()
        try:
            while True:
                self._other.clear()
                uris = self.uris
                wanted = listening(can, frozenset() if uris == refused else uris)
                fresh = None if wanted is None else begin(wanted)
                began = loop.time()
                current = await _handed_over(current, fresh)
                # Told once the new stream is there: what changes from now on is heard.
                if missed and current is not None:
                    self.missed()  # whatever was said in between was not heard
                missed = False
                if current is None or not await _ends_before_rewatch(current, self._other):
                    await self._other.wait()
                    continue
                current.close()
                if current.ended.result():
                    current = None
                    # Without any resource it was refused too, so only another set is worth a try.
                    if uris == refused:
                        await self._other.wait()
                    refused, missed = uris, True
                    continue
                if loop.time() - began > LISTEN_LAST:
                    pause = LISTEN_FIRST
                await asyncio.sleep(pause)
                pause, missed = min(pause * 2, LISTEN_LAST), True
        finally:
            if current is not None:
                current.close()

    async def keep_subscribed(
        self, ask: Callable[[str, str], Awaitable[bool]], *, missed: bool
    ) -> None:
        """Tell a legacy server which resources to watch; one that it refuses is asked for once.

        One for which it had no answer is asked for again: it may be busy, and yet be there.
        """
        held: frozenset[str] = frozenset()
        pause = LISTEN_FIRST
        while True:
            self._other.clear()
            wanted = self.uris
            open_still: set[str] = set()
            for method, uris in (
                ("resources/subscribe", wanted - held),
                ("resources/unsubscribe", held - wanted),
            ):
                for uri in sorted(uris):
                    if not await ask(method, uri):
                        open_still.add(uri)
            held = wanted - open_still
            if missed:
                self.missed()
            missed = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if open_still & wanted else None):
                    await self._other.wait()
            pause = min(pause * 2, LISTEN_LAST) if open_still else LISTEN_FIRST

    async def keep_open(self, stream: ChangeStream, make: Callable[[], ChangeStream]) -> bool:
        """Keep a legacy session's own stream open; true when it was there and its session is gone.

        A server that has no such stream is left in peace (MCP 2025-11-25 basic/transports,
        listening for messages from the server).
        """
        loop = asyncio.get_running_loop()
        pause, again = LISTEN_FIRST, False
        while True:
            began = loop.time()
            try:
                refused = await stream.ended
            finally:
                stream.close()
            # A first 404 says that there is no such stream; after one, that the session is gone.
            if refused:
                return refused == 404 and again
            if loop.time() - began > LISTEN_LAST:
                pause = LISTEN_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, LISTEN_LAST)
            stream, again = make(), True
            self.missed()  # whatever was said in between was not heard


async def _handed_over(old: ChangeStream | None, new: ChangeStream | None) -> ChangeStream | None:
    """The stream to listen to from now on: the new one, once it is there.

    An old one that works is kept when the new one is refused: it hears at least what it heard.
    """
    if new is not None:
        try:
            await asyncio.wait(
                (new.acknowledged, new.ended),
                timeout=ACKNOWLEDGE_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            # `listen` closes the old one, and knows nothing of this one yet.
            new.close()
            raise
        if old is not None and new.ended.done() and new.ended.result() and not old.ended.done():
            new.close()
            return old
    if old is not None:
        old.close()
    return new


async def _ends_before_rewatch(stream: ChangeStream, rewatch: asyncio.Event) -> bool:
    """Wait until the stream ended (true) or another set is wanted."""
    waiting = asyncio.ensure_future(rewatch.wait())
    try:
        await asyncio.wait((stream.ended, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return stream.ended.done()
