"""Upkeep of short-lived entries: those that expired go, and those of principals who ended.

Neither is what makes an entry invalid: one that expired is not returned before it is swept, and
whoever takes one up asks the view. Each node does it; what another node removed is not there.
"""

import asyncio

from gatelodge.core.errors import HouseError, Unavailable
from gatelodge.core.ids import PrincipalId
from gatelodge.flows.health import NodeHealth
from gatelodge.ports.ephemeral import Ephemeral

SWEEP_SECONDS = 5.0
PORTION = 500
"""How many entries one transaction removes at most: whoever changes something waits for it."""


class EphemeralUpkeep:
    """One task of a node. Shared and mutable: `_ended`, owned by the event loop."""

    def __init__(self, ephemeral: Ephemeral) -> None:
        self._ephemeral = ephemeral
        self._ended: set[PrincipalId] = set()
        self._due = asyncio.Event()
        self.counts: dict[str, int] = {}
        """How many entries there were at the last sweep, by the name of their kind."""

    def leave(self, principal: PrincipalId) -> None:
        """The principal's access ended: their entries are dropped as soon as the store takes it."""
        self._ended.add(principal)
        self._due.set()

    async def run(self, health: NodeHealth) -> None:
        """Drop and sweep until cancelled."""
        while True:
            try:
                with health.watched("removing short-lived entries"):
                    await self.step()
            except Unavailable:
                await asyncio.sleep(SWEEP_SECONDS)
                continue
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()

    async def step(self) -> None:
        """Drop the entries of those who ended, sweep, count.

        Raises StoreDown; who ended and was not reached is tried again at the next step.
        """
        while self._ended:
            principal = self._ended.pop()
            try:
                await self._ephemeral.drop_of(principal)
            except HouseError:
                self._ended.add(principal)
                raise
        while await self._ephemeral.sweep(PORTION) >= PORTION:
            pass
        self.counts = await self._ephemeral.counts()
