"""What the generated pages say that no code says: their first lines, and what fields mean."""

SETTINGS = """# Settings

One TOML file, `gatelodge.toml`. Later sources win: defaults, the file, the environment
(`GATELODGE_AUDIT__DURABILITY=strict`), the command line (`--set audit.durability=strict`).
`gatelodge config show` prints each value with where it came from. An unknown key is an error that
names the nearest known one."""

ERRORS = """# Errors

Each error has a code that extends its parent's, so a program may match a whole branch by its
prefix. The admin API answers `application/problem+json` (RFC 9457) with `code`, `detail` and
`remedy`; the MCP endpoint a JSON-RPC error; the command line an exit code. A denied call is none of
these: it is a tool result with `isError` that names the rule.

| code | meaning | HTTP | JSON-RPC | exit |
|---|---|---|---|---|"""

RECORDS = """# Records of the calls logs

A leaf is one JSON object in canonical form (RFC 8785) and holds no payload and no name of a person.
Each workspace has a log of its own; requests that reach no workspace stand in the log `unrouted`
(decision 0013). A verifier keeps and counts types that it does not know. The same as a JSON Schema:
[records.schema.json](records.schema.json). The leaves of the `gov` log:
[gov-records.md](gov-records.md)."""

METRICS = """# Metrics

What `/metrics` shows, in the text format of Prometheus or, where Accept names it, OpenMetrics. Who
may read it, and what to watch: [operations](../operations.md#watching-a-node). Counters and
histograms begin with the process; nothing is kept over a restart, and each node has its own.

A label holds a word of the gate, a workspace's slug or a server's alias, and never a person, a
token, the name of a tool, a call's id, a URI or anything of a payload. `workspace` is empty for
requests that reached none: those stand in the log `unrouted`. `server` is empty where it was
removed since. Beside these stand `process_*` of the process itself: memory, CPU time, descriptors,
when it was started.

| name | kind | labels | what it says |
|---|---|---|---|"""

APPLY = """# The file of `gatelodge apply`

TOML: what a workspace should have, by name. `gatelodge apply FILE --dry-run` says what would
change; a second run changes nothing. What the file does not name stays as it is; with `--prune`,
grants and guardrails that it lacks end, and so do places in the groups that it names. An unknown
key is an error. `gatelodge export` writes the file of a workspace as it is; applied there, it
changes nothing.

```toml
workspace = "main"

[[groups]]
name = "engineers"
members = ["member:ada@example.com", "agent:nightly"]

[[servers]]
alias = "files"
command = ["/usr/local/bin/mcp-server-filesystem", "/srv/files"]
hidden_capabilities = ["roots"]
call_seconds = 120

[[grants]]
to = "group:engineers"
server = "files"
level = "read"
```

A server that the file brings is not observed by it: `gatelodge server observe ALIAS` reads its
tools, `gatelodge server approve ALIAS` pins them."""

COMMANDS = """# Commands

Every command talks to the admin API of a gate: a remote one (`--url`), the one that runs on this
data directory (its local socket), or one started for this command only (decision 0010). `--json`
prints JSON for machines.

## Exit codes

| code | meaning |
|---|---|"""

GUARANTEES = """# Guarantees

What this house promises. Each promise that is kept names the tests that prove it; each promise that
is not kept yet says what is missing. `tests/test_guarantees.py` checks both."""

GOV_RECORDS = """# Records of the gov log

Each change of who may do what is a leaf of the one log `gov`, committed in one transaction with the
change itself (decision 0007). A leaf is one JSON object in canonical form (RFC 8785):

| field | meaning |
|---|---|
| `v` | version, 1 |
| `t` | the type, see below |
| `at` | when, RFC 3339 UTC with six digits |
| `by` | a member's id, `local:UID` (whoever logged in to the gate's own machine) or `system` |
| `node` | the gate's process that wrote it |
| `workspace` | the workspace's id; absent = the whole organization |
| `why` | a ticket or reason code; absent when none was given |
| `subject` | what it is about; its fields are in the table below |

Ids stand in leaves; names and e-mail addresses of people never do. The first leaf, `log.opened`,
has the shape that it has in [every other log](records.md#logopened).

| type | says that | fields of `subject` |
|---|---|---|"""

GOV: dict[str, str] = {
    "log.opened": "the log began",
    "log.restored": "a backup was restored: the first leaf of the new shard, with what is known of "
    "the loss: size and root of each log as it came back, and as it was signed once",
    "workspace.created": "a workspace was made",
    "member.added": "a person came in",
    "member.renamed": "a member is called something else (the name stands in no log)",
    "member.role_changed": "a member's role changed",
    "member.suspended": "a member's access ended until it is resumed",
    "member.resumed": "a suspended member may come in again",
    "member.revoked": "a member's access ended for good",
    "member.erased": "the data keys of a person's openings were destroyed; no command does it yet",
    "agent.added": "an agent was made",
    "agent.suspended": "an agent's access ended until it is resumed",
    "agent.resumed": "a suspended agent may come in again",
    "agent.revoked": "an agent's access ended for good",
    "agent.owner_changed": "another member answers for the agent",
    "group.created": "a group was made",
    "group.removed": "a group is gone",
    "group.member_added": "a principal is in a group",
    "group.member_removed": "a principal is no longer in a group",
    "token.issued": "a token was issued",
    "token.revoked": "a token ended",
    "server.registered": "a server was described; nobody can reach it yet; `run_scripts` names "
    "the packages whose own scripts ran for its image, where any did",
    "server.approved": "a server may be reached as it is described",
    "server.process_started": "a process was started for something else than to serve everybody",
    "server.quarantined": "a hosted server ended too often on a node, which leaves it alone now",
    "server.restarted": "what ran of a server on a node was ended, and it began anew",
    "instance.ended": "somebody had an instance ended, `stopped` in order or `killed`; without "
    "`instance` all of the server were killed, on every node",
    "instance.paused": "somebody had an instance stand still, until it is needed or resumed",
    "instance.resumed": "somebody had a paused instance go on",
    "server.time_limits_changed": "how long a server may take; 0 = as the settings say",
    "server.disabled": "a server is stopped",
    "server.removed": "a server is gone",
    "catalog.observed": "a server's tools were read",
    "tool.approved": "a tool is pinned to this definition",
    "tool.blocked": "a tool may not be called",
    "tool.repinned": "a pin of an earlier version has its digest in today's form",
    "tool.unblocked": "a tool may be called again, as far as it is approved",
    "instructions.observed": "a server tells its sessions something else; nobody hears it yet",
    "instructions.approved": "sessions hear what a server tells them",
    "tool.reviewed": "an admin said what a tool does",
    "grant.created": "somebody may use tools",
    "grant.revoked": "a grant ended",
    "guardrail.published": "a guardrail holds",
    "guardrail.retired": "a guardrail no longer holds",
    "key.enrolled": "keys are in use, by fingerprint",
    "settings.durability_changed": "how records become durable, when it is not `strict`",
    "secret.declared": "a secret has a name in the vault",
    "secret.set": "a secret has a value, or its holder has one; neither it nor a digest of it",
    "secret.rotated": "a value was replaced by another",
    "secret.erased": "the value of one holder was erased",
    "secret.removed": "a secret ended with all its values; `servers` named it",
    "secret.adopted": "values that stood in a server's definition are in the vault now",
    "secret.rewrapped": "keys of values are under the root that the settings name",
    "card.made": "evidence about an image was gathered, and scored by that method",
    "card.approved": "an image may be started, by the evidence of that digest, until then",
    "card.rejected": "an image may not be started any more by that card",
    "revocation.receipt": "when an end of access held on every node",
    "audit.read": "somebody read the records of a workspace",
}
