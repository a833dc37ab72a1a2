"""What holds a running instance, read anew when somebody asks, and on record.

What is found otherwise than the tier promises is ended as it would be at a start, whoever changed
it. What cannot be read ends nothing: an engine that does not answer says nothing against a server.
"""

import asyncio
import logging
from typing import Final

from msgspec import Struct

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import (
    IsolationFacts,
    PromisedFact,
    compare_facts,
    facts_in_words,
)
from gatelodge.core.ids import Instant
from gatelodge.core.records.hosting_leaves import InstanceAttested
from gatelodge.flows.hosting.recorded_instance import RecordedInstance
from gatelodge.flows.hosting.recorded_runtime import RecordedRuntime
from gatelodge.ports.journal import RecordWrite
from gatelodge.ports.world import Clock

log = logging.getLogger(__name__)

_SECONDS: Final = 30.0
_AGAIN: Final = "Ask again; when it goes on, end it: gatelodge instance kill ID."


class InstanceAttestation(Struct, frozen=True, kw_only=True):
    """What was found at a moment, beside what is promised; `ended` = it was not kept."""

    at: Instant
    facts: IsolationFacts
    promises: tuple[PromisedFact, ...]
    ended: bool

    @property
    def deviations(self) -> tuple[str, ...]:
        """What is not as promised, in words."""
        return tuple(each.deviation for each in self.promises if each.deviation)


async def attest_instance(
    hosted: RecordedRuntime, instance: RecordedInstance, clock: Clock
) -> InstanceAttestation:
    """Read what holds it, write that down, and end it where a promise is not kept.

    Raises UpstreamUnreachable when it cannot be read, LedgerDown when it cannot be recorded; one
    that deviates is ended all the same.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            facts = await instance.attest()
    except TimeoutError:
        text = "How the instance is kept apart could not be read in time."
        raise UpstreamUnreachable(text, remedy=_AGAIN) from None
    found = InstanceAttestation(
        at=clock.now(),
        facts=facts,
        promises=compare_facts(facts, instance.wanted, instance.limits),
        ended=False,
    )
    durable = RecordWrite()
    leaf = InstanceAttested(
        deviations="; ".join(found.deviations),
        facts=facts_in_words(facts),
        instance=instance.name,
        runtime=facts.runtime,
        server=instance.server,
        tier=facts.tier,
        wanted=instance.wanted,
    )
    hosted.record(instance, leaf, durable)
    if not found.deviations:
        await durable
        return found
    log.warning("an instance of %s was ended (isolation)", instance.server)
    try:
        await hosted.end_now([instance], "isolation")
    finally:
        await durable
    return InstanceAttestation(at=found.at, facts=facts, promises=found.promises, ended=True)
