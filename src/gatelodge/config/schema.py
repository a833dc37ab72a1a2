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
UIDS = 60_000
"""So many uids from `hosting.first_uid` on are for servers, and so many after those for builds."""


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
    beyond it the answer is 429. Whoever may do it for others, and the operator, are not counted. As
    often, and counted apart, they may look at what was recorded about them."""
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


class KeySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What wraps the keys of the vault's secrets."""

    vault_root: str = "file:"
    """`file:` = the gate's own key (`keys/kek`), `file:/PATH` or `env:NAME` = another one of 64
    hexadecimal digits, `vault:https://HOST/v1/transit/keys/NAME` = a key of the transit engine of
    HashiCorp Vault or OpenBao, which never leaves it. Change it with `gatelodge secret rewrap`."""
    vault_token: str = "env:VAULT_TOKEN"  # noqa: S105 - where it is, not what
    """Reference to the token that the transit engine is shown: `env:NAME` or `file:/PATH`, read at
    each request."""
    former_vault_roots: tuple[str, ...] = ()
    """Roots that wrapped keys before: they only unwrap, until `gatelodge secret rewrap` is done."""


class HostingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gate runs servers itself: isolated, from images, or as child processes."""

    runtime: Literal["auto", "oci", "landlock", "docker", "kubernetes"] = "auto"
    """What runs servers that are built from packages: `oci` = containers of this gate (runc, crun,
    runsc), `landlock` = weaker, without any other program, `docker` = the engine of this machine,
    `kubernetes` = pods; `auto` = `oci` where a trial start works, else `landlock`. A server is
    refused where nothing offers the isolation that it asks for."""
    production: bool = False
    """Refuse what is for development only: servers started as plain child processes, and packages
    fetched by tools that this machine cannot keep in a sandbox."""
    production_scripts: bool = False
    """In production, too, have the scripts of packages run that the operator names
    (`gatelodge server add --run-scripts`); else they are refused there."""
    idle_seconds: Annotated[float, Meta(ge=0, le=604_800)] = 900.0
    """A server in isolation that nobody used for so long is ended, and started again by the next
    call; 0 = never."""
    plain_commands: Literal["process", "sandbox"] = "sandbox"
    """How commands of this machine are run, which are no package: `sandbox` = behind namespaces,
    Landlock and seccomp (weak): they see the system, their own program and their home, and no
    network; `process` = as child processes, not isolated, which `hosting.production` refuses."""
    writable_paths: tuple[str, ...] = ()
    """Directories that a command in the sandbox may write to, where its approved words name them
    (or one below them) by their whole path; all others that it names it can only read."""
    instances: Count = 500
    """Instances of all servers that this node runs at once."""
    instances_per_server: Count = 128
    """The same of one server."""
    instances_per_person: Count = 64
    """The same that are one person's own, agents included."""
    connections_per_minute: Count = 600
    """Connections to allowed places that one instance may open within a minute: each is recorded
    before it is made."""
    first_uid: Annotated[int, Meta(ge=1_000, le=2_000_000_000)] = 210_000
    """Where the gate is root, each stdio server gets a uid of its own from here on: one of 60,000.
    Each build of a package gets one of the 60,000 after those. All of them have to end before
    `hosting.first_range`."""
    path: str = "/usr/local/bin:/usr/bin:/bin:~/.local/bin"
    """Where the programs of stdio servers are looked for, and their PATH; `~` is the home of the
    gate's own user."""
    api_commands: tuple[str, ...] = ()
    """Commands that owners and admins may give a stdio server over the network: patterns word by
    word, such as `npx -y @acme/*`; a last `**` takes any further words. Empty = stdio servers are
    described by the operator on the gate's own machine alone."""
    api_sources: tuple[str, ...] = ()
    """Packages that owners and admins may have built over the network: patterns of sources, such as
    `pypi:acme-*@*`. Empty = the operator on the gate's own machine alone has packages built."""
    build_seconds: Seconds = 600.0
    """How long one tool may take to fetch or install the packages of a server, and how long an
    image of a registry, or a file, may take to come."""
    build_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40)] = 2 << 30
    """How much the packages of one server may take while they are fetched and installed, or the
    layers of its image."""
    private_origins: tuple[str, ...] = ()
    """Registries, hosts of files (`url:`), and whom they redirect to, that may be at private or
    loopback addresses: `https://HOST:PORT`, or `http://HOST:PORT` for one that is asked without
    TLS; empty = none."""
    registry_logins: tuple[str, ...] = ()
    """Who the gate is at registries: `HOST=USER=env:NAME`, `HOST=USER=file:/PATH`, or without a
    user for a token. A login opens a registry to everybody who may have packages built from it."""
    cache_dir: str = ""
    """Where each stdio server has a cache that outlasts its start (npx, uvx); empty =
    `/var/cache/gatelodge` where the gate is root, else `cache` in the data directory. Other uids
    must be able to reach it."""
    first_range: Annotated[int, Meta(ge=100_000, le=1_900_000_000)] = 1_879_048_192
    """Where the gate is root, each container gets 65,536 uids of its own from here on, which
    nothing else may use; by default those between what systemd gives to containers and 2^31."""
    stop_seconds: Seconds = 3.0
    """How long a server may take to go after its input closed, and again after TERM."""
    egress_private: tuple[str, ...] = ()
    """Places (`host:port`) that may lead to a private or loopback address when a hosted server that
    may connect to them does; empty = none. Metadata and link-local addresses stay closed."""
    kubernetes_config: str = ""
    """Path of the kubeconfig of the cluster that runs servers; empty = the cluster that the gate
    itself runs in, by its service account."""
    kubernetes_namespace: str = "gatelodge-instances"
    """Namespace of hosted servers, and of nothing else."""
    kubernetes_images: str = ""
    """Repository from which the cluster pulls images by their digest, such as
    `registry.example.com/mcp`; each image has to be pushed there before its server is started."""
    kubernetes_strong_class: str = ""
    """RuntimeClass with a kernel of its own (gVisor, Kata) for servers of the tier strong; empty =
    those are refused."""
    docker_url: str = ""
    """Where Docker Engine (20.10 or later) or Podman (4.3 or later) listens: `unix:///PATH`, or
    `tcp://127.0.0.1:PORT`; empty = none is used. Whoever can open it is root on the engine's
    machine, or the user that a rootless engine runs as. Wants the extra: `gatelodge[docker]`."""


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


class TrustSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gate learns about a server before it is installed, and what has to be known."""

    require_card: bool = False
    """Start no image before somebody approved a trust card of it in its workspace
    (`gatelodge card approve`), and none whose card was rejected or whose approval ended. It is
    asked at each start."""
    advisories_dir: str = ""
    """Directory of imported advisories in the OSV form: `.json` files and `.zip` archives, also in
    folders; those of one ecosystem alone may be called `pypi` or `npm`. Empty = none."""
    mcp_registry: str = ""
    """Base URL of an MCP registry that is asked (`/v0.1/servers`), such as
    `https://registry.example.com`; it learns which servers are looked at. Empty = none."""
    mcp_records_dir: str = ""
    """Directory of imported records of an MCP registry: `server.json` files, alone or as the
    registry answers with them. Empty = none."""
    git_mirrors: str = ""
    """Directory of bare mirrors of repositories, each at `HOST/OWNER/NAME.git`, which somebody
    else keeps up to date. Empty = none."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections."""

    data_dir: str = "gatelodge-data"
    """Directory of the database, journal, keys and the local socket."""
    listen: ListenSettings = ListenSettings()
    store: StoreSettings = StoreSettings()
    audit: AuditSettings = AuditSettings()
    limits: LimitSettings = LimitSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    keys: KeySettings = KeySettings()
    hosting: HostingSettings = HostingSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    trust: TrustSettings = TrustSettings()
