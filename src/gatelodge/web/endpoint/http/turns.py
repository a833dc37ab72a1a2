"""Large bodies are read one in each round of the loop, however many come whole at once."""

import asyncio

LIGHT = 64 * 1024
"""Bytes of a body that waits for no turn."""


class FaceTurns:
    """The turns of one face; others have a round between two of them."""

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    async def wait(self) -> None:
        """Wait until it is the turn of a body that is not light."""
        # The lock is held over the pause, so that of many who wait each gets a round of its own.
        async with self._large:
            await asyncio.sleep(0)
