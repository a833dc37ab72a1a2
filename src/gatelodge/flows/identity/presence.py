"""A node is known to whoever ends access before it serves, for as long as it serves.

It says so in the store, again and again. One that could not for half a minute acts for nobody any
more, although it can read; after a minute others strike it out, so that no receipt waits for the
dead. Time is measured by each node's own clock that never steps, never by that of the database.
"""

import math

from gatelodge.ports.store import NodeRegistry, NodeSeen
from gatelodge.ports.world import Clock

HEARD_SECONDS = 30.0
"""How long a node may act after it began to say so last."""
FORGET_SECONDS = 60.0
"""After so long without a word a node is struck out; it has been silent for longer than it may."""
LOOK_SECONDS = 10.0


class NodePresence:
    """What this node says of itself. Owned by the event loop.

    `shared` = other nodes may use the store. `since` is when it became known without a gap to now,
    `until` how long it may act without another word; both are boottime.
    """

    def __init__(self, nodes: NodeRegistry, clock: Clock, node: str, *, shared: bool) -> None:
        self._nodes = nodes
        self._clock = clock
        self._node = node
        self._shared = shared
        self._look_at = 0.0
        self._others: dict[str, tuple[int, float]] = {}
        self.since = math.inf
        self.until = -math.inf

    async def say(self, seen: NodeSeen) -> None:
        """Say that this node is there, and how far. Raises StoreDown."""
        began = self._clock.boottime()
        if self.since == math.inf and not self._shared:
            # Rows that a killed process left would have every receipt wait until a lease is out.
            await self._strike_out_all()
        await self._nodes.acknowledge(seen)
        # After a gap others may have struck this node out, and who ended access did not wait for
        # it. So it is known from the end of this write on, and heard of from its beginning.
        if began > self.until:
            self.since = self._clock.boottime()
        self.until = began + HEARD_SECONDS if self._shared else math.inf

    async def look_after_others(self) -> None:
        """Strike out who died. Raises StoreDown."""
        now = self._clock.boottime()
        if not self._shared or now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        # What fails below makes silences count anew: a node is struck out later, never too early.
        before, self._others = self._others, {}
        for each in await self._nodes.known():
            was, since = before.get(each.node, (each.seen_at, now))
            # Of the database's clock only a change counts; the time without one is measured here.
            since = since if was == each.seen_at else now
            if each.node != self._node and now - since >= FORGET_SECONDS:
                # A node that spoke since this look stays: its `seen_at` is another one by then.
                await self._nodes.forget(each)
            else:
                self._others[each.node] = (each.seen_at, since)

    async def _strike_out_all(self) -> None:
        """This process alone holds the store: whoever is in the list died."""
        for each in await self._nodes.known():
            if each.node != self._node:
                await self._nodes.forget(each)
