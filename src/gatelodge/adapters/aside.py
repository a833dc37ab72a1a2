"""What is opened on a thread, since opening blocks, belongs to somebody whatever happens."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def opened_aside(make: Callable[[], T], close: Callable[[T], object]) -> T:
    """What `make` opened on a thread. Raises what it raises.

    No thread can be cancelled: whoever is cancelled meanwhile waits for its end, and what was
    opened is closed, since nobody would hear of it.
    """
    making = asyncio.ensure_future(asyncio.to_thread(make))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait((making,))
        if not making.cancelled() and making.exception() is None:
            await asyncio.to_thread(close, making.result())
        raise
