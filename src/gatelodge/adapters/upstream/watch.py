"""Hearing of changes while a server is ready, and keeping its watched resources equal to a set.

The set is the link's (`watched`, with `rewatch` set when it changed). A modern server is listened
to on one stream for everything: for another set a new stream is opened before the old one is
closed, so that nothing is missed. A legacy server is told of each resource that comes or goes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Raw

from gatelodge.adapters.upstream.wire import WireEvents
from gatelodge.core.errors import HouseError
from gatelodge.core.protocol.upstream_era import ServerFeatures, listening

LISTEN_FIRST, LISTEN_LAST = 1.0, 60.0
"""Pauses before a lost stream is opened again."""
ACKNOWLEDGE_SECONDS = 5.0
"""How long the old stream is kept for a new one that is silent."""


class ChangeStream(Protocol):
    """A stream of changes. `ended` is 0 when it may be opened again, else it was refused."""

    ended: "asyncio.Future[int]"
    acknowledged: "asyncio.Future[None]"

    def close(self) -> None:
        """Nothing more is wanted of it. Idempotent."""
        ...


async def listen(
    desk: WireEvents, can: ServerFeatures, begin: Callable[[dict[str, Raw]], ChangeStream]
) -> None:
    """Listen to a modern server; a lost stream is opened again, a refused set is not.

    Of all else it is heard then: one resource too many shall not hide that its tools changed.
    """
    loop = asyncio.get_running_loop()
    pause, gap = LISTEN_FIRST, desk.again
    current: ChangeStream | None = None
    refused: frozenset[str] = frozenset()
    try:
        while True:
            desk.rewatch.clear()
            uris = desk.watched
            wanted = listening(can, frozenset() if uris == refused else uris)
            fresh = None if wanted is None else begin(wanted)
            began = loop.time()
            current = await _handed_over(current, fresh)
            # Told once the new stream is there: what changes from now on is heard, the rest read.
            if gap and current is not None:
                desk.missed()  # whatever was said in between was not heard
            gap = False
            if current is None or not await _ends_before_rewatch(current, desk.rewatch):
                await desk.rewatch.wait()
                continue
            current.close()
            if current.ended.result():
                current = None
                # Without any resource it was refused too, so only another set is worth a try.
                if uris == refused:
                    await desk.rewatch.wait()
                refused, gap = uris, True
                continue
            if loop.time() - began > LISTEN_LAST:
                pause = LISTEN_FIRST
            await asyncio.sleep(pause)
            pause, gap = min(pause * 2, LISTEN_LAST), True
    finally:
        if current is not None:
            current.close()


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


async def keep_subscribed(
    desk: WireEvents, can: ServerFeatures, ask: Callable[[str, str], Awaitable[object]]
) -> None:
    """Tell a legacy server which resources to watch; one that it refuses is not asked for again.

    One for which it had no answer is: a server may be busy, and be there all the same.
    """
    held: frozenset[str] = frozenset()
    pause, gap = LISTEN_FIRST, desk.again
    while can.subscribes:
        desk.rewatch.clear()
        wanted = desk.watched
        open_still: set[str] = set()
        for method, uris in (
            ("resources/subscribe", wanted - held),
            ("resources/unsubscribe", held - wanted),
        ):
            for uri in sorted(uris):
                try:
                    await ask(method, uri)
                except HouseError:  # the next request finds out why
                    open_still.add(uri)
        held = wanted - open_still
        if gap:
            desk.missed()
        gap = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause if open_still & wanted else None):
                await desk.rewatch.wait()
        pause = min(pause * 2, LISTEN_LAST) if open_still else LISTEN_FIRST
