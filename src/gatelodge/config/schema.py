"""Everything that can be set. The docstring of a field is its reference; each default is good.

Order: defaults, the file, the environment (`GATELODGE_AUDIT__DURABILITY`), `--set`. Secrets are
references (`file:`, `env:`), never values. Sizes are bytes, times are seconds unless the name says
otherwise.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 31)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Share = Annotated[float, Meta(ge=0, le=1)]


class ListenSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gate listens."""

    host: str = "127.0.0.1"
    """Address of the public port. Anything but loopback needs TLS in front."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8720
    """Port of the MCP endpoint; 0 takes a free one."""
    public_url: str = ""
    """The origin that clients use (`https://gate.example.com`); empty = the address itself."""
    allowed_hosts: tuple[str, ...] = ()
    """Host header values accepted besides the address and public_url (DNS rebinding)."""
    allowed_origins: tuple[str, ...] = ()
    """Origin header values accepted besides public_url; a request with another one gets 403. A page
    of one of them may call the endpoint from a browser (CORS) and read its answers."""
    admin_port: Annotated[int, Meta(ge=-1, le=65_535)] = -1
    """A port of its own for the admin API, not the public one; -1 serves it there."""


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where governance state and logs live."""

    url: str = ""
    """`postgresql://...` or a secret reference to it; empty = SQLite in the data directory. Its
    `options` are kept, such as `options=-csearch_path%3Dgate`, but for `synchronous_commit` and the
    timeouts that the gate sets itself. One database holds one gate, whatever the schema."""
    poll_ms: Annotated[int, Meta(ge=20, le=1_000)] = 250
    """How often a node asks for changes."""
    lease_ms: Annotated[int, Meta(ge=200, le=60_000)] = 1_000
    """A node that could not ask for this long refuses to serve."""
    notify: bool = True
    """PostgreSQL: use NOTIFY besides polling."""


class AuditSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How records become durable."""

    durability: Literal["strict", "overlap", "async"] = "strict"
    """strict: intent durable before forward, outcome before the answer. overlap: reviewed
    read-only tools are forwarded while their intent is being written; no answer leaves before it is
    durable. async: nothing waits (a crash may lose the last records); the gov log says so."""
    origin: str = ""
    """First part of each log's origin, such as `gate.example.com`; empty = `localhost`. Never
    change it later: it names the logs."""
    segment_bytes: Bytes = 8 * 1024 * 1024
    """Size of one zero-filled journal file."""
    free_bytes: Bytes = 16 * 1024 * 1024
    """SQLite: with less free on the data directory's disk (or a twentieth of it, if that is less)
    no call is taken; what people change and who they shut out still finds room."""
    sequence_ms: Annotated[int, Meta(ge=20, le=5_000)] = 500
    """How often the journal is moved into the Merkle logs."""
    checkpoint_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1_000
    """How often a growing log's head is signed."""


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one request may cost."""

    body_bytes: Bytes = 4 * 1024 * 1024
    """Largest request body; more gets 413, and so does one of more than 150,000 JSON values."""
    result_bytes: Bytes = 6 * 1024 * 1024
    """Largest result taken from an upstream; more is not handed on, nor one of more than 150,000
    JSON values."""
    header_bytes: Bytes = 32 * 1024
    """Largest request head; more gets 431."""
    json_depth: Annotated[int, Meta(ge=8, le=512)] = 128
    """Deepest nesting of a request's JSON."""
    call_seconds: Seconds = 60.0
    """How long an upstream may take for one call."""
    progress_seconds: Seconds = 600.0
    """How long a call may take in all whose server reports progress, if the client asked for it:
    each report gives it call_seconds more."""
    list_seconds: Seconds = 5.0
    """How long one upstream may take to list its tools."""
    tools_per_server: Count = 1_000
    """Most tools of one server; of one that lists more none is taken, and what was known stays."""
    page_size: Count = 200
    """Tools on one page of a list."""
    name_length: Annotated[int, Meta(ge=32, le=128)] = 48
    """Characters in the shown name of a tool or prompt; a longer one is cut and marked. Clients put
    a prefix of theirs before it, and models take 64 together: see docs/clients.md."""
    connections: Count = 10_000
    """Open client connections. When all are taken, the oldest over which nobody with a token came
    makes room, else one of the person who has more than a quarter of them; fewer are taken where
    the process may not open as many files."""
    stranger_bytes: Bytes = 16 * 1024 * 1024
    """What the gate keeps of all clients together before their tokens are judged; beyond it the
    greediest of them gets 503."""
    person_bytes: Bytes = 64 * 1024 * 1024
    """What one person's clients, agents included, may have under way: bodies that arrive or are
    worked on, results of more than 4 KiB as they come, and answers that are not read. A body beyond
    it gets 429 and a result is not handed on; of what is not read the answer that waits for longest
    is cut off."""
    total_bytes: Bytes = 512 * 1024 * 1024
    """The same of all persons together. Nobody takes more of it than they leave for others."""
    write_seconds: Seconds = 30.0
    """A client that does not take its answer is cut off after this, and a second more for each
    64 KiB of it."""
    streams_per_principal: Count = 32
    """Open listen streams of one person, agents included."""
    calls_per_principal: Count = 256
    """Calls in flight of one person, agents included."""
    denials_per_second: Count = 20
    """Requests of one person, agents included, that are denied or refused; thirty times as many at
    once. More get 429 and are added up in the log: each leaf would be about 0.8 kB."""
    answers_per_second: Count = 100
    """The same of requests that the gate answers itself: lists, handshakes, pings, streams."""
    own_changes_per_minute: Count = 30
    """How often one person may ask for what every member may change, their own tokens, in a minute;
    beyond it the answer is 429. Whoever may do it for others, and the operator, are not counted."""
    question_seconds: Seconds = 300.0
    """How long a client may take to answer what a server asks during a call."""
    parked_per_principal: Count = 32
    """Calls of one person, agents included, that wait for a modern client to answer a legacy
    server."""
    subscriptions: Count = 256
    """Resources that one listen stream, or one legacy session, waits for; all of one person and
    their agents for sixteen times as many."""
    batch_messages: Annotated[int, Meta(ge=1, le=1_000)] = 50
    """Messages in one batch (revision 2025-03-26)."""
    keepalive_seconds: Seconds = 75.0
    """An idle client connection is closed after this; so is one whose request has begun and is not
    whole by then."""
    shutdown_seconds: Seconds = 10.0
    """How long running calls may go on after a stop was asked for. Five seconds later the process
    is gone, also where the store does not answer (exit code 4)."""


class UpstreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How servers are reached, over every transport."""

    start_seconds: Seconds = 20.0
    """How long a server may take to start and shake hands."""
    backoff_seconds: Seconds = 1.0
    """First pause before a server that was lost is tried again; doubles up to a minute."""
    session_idle_seconds: Seconds = 600.0
    """A caller's own session with a server is closed after this time without a request."""
    sessions_per_server: Count = 64
    """Open sessions of callers with one server; over stdio each is a process. At most 8 of them
    belong to one person, agents included, and no more than that person leaves for others. The one
    that was idle for longest makes room for the next."""
    starts_per_minute: Count = 12
    """Processes of one stdio server that one person, their agents included, may have started within
    a minute for sessions of their own."""
    secrets_dir: str = ""
    """Owners and admins may refer to files below `WORKSPACE/` in here, the operator to any; empty =
    `secrets` in the data directory."""
    secrets_prefix: str = "GATELODGE_SECRET_"
    """Owners and admins may refer to variables named this, `WORKSPACE__` in capitals, and anything,
    such as `GATELODGE_SECRET_MAIN__CRM`; empty = to none. The operator may refer to any."""


class HostingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the processes of stdio servers are run: as child processes, not isolated."""

    first_uid: Annotated[int, Meta(ge=1_000, le=2_000_000_000)] = 210_000
    """Where the gate is root, each stdio server gets a uid of its own from here on."""
    path: str = "/usr/local/bin:/usr/bin:/bin:~/.local/bin"
    """Where the programs of stdio servers are looked for, and their PATH; `~` is the home of the
    gate's own user."""
    api_commands: tuple[str, ...] = ()
    """Commands that owners and admins may give a stdio server over the network: patterns word by
    word, such as `npx -y @acme/*`; a last `**` takes any further words. Empty = stdio servers are
    described by the operator on the gate's own machine alone."""
    cache_dir: str = ""
    """Where each stdio server has a cache that outlasts its start (npx, uvx); empty =
    `/var/cache/gatelodge` where the gate is root, else `cache` in the data directory. Other uids
    must be able to reach it."""
    stop_seconds: Seconds = 3.0
    """How long a server may take to go after its input closed, and again after TERM."""


class TelemetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process says of itself."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line that is written to standard error."""
    log_format: Literal["text", "json"] = "text"
    """One line of text, or one JSON object, for each event."""
    open_metrics: bool = False
    """Let anybody who reaches the admin API's port read `/metrics` without a token. It names no
    person, but every workspace, every server's alias, and how much each is used: keep that port
    within your own network then. Else the operator on the machine reads it, and roles that may
    (`metrics.read`), of their own workspace."""
    traces_endpoint: str = ""
    """Where traces are sent: an OTLP/HTTP collector, such as `http://127.0.0.1:4318` (without a
    path `/v1/traces` is added); empty = no traces. Wants the extra: `gatelodge[otel]`."""
    traces_ratio: Share = 0.01
    """The share of requests that are traced: 0 none, 1 all."""
    traces_follow_callers: bool = False
    """Let a caller's `traceparent` say whether its request is traced. Any client can then have all
    of its requests traced; else the ratio alone decides, for them as for the rest."""
    traces_headers: tuple[str, ...] = ()
    """Headers for the collector, each `Name: env:NAME` or `Name: file:/PATH`, perhaps after a word
    (`Authorization: Bearer env:OTLP_TOKEN`); `Name: text:...` for what is no secret. Secrets are
    read anew for each batch. In the environment and in `--set` no space may stand in one."""
    traces_service: str = "gatelodge"
    """What this gate is called in traces (`service.name`)."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections."""

    data_dir: str = "gatelodge-data"
    """Directory of the database, journal, keys and the local socket."""
    listen: ListenSettings = ListenSettings()
    store: StoreSettings = StoreSettings()
    audit: AuditSettings = AuditSettings()
    limits: LimitSettings = LimitSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    hosting: HostingSettings = HostingSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
