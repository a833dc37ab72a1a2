"""The leaves of a `calls` log, each declared once: the reference and the schema are made of this.

A leaf is JCS JSON (RFC 8785). Each struct lists its fields alphabetically, holds only strings,
integers and structs of the same make, and is encoded by `encode`; that equals the canonical form
for such values (a property test compares it with an RFC 8785 library). Times are RFC 3339 UTC with
six digits. `actor_c` commits to the opening (`core.records.opening`) and is the only trace of a
person. Sizes are in bytes, durations in milliseconds.

A field with a default is left out where it has that value, but for those that are always there:
`Later` is what the recorder finds out, `always` what the type settles.
"""

from typing import Literal, get_args

import msgspec

from gatelodge.core.records.hosting_leaves import (
    HOSTING_MEANINGS,
    EgressClosed,
    EgressLate,
    EgressOpened,
    EgressRefused,
    InstanceAttested,
    InstanceLate,
    InstanceRefused,
    InstanceStarted,
    InstanceStopped,
    InstanceWoken,
)
from gatelodge.core.records.leaf import Later, LogLeaf, always

Outcome = Literal[
    "ok",
    "tool_error",
    "rpc_error",
    "input_required",
    "task_started",
    "timeout",
    "cancelled",
    "client_gone",
    "revoked",
    "stale",
    "upstream_unreachable",
    "upstream_protocol",
    "blocked_response",
    "internal",
]
"""How a forwarded call ended; `revoked` = access ended while it ran, `stale` = nobody's ended, but
the node could not prove that."""

WithheldReason = Literal[
    "revoked",
    "server_disabled",
    "stale",
    "changed",
    "unavailable",
    "shutdown",
    "client_gone",
    "cancelled",
]
"""Why; `changed` = what the caller may use was something else by the time when it would have left,
`unavailable` = another part of its batch could not be answered."""

UnresolvedReason = Literal[
    "gateway_restart", "outcome_write_failed", "shutdown_timeout", "node_lost"
]

RefusedReason = Literal[
    "malformed_http",
    "malformed_json",
    "duplicate_key",
    "duplicate_header",
    "invalid_request",
    "invalid_params",
    "header_mismatch",
    "unsupported_version",
    "method_unknown",
    "method_not_allowed",
    "session_unknown",
    "too_large",
    "origin_not_allowed",
    "forbidden",
    "not_found",
    "stale",
    "unavailable",
    "limit",
    "client_gone",
    "preflight",
    "internal",
]
"""Why; `preflight` = a browser asked what it may send, and was told (status 204)."""

MEANINGS: dict[str, str] = {
    "actor_c": "Commitment to the opening, which says who called, and to all that follows it in "
    "this leaf; the only trace of a person (decisions 0006 and 0016). Empty when no caller was "
    "known.",
    "at": "When it was written, RFC 3339 UTC with six digits.",
    "bytes_in": "Size of the request's body.",
    "bytes_out": "Size of the answer's body; 0 when none was handed on.",
    "call": "The call's id; its first six bytes are the time in milliseconds.",
    "count": "How many requests this record stands for.",
    "credential": "The id of the token that was good no more, where it once was one of this "
    "workspace.",
    "decision": "`allow` or `deny`.",
    "gov": "Size of the gov log that the decision was made under.",
    "http": "The HTTP status that was answered; 0 when the connection was gone.",
    "intent": "Index of the `call.intent` that this closes.",
    "method": "The JSON-RPC method, when it is one that MCP knows.",
    "ms": "Milliseconds from the opening record to this one.",
    "node": "The gate's process that wrote it.",
    "origin": "The log's name: the first line of its checkpoints.",
    "outcome": "How it ended.",
    "policy": "Digest of all grants and guardrails in force.",
    "process": "True when a process of the server was started for this call: a session of the "
    "caller's own with it began.",
    "proto": "The revision of MCP that the client speaks.",
    "reason": "Why.",
    "rpc_code": "The JSON-RPC error code, when there was one.",
    "rule": "The grant or guardrail that decided.",
    "server": "The upstream server's id.",
    "stream": "The listen stream's id.",
    "t": "The type of the leaf.",
    "tool": "The tool's own name at its server.",
    "tool_def": "SHA-256 of the approved definition of the tool.",
    "v": "Version of this type: 2 where there is an `actor_c`, else 1.",
    "window_ms": "Over how long they were counted.",
    **HOSTING_MEANINGS,
}
"""What a field says, in whichever leaf it stands."""


class CallIntent(LogLeaf, kw_only=True):
    """A call was allowed and is about to be forwarded. Durable before the upstream sees a byte."""

    opens = "call"

    actor_c: Later = ""
    at: Later = ""
    bytes_in: int
    call: Later = ""
    decision: str = always("allow")
    gov: int
    method: str
    node: Later = ""
    policy: str
    proto: str
    rule: str
    server: str
    t: str = always("call.intent")
    tool: str
    tool_def: str
    v: int = always(2)


class CallDenied(LogLeaf, kw_only=True):
    """A call was not allowed; opens and closes at once. `server`/`tool` only when they exist."""

    actor_c: Later = ""
    at: Later = ""
    bytes_in: int
    call: Later = ""
    decision: str = always("deny")
    gov: int
    method: str
    node: Later = ""
    policy: str
    proto: str
    reason: str
    rule: str = ""
    server: str = ""
    t: str = always("call.denied")
    tool: str = ""
    v: int = always(2)


class CallOutcome(LogLeaf, kw_only=True):
    """How a forwarded call ended; closes the intent of the same `call`."""

    closes = "call"
    late = "call.late"

    at: Later = ""
    bytes_out: int
    call: str
    ms: int
    node: Later = ""
    outcome: Outcome
    process: bool = False
    rpc_code: int | None = None
    t: str = always("call.outcome")
    v: int = always(1)


class CallUnresolved(LogLeaf, kw_only=True):
    """An intent whose outcome nobody will ever know; closes it. `intent` is its index."""

    closes = "call"

    at: Later = ""
    call: str
    intent: int
    node: Later = ""
    reason: UnresolvedReason
    t: str = always("call.unresolved")
    v: int = always(1)


class RequestAnswered(LogLeaf, kw_only=True):
    """A request that the gate answered itself (a list, a ping, a handshake)."""

    actor_c: Later = ""
    at: Later = ""
    bytes_in: int
    bytes_out: int
    gov: int
    method: str
    ms: int
    node: Later = ""
    outcome: Literal["ok", "rpc_error"]
    proto: str
    rpc_code: int | None = None
    t: str = always("request.answered")
    v: int = always(2)


class RequestRefused(LogLeaf, kw_only=True):
    """A request that was turned away before any decision; `actor_c` when the caller was known.

    Many requests of unknown callers are one leaf with their exact `count` and all their bytes.
    """

    actor_c: str = ""
    at: Later = ""
    bytes_in: int
    count: int = 1
    http: int
    node: Later = ""
    reason: RefusedReason
    t: str = always("request.refused")
    v: int = always(1)
    window_ms: int = 0


class AuthFailed(LogLeaf, kw_only=True):
    """Requests without a good credential; a burst is one leaf with its exact `count`.

    `credential` is whose token it was that is good no more: one of this log's workspace.
    """

    at: Later = ""
    count: int
    credential: str = ""
    node: Later = ""
    reason: str
    t: str = always("auth.failed")
    v: int = always(1)
    window_ms: int


class StreamOpened(LogLeaf, kw_only=True):
    """A member opened a listen stream."""

    opens = "stream"

    actor_c: Later = ""
    at: Later = ""
    gov: int
    node: Later = ""
    proto: str
    stream: Later = ""
    t: str = always("stream.opened")
    v: int = always(2)


class StreamClosed(LogLeaf, kw_only=True):
    """A listen stream ended; closes `stream.opened` of the same `stream`."""

    closes = "stream"
    late = "stream.late"

    at: Later = ""
    ms: int
    node: Later = ""
    reason: str
    stream: str
    t: str = always("stream.closed")
    v: int = always(1)


class CallLate(CallOutcome, kw_only=True):
    """An outcome that came after the call was closed as unresolved; closes nothing."""

    closes = late = ""
    t: str = always("call.late")


class StreamLate(StreamClosed, kw_only=True):
    """The end of a stream that had been closed for its lost node; closes nothing."""

    closes = late = ""
    t: str = always("stream.late")


class AnswerWithheld(LogLeaf, kw_only=True):
    """An answer that was recorded did not leave: access ended meanwhile, or could not be confirmed.

    `call` names the call; a request that the gate answered itself has none. Closes nothing.
    """

    at: Later = ""
    call: str = ""
    method: str
    node: Later = ""
    reason: WithheldReason
    t: str = always("answer.withheld")
    v: int = always(1)


class LogOpened(LogLeaf, kw_only=True):
    """The first leaf of each log."""

    at: Later = ""
    node: Later = ""
    origin: str
    t: str = always("log.opened")
    v: int = always(1)


CallsLeaf = (
    CallIntent
    | CallDenied
    | CallOutcome
    | CallUnresolved
    | RequestAnswered
    | RequestRefused
    | AuthFailed
    | StreamOpened
    | StreamClosed
    | CallLate
    | StreamLate
    | AnswerWithheld
    | InstanceStarted
    | InstanceRefused
    | InstanceAttested
    | InstanceWoken
    | InstanceStopped
    | InstanceLate
    | EgressOpened
    | EgressClosed
    | EgressLate
    | EgressRefused
    | LogOpened
)


def _word_of(kind: type[CallsLeaf]) -> str:
    """The `t` that every leaf of this type has."""
    (t,) = (field for field in msgspec.structs.fields(kind) if field.name == "t")
    return str(t.default_factory())


LEAVES: dict[str, type[CallsLeaf]] = {_word_of(kind): kind for kind in get_args(CallsLeaf)}
"""Each leaf type by its `t`. A type that is not here is preserved and counted, never an error."""

OPENS: dict[str, str] = {word: kind.opens for word, kind in LEAVES.items() if kind.opens}
"""Leaf types that wait for a closing one, and the field that names the pair."""

CLOSES: dict[str, str] = {word: kind.closes for word, kind in LEAVES.items() if kind.closes}

LATE: dict[str, str] = {word: kind.late for word, kind in LEAVES.items() if kind.late}
"""What a closer is called when its pair was closed before."""

encode = msgspec.json.Encoder().encode
"""Encode a leaf to its canonical bytes."""
