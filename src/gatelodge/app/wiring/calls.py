"""The way of a call through a node: the servers, and the path to them, as the settings say."""

from collections.abc import Callable, Collection
from typing import Protocol

import gatelodge
from gatelodge.adapters.upstream.pool import UpstreamPool
from gatelodge.app.build import OpenResources
from gatelodge.flows.gateway.bridge.questions import QuestionBridge
from gatelodge.flows.gateway.bridge.rounds import InputRounds, RoundLimits
from gatelodge.flows.gateway.call import CallLimits, CallPath
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.hosting.recorded_runtime import RecordedRuntime
from gatelodge.ports.upstream import ServerLoad, Upstreams


class NodeUpstreams(Upstreams, Protocol):
    """The servers as a node needs them: what is open there is told, and who is left alone."""

    def load(self) -> dict[str, ServerLoad]:
        """What is open at each server now, by its id."""
        ...

    def leave(self, principal: str, servers: Collection[str] | None = None) -> None:
        """End every session of this principal, or those with these servers; what runs fails."""
        ...

    def on_quarantine(self, listener: Callable[[str], None]) -> None:
        """Call `listener(server id)` when a hosted server ended too often, and is left alone."""
        ...


def upstream_pool(ground: OpenResources, hosted: RecordedRuntime) -> UpstreamPool:
    """The servers; what runs of them is started, judged and recorded by `hosted`."""
    settings = ground.settings
    pool = UpstreamPool(
        secrets=ground.secrets,
        limits=settings.limits,
        upstream=settings.upstream,
        version=gatelodge.__version__,
        runtime=hosted,
        idle_seconds=settings.hosting.idle_seconds,
    )
    pool.on_ending(hosted.foretell_ending)
    return pool


def wire_calls(ground: OpenResources, upstreams: Upstreams, inflight: InFlight) -> CallPath:
    """What forwards calls to these upstreams."""
    limits = ground.settings.limits
    rounds = InputRounds(
        ground.sealer,
        ground.clock,
        ground.ids,
        ground.node,
        inflight,
        limits=RoundLimits(
            seconds=limits.question_seconds, per_principal=limits.parked_per_principal
        ),
    )
    costs = CallLimits(
        durability=ground.settings.audit.durability,
        seconds=limits.call_seconds,
        longest=limits.progress_seconds,
        result_bytes=limits.result_bytes,
        per_principal=limits.calls_per_principal,
    )
    questions = QuestionBridge(rounds)
    return CallPath(upstreams, ground.recorder, inflight, questions, ground.clock, limits=costs)
