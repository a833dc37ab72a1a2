"""Every metric: its name, what it says, its labels. `docs/reference/metrics.md` is made from here.

A label holds a word of ours, a workspace's slug or a server's alias; never a person, a token, the
name of a tool or a call, a URI or a payload. A workspace that is empty stands for requests that
reached none.
"""

from typing import Literal

from msgspec import Struct

Kind = Literal["counter", "gauge", "histogram", "info"]


class MetricFamily(Struct, frozen=True):
    """One metric. Counters and histograms begin with the process."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The name as a scrape shows it."""
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


def _info_family(name: str, says: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "info", says, labels)


def _gauge_family(name: str, says: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "gauge", says, labels)


def _counter_family(name: str, says: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "counter", says, labels)


def _histogram_family(name: str, says: str, *labels: str) -> MetricFamily:
    return MetricFamily(name, "histogram", says, labels)


BUILD = _info_family("gatelodge_build", "The version that runs.", "version")
READY = _gauge_family("gatelodge_node_ready", "1 while this node serves calls, as /readyz says.")
FRESH = _gauge_family("gatelodge_node_fresh", "1 while this node can prove that its view holds.")
GOV = _gauge_family("gatelodge_gov_version", "Changes of the gov log that this node decides by.")
CONNECTIONS = _gauge_family(
    "gatelodge_client_connections",
    "Open connections of clients; strangers are those over which no good token came yet.",
    "kind",
)
HELD = _gauge_family(
    "gatelodge_client_held_bytes",
    "Bytes under way for clients: what is limited by limits.stranger_bytes, limits.total_bytes.",
    "kind",
)
LAG = _histogram_family(
    "gatelodge_event_loop_lag_seconds", "How late the event loop woke a task that sleeps for 50 ms."
)
WORK = _gauge_family(
    "gatelodge_work", "Background work that fails for 3 s, or takes over 30 s.", "state"
)
TROUBLE = _gauge_family(
    "gatelodge_work_trouble", "1 for each such work, by its name.", "kind", "state"
)
JOURNAL_FAILED = _gauge_family(
    "gatelodge_journal_failed", "1 while records cannot be made durable: no call is taken."
)
UNWRITTEN = _gauge_family(
    "gatelodge_journal_unwritten_records", "Records that are not on disk yet."
)
BACKLOG = _gauge_family(
    "gatelodge_journal_backlog_frames",
    "Durable writes not in the Merkle logs yet; not known with PostgreSQL.",
)
CHECKPOINT = _gauge_family(
    "gatelodge_checkpoint_age_seconds",
    "Since this node last found every log signed as far as it went.",
)
SIGNED = _gauge_family(
    "gatelodge_log_signed_leaves", "Leaves of a log that were signed.", "kind", "workspace"
)
CALLS = _counter_family(
    "gatelodge_calls",
    "Forwarded calls that ended, by outcome (docs/reference/records.md, call.outcome).",
    "workspace",
    "server",
    "outcome",
)
DURATION = _histogram_family(
    "gatelodge_call_duration_seconds",
    "How long they took, the gate's own part included, in whole milliseconds.",
    "workspace",
    "server",
)
DENIED = _counter_family(
    "gatelodge_calls_denied", "Calls that were not allowed.", "workspace", "reason"
)
ANSWERED = _counter_family(
    "gatelodge_requests_answered",
    "Requests that the gate answered itself: lists, handshakes, pings.",
    "workspace",
    "outcome",
)
REFUSED = _counter_family(
    "gatelodge_requests_refused", "Requests turned away before any decision.", "workspace", "reason"
)
UNAUTHENTICATED = _counter_family(
    "gatelodge_sign_ins_failed", "Requests without a good token.", "workspace", "reason"
)
WITHHELD = _counter_family(
    "gatelodge_answers_withheld",
    "Answers that were recorded and did not leave.",
    "workspace",
    "reason",
)
IN_FLIGHT = _gauge_family(
    "gatelodge_calls_in_flight", "Calls under way now.", "workspace", "server"
)
PARKED = _gauge_family(
    "gatelodge_calls_parked", "Calls that wait for their client to answer.", "workspace"
)
STREAMS = _gauge_family("gatelodge_listen_streams", "Open listen streams.", "workspace")
JOBS = _gauge_family("gatelodge_jobs_running", "Jobs that this node runs.", "kind")
SERVERS = _gauge_family(
    "gatelodge_servers", "Approved servers, by state (waiting = backing off).", "workspace", "state"
)
SERVER_READY = _gauge_family(
    "gatelodge_server_ready", "1 while a server is ready.", "workspace", "server"
)
PENDING = _gauge_family(
    "gatelodge_server_pending_requests",
    "Requests that wait for a server's answer, or for the server.",
    "workspace",
    "server",
)
RESTARTS = _counter_family(
    "gatelodge_server_restarts",
    "How often a server that had been ready was lost.",
    "workspace",
    "server",
)
INSTANCES = _gauge_family(
    "gatelodge_instances",
    "What runs of a server now, by the isolation that was found.",
    "workspace",
    "server",
    "tier",
)
INSTANCE_STARTS = _counter_family(
    "gatelodge_instance_starts",
    "Instances that were found isolated as they have to be, and recorded.",
    "workspace",
    "server",
)
INSTANCE_REFUSALS = _counter_family(
    "gatelodge_instance_refusals",
    "Instances that were not let run: found wanting (isolation), or not to be started (start).",
    "workspace",
    "server",
    "reason",
)
INSTANCE_START = _histogram_family(
    "gatelodge_instance_start_seconds",
    "How long a start took until its isolation was found and recorded; the handshake comes after.",
    "workspace",
    "server",
)
INSTANCE_MEMORY = _gauge_family(
    "gatelodge_instance_memory_bytes",
    "What the instances of a server take together, as seen within the last ten seconds.",
    "workspace",
    "server",
)
INSTANCE_PROCESSOR = _counter_family(
    "gatelodge_instance_cpu_seconds",
    "Processor time of a server's instances, where their runtime can tell.",
    "workspace",
    "server",
)

FAMILIES = (
    BUILD, READY, FRESH, GOV, CONNECTIONS, HELD, LAG, WORK, TROUBLE, JOURNAL_FAILED, UNWRITTEN,
    BACKLOG, CHECKPOINT, SIGNED, CALLS, DURATION, DENIED, ANSWERED, REFUSED, UNAUTHENTICATED,
    WITHHELD, IN_FLIGHT, PARKED, STREAMS, JOBS, SERVERS, SERVER_READY, PENDING, RESTARTS,
    INSTANCES, INSTANCE_STARTS, INSTANCE_REFUSALS, INSTANCE_START, INSTANCE_MEMORY,
    INSTANCE_PROCESSOR,
)  # fmt: skip
