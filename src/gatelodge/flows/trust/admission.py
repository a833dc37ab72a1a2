"""Whether an image may start: a person approved a card of it, and that still holds.

It is asked in the store at each start, not in a view: what was rejected a moment ago starts no
more, and where the store does not answer nothing starts.
"""

import asyncio

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.ids import WorkspaceId
from gatelodge.core.trust.card import TrustCard
from gatelodge.ports.runtime import (
    ChosenRuntimes,
    EgressReport,
    LaunchSpec,
    RuntimeInstance,
    RuntimeOffer,
)
from gatelodge.ports.store import Store
from gatelodge.ports.world import Clock


class AdmittedRuntimes:
    """Implements `ChosenRuntimes`: those below it, which start no image without an approved card.

    It stands below the one gate before every instance, which puts a refusal on record.
    """

    def __init__(self, below: ChosenRuntimes, store: Store, clock: Clock) -> None:
        self._below = below
        self._store = store
        self._clock = clock

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,
    ) -> RuntimeInstance:
        """Start it (`Runtime`), when its image is admitted. Raises StoreDown too."""
        if spec.image:
            await self._check_card(spec)
        return await self._below.start(spec, output, errors, report)

    def instances(self) -> tuple[RuntimeInstance, ...]:
        """All that are not wholly gone (`Runtime`)."""
        return self._below.instances()

    def keep(self, servers: frozenset[str]) -> None:
        """Remove what is left of all other servers (`Runtime`)."""
        self._below.keep(servers)

    async def close(self) -> None:
        """Wait for what is being removed (`Runtime`)."""
        await self._below.close()

    async def offers(self) -> tuple[RuntimeOffer, ...]:
        """What each can do on this machine (`ChosenRuntimes`)."""
        return await self._below.offers()

    async def _check_card(self, spec: LaunchSpec) -> None:
        """Raise UpstreamUnreachable for an image that no approved card admits."""
        place, image = WorkspaceId(spec.workspace), spec.image
        rows = await self._store.read(lambda tx: tx.find(TrustCard, workspace=place, image=image))
        # The newest card that somebody decided on counts: what was found later is known better.
        last = next((each for each in reversed(rows) if each.status != "made"), None)
        if last is None:
            why = "nobody approved a card of it"
        elif last.status == "rejected":
            why = "its card was rejected"
        elif last.admits(self._clock.now()):
            return
        else:
            why = "its approval has ended"
        raise UpstreamUnreachable(
            f"The image may not be started: {why}.",
            remedy="See what is known of it: gatelodge catalog card ALIAS, then card approve.",
        )
