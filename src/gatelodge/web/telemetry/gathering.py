"""The numbers of one moment, taken on the event loop from what the node holds in memory.

Neither the disk nor the store is asked: both may be what somebody looks for.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

import gatelodge
from gatelodge.core.errors import Unavailable
from gatelodge.core.records.origin import GOV as GOV_LOG
from gatelodge.core.records.origin import UNROUTED, calls_log, is_past
from gatelodge.core.view import PolicyView
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.audit.sequencer import LogSequencer
from gatelodge.flows.counts import Histogram, Reasons, merged
from gatelodge.flows.gateway.follower import ViewFollower
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.health import NodeHealth
from gatelodge.flows.hosting.usage import InstanceUsage, Place
from gatelodge.flows.jobs.kinds import KINDS, name_of_kind
from gatelodge.flows.jobs.runner import JobRunner
from gatelodge.ports.journal import HeadGuard, Journal
from gatelodge.ports.upstream import ServerLoad, Upstreams
from gatelodge.ports.world import Clock
from gatelodge.web.endpoint.http.bounds import TrafficCounts
from gatelodge.web.telemetry import families as f

_STATES = ("off", "starting", "ready", "idle", "waiting", "failed", "quarantined")
_CALLS = calls_log("")

Numbers = dict[tuple[str, ...], float]


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
    jobs: JobRunner
    usage: InstanceUsage


class MeasuredFamily(Struct, frozen=True):
    """One metric with its numbers, or its histograms, by the values of its labels."""

    family: f.MetricFamily
    numbers: Numbers = {}
    spread: dict[tuple[str, ...], Histogram] = {}


class VisibleSeries:
    """What a reader sees, in names: every workspace, or only the one of that id."""

    def __init__(self, view: PolicyView, only: str | None) -> None:
        self._only = only
        self._slugs = {str(each.id): each.slug for each in view.state.workspaces}
        self.aliases = {str(each.id): each.alias for each in view.state.servers}
        self.servers = [
            each
            for each in view.state.servers
            # No other server is reached, so none has a state.
            if each.status == "approved" and only in (None, each.workspace)
        ]

    @property
    def workspaces(self) -> list[str]:
        """The slugs of all that are seen."""
        return [slug for key, slug in self._slugs.items() if self._only in (None, key)]

    def slug(self, workspace: str) -> str | None:
        """The slug of a workspace, None when it is not this reader's."""
        return self._slugs.get(workspace, "") if self._only in (None, workspace) else None

    def place(self, log: str) -> str | None:
        """The workspace of a log, empty for what reached none; None when it is not shown.

        What reached none may have been meant for any of them, so only who sees all sees that.
        """
        if log == UNROUTED:
            return "" if self._only is None else None
        return self.slug(log.removeprefix(_CALLS))


def gathered(inside: NodeInsides, traffic: TrafficCounts, only: str | None) -> list[MeasuredFamily]:
    """Every metric as of now: the node's own and those of all workspaces, or of `only` this one."""
    seen = VisibleSeries(inside.follower.view, only)
    return [
        *_of_node(inside, traffic),
        _signed_log_sizes(inside, seen),
        *_metrics_of_records(inside, seen),
        *_metrics_in_flight(inside, seen),
        *_metrics_of_servers(inside, seen),
        *_metrics_of_instances(inside.usage, seen),
    ]


def _of_node(inside: NodeInsides, traffic: TrafficCounts) -> Iterator[MeasuredFamily]:
    backlog, late, failing = inside.journal.backlog, inside.health.late(), inside.faults()
    unsigned = inside.clock.boottime() - inside.sequencer.signed_at
    yield MeasuredFamily(f.BUILD, {(gatelodge.__version__,): 1})
    yield _single_value_metric(f.READY, inside.unready() is None)
    yield _single_value_metric(f.FRESH, inside.follower.fresh())
    yield _single_value_metric(f.GOV, inside.follower.view.gov)
    strangers, known = traffic.strangers, traffic.open - traffic.strangers
    yield MeasuredFamily(f.CONNECTIONS, {("strangers",): strangers, ("known",): known})
    bytes_of = {"strangers": traffic.stranger_bytes, "known": traffic.person_bytes}
    yield MeasuredFamily(f.HELD, {(kind,): size for kind, size in bytes_of.items()})
    # Copied, for the loop goes on counting while a thread renders.
    yield MeasuredFamily(f.LAG, spread={(): inside.follower.lag.copy()})
    yield MeasuredFamily(f.WORK, {("failing",): len(failing), ("late",): len(late)})
    # Names of the gate's own work: why it fails may hold a path, so it is no label.
    trouble: list[tuple[str, ...]] = [(work, "failing") for work in failing]
    trouble += [(work, "late") for work in late]
    yield MeasuredFamily(f.TROUBLE, dict.fromkeys(trouble, 1.0))
    yield _single_value_metric(f.JOURNAL_FAILED, inside.recorder.failed)
    yield _single_value_metric(f.UNWRITTEN, backlog.records)
    if backlog.frames is not None:
        yield _single_value_metric(f.BACKLOG, backlog.frames)
    yield _single_value_metric(f.CHECKPOINT, max(0.0, unsigned))
    jobs = Counter(name_of_kind(job.kind) for job in inside.jobs.running)
    yield MeasuredFamily(f.JOBS, {(kind.name,): jobs[kind.name] for kind in KINDS})


def _signed_log_sizes(inside: NodeInsides, seen: VisibleSeries) -> MeasuredFamily:
    """By the guard, which keeps in memory what was signed; the store is not asked."""
    sizes: Numbers = {}
    for log in inside.guard.logs:
        kept, place = inside.guard.last(log), "" if log == GOV_LOG else seen.place(log)
        # Nothing is signed in a log of an earlier shard any more (decision 0017).
        if kept is None or place is None or is_past(log):
            continue
        kind = log if log in (GOV_LOG, UNROUTED) else "calls"
        sizes[kind, place] = kept[0]
    return MeasuredFamily(f.SIGNED, sizes)


def _metrics_of_records(inside: NodeInsides, seen: VisibleSeries) -> Iterator[MeasuredFamily]:
    counts = inside.recorder.counts
    outcomes: Counter[tuple[str, ...]] = Counter()
    durations: defaultdict[tuple[str, ...], list[Histogram]] = defaultdict(list)
    for (log, server), calls in counts.calls.items():
        place = seen.place(log)
        if place is None:
            continue
        # A server that was removed has no alias: its calls stay, under an empty one, since a sum of
        # counters must not go down.
        key = (place, seen.aliases.get(server, ""))
        for outcome, many in calls.outcomes.items():
            outcomes[*key, outcome] += many
        durations[key].append(calls.durations)
    yield MeasuredFamily(f.CALLS, {**outcomes})
    yield MeasuredFamily(f.DURATION, spread={key: merged(each) for key, each in durations.items()})
    yield _by_place(f.DENIED, counts.denied, seen)
    yield _by_place(f.ANSWERED, counts.answered, seen)
    yield _by_place(f.REFUSED, counts.refused, seen)
    yield _by_place(f.UNAUTHENTICATED, counts.unauthenticated, seen)
    yield _by_place(f.WITHHELD, counts.withheld, seen)


def _metrics_in_flight(inside: NodeInsides, seen: VisibleSeries) -> Iterator[MeasuredFamily]:
    calls: Counter[tuple[str, ...]] = Counter()
    parked: Counter[tuple[str, ...]] = Counter(dict.fromkeys(((s,) for s in seen.workspaces), 0))
    streams = parked.copy()
    for server in seen.servers:
        # Prometheus takes a series that is missing for no data and not for a zero.
        calls[seen.slug(server.workspace) or "", server.alias] = 0
    for running in inside.inflight.running():
        # What is not this reader's is left out whole: under an empty label it would still be
        # counted.
        place = seen.slug(running.workspace)
        if place is None:
            continue
        if running.kind == "stream":
            streams[(place,)] += 1
        elif running.parked:
            parked[(place,)] += 1
        else:
            calls[place, seen.aliases.get(running.server, "")] += 1
    yield MeasuredFamily(f.IN_FLIGHT, {**calls})
    yield MeasuredFamily(f.PARKED, {**parked})
    yield MeasuredFamily(f.STREAMS, {**streams})


def _metrics_of_servers(inside: NodeInsides, seen: VisibleSeries) -> Iterator[MeasuredFamily]:
    load = inside.load()
    # Each state has its zero, for the same reason as the calls in flight.
    states: Numbers = {(slug, state): 0 for slug in seen.workspaces for state in _STATES}
    ready: Numbers = {}
    pending: Numbers = {}
    restarts: Numbers = {}
    for server in seen.servers:
        place, health = seen.slug(server.workspace) or "", inside.upstreams.health(server.id)
        states[place, health.state] = states.get((place, health.state), 0) + 1
        key = (place, server.alias)
        ready[key], restarts[key] = health.state == "ready", health.restarts
        pending[key] = load[server.id].pending if server.id in load else 0
    yield MeasuredFamily(f.SERVERS, states)
    yield MeasuredFamily(f.SERVER_READY, ready)
    yield MeasuredFamily(f.PENDING, pending)
    yield MeasuredFamily(f.RESTARTS, restarts)


def _metrics_of_instances(usage: InstanceUsage, seen: VisibleSeries) -> Iterator[MeasuredFamily]:
    durations: defaultdict[tuple[str, ...], list[Histogram]] = defaultdict(list)
    for place, spread in usage.durations.items():
        slug = seen.slug(place[0])
        if slug is not None:
            durations[slug, seen.aliases.get(place[1], "")].append(spread)
    yield MeasuredFamily(f.INSTANCES, _by_server(usage.instances, seen))
    yield MeasuredFamily(f.INSTANCE_STARTS, _by_server(_unworded(usage.starts), seen))
    yield MeasuredFamily(f.INSTANCE_REFUSALS, _by_server(usage.refusals, seen))
    yield MeasuredFamily(
        f.INSTANCE_START, spread={key: merged(each) for key, each in durations.items()}
    )
    yield MeasuredFamily(f.INSTANCE_MEMORY, _by_server(_unworded(usage.memory), seen))
    yield MeasuredFamily(f.INSTANCE_PROCESSOR, _by_server(_unworded(usage.processor), seen))


def _unworded(numbers: Mapping[Place, float]) -> dict[tuple[Place, str], float]:
    return {(place, ""): number for place, number in numbers.items()}


def _by_server(numbers: Mapping[tuple[Place, str], float], seen: VisibleSeries) -> Numbers:
    """By workspace, alias and word, if there is one; removed servers are added up without alias."""
    found: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for ((workspace, server), word), number in numbers.items():
        slug = seen.slug(workspace)
        if slug is not None:
            key = (slug, seen.aliases.get(server, ""))
            found[(*key, word) if word else key] += number
    return {**found}


def _single_value_metric(family: f.MetricFamily, number: float) -> MeasuredFamily:
    return MeasuredFamily(family, {(): number})


def _by_place(family: f.MetricFamily, counted: Reasons, seen: VisibleSeries) -> MeasuredFamily:
    numbers: Counter[tuple[str, ...]] = Counter()
    for (log, reason), many in counted.items():
        place = seen.place(log)
        if place is not None:
            numbers[place, reason] += many
    return MeasuredFamily(family, {**numbers})
