"""The admin API's application, loaded in a thread once the endpoint is ready.

Importing the web framework takes half a second; requests that come earlier wait for it.
"""

import asyncio
from collections.abc import Callable

from gatelodge.web.api.asgi import AsgiApp


class LazyApplication:
    """`loaded` belongs to the event loop; it is resolved once, by `load`."""

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        self._build = build
        self.loaded: asyncio.Future[AsgiApp] = asyncio.get_running_loop().create_future()

    async def load(self) -> None:
        """Load and build it, then let requests through."""
        self.loaded.set_result(await asyncio.to_thread(self._build))
