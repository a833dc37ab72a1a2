"""What is opened is closed, whatever else fails on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

ClosingStep = Callable[[], Awaitable[object] | None]


async def each_in_turn(*steps: ClosingStep) -> None:
    """Take every step in this order, also after one that failed. Raises the first error.

    A later one often follows from it. A cancellation counts as an error of the step that it meets.
    """
    if not steps:
        return
    first, *others = steps
    try:
        done = first()
        if done is not None:
            await done
    except BaseException:
        # What the others raise goes no further: the first error is the one that is told.
        await asyncio.gather(each_in_turn(*others), return_exceptions=True)
        raise
    await each_in_turn(*others)


@asynccontextmanager
async def closed_if_it_fails(*steps: ClosingStep) -> AsyncIterator[Callable[[ClosingStep], None]]:
    """Nothing stays open of a block that fails; gives what adds a step for what was just opened.

    The newest is closed first, and each of them, whatever the others raise. What comes out is the
    block's own error: of those that follow from it nobody needs to know.
    """
    opened = [*steps]
    try:
        yield opened.append
    except BaseException:
        await asyncio.gather(each_in_turn(*reversed(opened)), return_exceptions=True)
        raise
