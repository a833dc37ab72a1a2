"""Large bodies are read one in each round of the loop, however many come whole at once."""

import asyncio

from gatelodge.web.endpoint.http.connection import HttpRequest

LIGHT = 64 * 1024
"""Bytes of a body that waits for no turn."""


class Turns:
    """The turns of one face; others have a round between two of them."""

    def __init__(self) -> None:
        self._large = asyncio.Lock()

    async def wait(self, request: HttpRequest) -> None:
        """Wait until it is this request's turn, if it is a large one."""
        if request.size > LIGHT:
            async with self._large:
                await asyncio.sleep(0)
