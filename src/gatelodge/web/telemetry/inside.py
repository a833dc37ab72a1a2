"""What a node holds for whoever watches it; nothing is read or copied before somebody asks."""

from collections.abc import Callable

from msgspec import Struct

from gatelodge.core.errors import Unavailable
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.health import NodeHealth
from gatelodge.ports.journal import HeadGuard, Journal
from gatelodge.ports.upstream import ServerLoad, Upstreams
from gatelodge.ports.world import Clock


class NodeInsides(Struct, frozen=True, kw_only=True):
    """The parts of a node that say how it is; built once by the app.

    `unready` says why it serves no call (None when it does), `faults` which work fails and why,
    `load` what is open at each server, by id, `entries` how many short-lived entries there are of
    each kind.
    """

    clock: Clock
    follower: ViewFollower
    unready: Callable[[], Unavailable | None]
    recorder: AuditRecorder
    inflight: InFlight
    health: NodeHealth
    faults: Callable[[], dict[str, str]]
    journal: Journal
    sequencer: LogSequencer
    guard: HeadGuard
    upstreams: Upstreams
    load: Callable[[], dict[str, ServerLoad]]
    entries: Callable[[], dict[str, int]]
