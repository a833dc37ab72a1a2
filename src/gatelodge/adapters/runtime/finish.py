"""Work that must not stop halfway: half of it would leave something behind that nobody owns."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def finish_despite_cancellation(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, and only then be cancelled. Raises what it raises."""
    task = asyncio.ensure_future(work)
    cut = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cut = True
    if cut:
        raise asyncio.CancelledError
