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


BUILD = MetricFamily("gatelodge_build", "info", "The version that runs.", ("version",))
READY = MetricFamily(
    "gatelodge_node_ready", "gauge", "1 while this node serves calls, as /readyz says."
)
FRESH = MetricFamily(
    "gatelodge_node_fresh", "gauge", "1 while this node can prove that its view holds."
)
GOV = MetricFamily(
    "gatelodge_gov_version", "gauge", "Changes of the gov log that this node decides by."
)
CONNECTIONS = MetricFamily(
    "gatelodge_client_connections",
    "gauge",
    "Open connections of clients; strangers are those over which no good token came yet.",
    ("kind",),
)
HELD = MetricFamily(
    "gatelodge_client_held_bytes",
    "gauge",
    "Bytes under way for clients: what is limited by limits.stranger_bytes, limits.total_bytes.",
    ("kind",),
)
LAG = MetricFamily(
    "gatelodge_event_loop_lag_seconds",
    "histogram",
    "How late the event loop woke a task that sleeps for 50 ms.",
)
WORK = MetricFamily(
    "gatelodge_work", "gauge", "Background work that fails for 3 s, or takes over 30 s.", ("state",)
)
TROUBLE = MetricFamily(
    "gatelodge_work_trouble", "gauge", "1 for each such work, by its name.", ("kind", "state")
)
JOURNAL_FAILED = MetricFamily(
    "gatelodge_journal_failed", "gauge", "1 while records cannot be made durable: no call is taken."
)
UNWRITTEN = MetricFamily(
    "gatelodge_journal_unwritten_records", "gauge", "Records that are not on disk yet."
)
BACKLOG = MetricFamily(
    "gatelodge_journal_backlog_frames",
    "gauge",
    "Durable writes not in the Merkle logs yet; not known with PostgreSQL.",
)
CHECKPOINT = MetricFamily(
    "gatelodge_checkpoint_age_seconds",
    "gauge",
    "Since this node last found every log signed as far as it went.",
)
SIGNED = MetricFamily(
    "gatelodge_log_signed_leaves",
    "gauge",
    "Leaves of a log that were signed.",
    ("kind", "workspace"),
)
CALLS = MetricFamily(
    "gatelodge_calls",
    "counter",
    "Forwarded calls that ended, by outcome (docs/reference/records.md, call.outcome).",
    ("workspace", "server", "outcome"),
)
DURATION = MetricFamily(
    "gatelodge_call_duration_seconds",
    "histogram",
    "How long they took, the gate's own part included, in whole milliseconds.",
    ("workspace", "server"),
)
DENIED = MetricFamily(
    "gatelodge_calls_denied", "counter", "Calls that were not allowed.", ("workspace", "reason")
)
ANSWERED = MetricFamily(
    "gatelodge_requests_answered",
    "counter",
    "Requests that the gate answered itself: lists, handshakes, pings.",
    ("workspace", "outcome"),
)
REFUSED = MetricFamily(
    "gatelodge_requests_refused",
    "counter",
    "Requests turned away before any decision.",
    ("workspace", "reason"),
)
UNAUTHENTICATED = MetricFamily(
    "gatelodge_sign_ins_failed",
    "counter",
    "Requests without a good token.",
    ("workspace", "reason"),
)
WITHHELD = MetricFamily(
    "gatelodge_answers_withheld",
    "counter",
    "Answers that were recorded and did not leave.",
    ("workspace", "reason"),
)
IN_FLIGHT = MetricFamily(
    "gatelodge_calls_in_flight", "gauge", "Calls under way now.", ("workspace", "server")
)
PARKED = MetricFamily(
    "gatelodge_calls_parked", "gauge", "Calls that wait for their client to answer.", ("workspace",)
)
STREAMS = MetricFamily("gatelodge_listen_streams", "gauge", "Open listen streams.", ("workspace",))
SERVERS = MetricFamily(
    "gatelodge_servers",
    "gauge",
    "Approved servers, by state (waiting = backing off).",
    ("workspace", "state"),
)
SERVER_READY = MetricFamily(
    "gatelodge_server_ready", "gauge", "1 while a server is ready.", ("workspace", "server")
)
PENDING = MetricFamily(
    "gatelodge_server_pending_requests",
    "gauge",
    "Requests that wait for a server's answer, or for the server.",
    ("workspace", "server"),
)
RESTARTS = MetricFamily(
    "gatelodge_server_restarts",
    "counter",
    "How often a server that had been ready was lost.",
    ("workspace", "server"),
)

FAMILIES = (
    BUILD, READY, FRESH, GOV, CONNECTIONS, HELD, LAG, WORK, TROUBLE, JOURNAL_FAILED, UNWRITTEN,
    BACKLOG, CHECKPOINT, SIGNED, CALLS, DURATION, DENIED, ANSWERED, REFUSED, UNAUTHENTICATED,
    WITHHELD, IN_FLIGHT, PARKED, STREAMS, SERVERS, SERVER_READY, PENDING, RESTARTS,
)  # fmt: skip
