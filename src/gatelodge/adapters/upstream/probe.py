"""Finding the tools that a server offers only to clients which declare something.

The main link declares nothing, so it shows what everybody is offered. What is added for others is
listed as a client would that declares all, or one capability only, and nothing is asked back
(decision 0015).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from msgspec import Raw, structs

from gatelodge.adapters.upstream.observe import named
from gatelodge.core.errors import HouseError
from gatelodge.core.protocol.needs import Needs, all_but, each_but, needs_of
from gatelodge.ports.upstream import ObservedOffer

AGAIN_SECONDS = 5.0
LONGEST_AGAIN = 3600.0
_ADDED = "Offered only to clients that declare a capability: {} of its tools."
_UNKNOWN = (
    "Whether it offers more to clients that can be asked is not known: it could not be met as one."
)
Listed = Callable[[bytes], Awaitable[dict[str, Raw]]]
"""Lists tools by name as a client with these capabilities. Raises HouseError."""


class CapabilityProbe:
    """What one server adds for clients that declare something; remembered between two looks.

    `due` is when a look that failed should be taken again (event loop's clock), `most` what it is
    told by a client that declares all.
    """

    def __init__(self, hidden: tuple[str, ...]) -> None:
        self.most = all_but(hidden)
        self._each = each_but(hidden)
        self.due = math.inf
        self._pause = AGAIN_SECONDS
        self._seen: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        self._needs: dict[str, Needs] = {}
        self._added: tuple[Raw, ...] = ()
        self._one = asyncio.Lock()

    async def complete(
        self, plain: ObservedOffer, listed: Listed, *, thorough: bool
    ) -> tuple[ObservedOffer, str]:
        """What was observed and what is added to it, and what an admin should know of that.

        `thorough` = also find out which capability adds what. Never raises for what the server
        does: then what was known before is added.
        """
        # Two looks at a time would each begin sessions, over stdio processes, to learn the same.
        async with self._one:
            try:
                seen = frozenset(named(tool) for tool in plain.tools)
                await self._refresh_added_tools(seen, listed, thorough=thorough)
            except HouseError:
                self.due = asyncio.get_running_loop().time() + self._pause
                self._pause = min(self._pause * 2, LONGEST_AGAIN)
                note = _UNKNOWN
            else:
                self.due, self._pause = math.inf, AGAIN_SECONDS
                note = _ADDED.format(len(self._added)) if self._added else ""
            whole = structs.replace(plain, tools=plain.tools + self._added, needs=self._needs)
            return whole, note

    async def _refresh_added_tools(
        self, plain: frozenset[str], listed: Listed, *, thorough: bool
    ) -> None:
        full = await listed(self.most)
        seen = (plain, frozenset(full))
        # The same two lists mean the same needs: no session for each capability (decision 0015).
        if thorough and seen != self._seen:
            alone: dict[str, dict[str, Raw]] = {}
            if not seen[1] <= plain:
                for name, capabilities in self._each.items():  # one by one: each may be a process
                    alone[name] = await listed(capabilities)
            self._needs = needs_of(plain, full, alone)
            self._seen = seen
        self._added = tuple(tool for name, tool in full.items() if name not in plain)
