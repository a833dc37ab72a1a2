"""What a node holds for whoever watches it; nothing is read or copied before somebody asks."""

from collections.abc import Callable

from msgspec import Struct

from gatelodge.core.errors import Unavailable
from gatelodge.core.view import PolicyView
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.flows.counts import Histogram, RecordCounts
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.health import NodeHealth
from gatelodge.ports.journal import HeadGuard, JournalBacklog
from gatelodge.ports.upstream import ServerLoad, Upstreams
from gatelodge.ports.world import Clock


class NodeInsides(Struct, frozen=True, kw_only=True):
    """The parts of a node that say how it is; built once by the app.

    `fresh` says whether its view may be relied on, `unready` why it serves no call (None when it
    does), `failed` whether records cannot be made durable, `faults` which work fails and why, `lag`
    how late its loop is, `load` what is open at each server, by id, `entries` how many short-lived
    entries there are of each kind.
    """

    clock: Clock
    view: Callable[[], PolicyView]
    fresh: Callable[[], bool]
    unready: Callable[[], Unavailable | None]
    counts: RecordCounts
    inflight: InFlight
    health: NodeHealth
    faults: Callable[[], dict[str, str]]
    lag: Histogram
    failed: Callable[[], bool]
    backlog: Callable[[], JournalBacklog]
    sequencer: LogSequencer
    guard: HeadGuard
    upstreams: Upstreams
    load: Callable[[], dict[str, ServerLoad]]
    entries: Callable[[], dict[str, int]]
