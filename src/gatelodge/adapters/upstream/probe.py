"""Finding the tools that a server offers only to clients which declare something.

The main link declares nothing, so it shows what everybody is offered. What a server adds for others
is seen by one more look, as a client that declares everything, and nothing is asked back
(decision 0028).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from msgspec import Raw, structs

from gatelodge.adapters.upstream.observe import named
from gatelodge.core.errors import HouseError
from gatelodge.ports.upstream import ObservedOffer

AGAIN_SECONDS = 5.0
LONGEST_AGAIN = 3600.0
_ADDED = "Offered only to clients that declare a capability: {} of its tools."
_UNKNOWN = (
    "Whether it offers more to clients that can be asked is not known: it could not be met as one."
)


class CapabilityProbe:
    """What one server adds for clients that declare something; remembered between two looks.

    `due` is when a look that failed should be taken again (event loop's clock).
    """

    def __init__(self) -> None:
        self.due = math.inf
        self._pause = AGAIN_SECONDS
        self._added: dict[str, Raw] = {}
        self._one = asyncio.Lock()

    async def complete(
        self, plain: ObservedOffer, look: Callable[[], Awaitable[dict[str, Raw]]]
    ) -> tuple[ObservedOffer, str]:
        """What was observed and what is added to it, and what an admin should know of that.

        `look` lists the tools by name as a client that declares everything. Never raises for what
        the server does: then what was known before is added.
        """
        # Two looks at a time would each begin a session, over stdio a process, to learn the same.
        async with self._one:
            try:
                self._added = await look()
            except HouseError:
                self.due = asyncio.get_running_loop().time() + self._pause
                self._pause = min(self._pause * 2, LONGEST_AGAIN)
                note = _UNKNOWN
            else:
                self.due, self._pause, note = math.inf, AGAIN_SECONDS, ""
            for tool in plain.tools:
                self._added.pop(named(tool), None)
            if self._added and not note:
                note = _ADDED.format(len(self._added))
            tools = plain.tools + tuple(self._added.values())
            return structs.replace(plain, tools=tools, added=frozenset(self._added)), note
