"""The leaves of a `calls` log: fields in the order of their names, so encoding is canonical.

A leaf is JCS JSON (RFC 8785). Each struct lists its fields alphabetically, holds only strings,
integers and structs of the same make, and is encoded by `encode`; that equals the canonical form
for such values (a property test compares it with an RFC 8785 library). Times are RFC 3339 UTC with
six digits. `actor_c` commits to the opening (`core.records.opening`) and is the only trace of a
person. Sizes are in bytes, durations in milliseconds.
"""

from typing import Literal

import msgspec
from msgspec import Struct

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


class CallIntent(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A call was allowed and is about to be forwarded. Durable before the upstream sees a byte."""

    actor_c: str
    at: str
    bytes_in: int
    call: str
    decision: str
    gov: int
    method: str
    node: str
    policy: str
    proto: str
    rule: str
    server: str
    t: str
    tool: str
    tool_def: str
    v: int


class CallDenied(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A call was not allowed; opens and closes at once. `server`/`tool` only when they exist."""

    actor_c: str
    at: str
    bytes_in: int
    call: str
    decision: str
    gov: int
    method: str
    node: str
    policy: str
    proto: str
    reason: str
    rule: str = ""
    server: str = ""
    t: str
    tool: str = ""
    v: int


class CallOutcome(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How a forwarded call ended; closes the intent of the same `call`."""

    at: str
    bytes_out: int
    call: str
    ms: int
    node: str
    outcome: str
    process: bool = False
    rpc_code: int | None = None
    t: str
    v: int


class CallUnresolved(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An intent whose outcome nobody will ever know; closes it. `intent` is its index."""

    at: str
    call: str
    intent: int
    node: str
    reason: str
    t: str
    v: int


class RequestAnswered(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A request that the gate answered itself (a list, a ping, a handshake)."""

    actor_c: str
    at: str
    bytes_in: int
    bytes_out: int
    gov: int
    method: str
    ms: int
    node: str
    outcome: str
    proto: str
    rpc_code: int | None = None
    t: str
    v: int


class RequestRefused(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A request that was turned away before any decision; `actor_c` when the caller was known.

    Many requests of unknown callers are one leaf with their exact `count` and all their bytes.
    """

    actor_c: str = ""
    at: str
    bytes_in: int
    count: int = 1
    http: int
    node: str
    reason: str
    t: str
    v: int
    window_ms: int = 0


class AuthFailed(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Requests without a good credential; a burst is one leaf with its exact `count`.

    `credential` is whose token it was that is good no more: one of this log's workspace.
    """

    at: str
    count: int
    credential: str = ""
    node: str
    reason: str
    t: str
    v: int
    window_ms: int


class StreamOpened(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A member opened a listen stream."""

    actor_c: str
    at: str
    gov: int
    node: str
    proto: str
    stream: str
    t: str
    v: int


class StreamClosed(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A listen stream ended; closes `stream.opened` of the same `stream`."""

    at: str
    ms: int
    node: str
    reason: str
    stream: str
    t: str
    v: int


class CallLate(CallOutcome, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An outcome that came after the call was closed as unresolved; closes nothing."""


class StreamLate(StreamClosed, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The end of a stream that had been closed for its lost node; closes nothing."""


class AnswerWithheld(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An answer that was recorded did not leave: access ended meanwhile, or could not be confirmed.

    `call` names the call; a request that the gate answered itself has none. Closes nothing.
    """

    at: str
    call: str = ""
    method: str
    node: str
    reason: str
    t: str
    v: int


class LogOpened(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The first leaf of each log."""

    at: str
    node: str
    origin: str
    t: str
    v: int


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
    | LogOpened
)

LEAVES: dict[str, type[CallsLeaf]] = {
    "call.intent": CallIntent,
    "call.denied": CallDenied,
    "call.outcome": CallOutcome,
    "call.unresolved": CallUnresolved,
    "request.answered": RequestAnswered,
    "request.refused": RequestRefused,
    "auth.failed": AuthFailed,
    "stream.opened": StreamOpened,
    "stream.closed": StreamClosed,
    "call.late": CallLate,
    "stream.late": StreamLate,
    "answer.withheld": AnswerWithheld,
    "log.opened": LogOpened,
}
"""Each leaf type by its `t`. A type that is not here is preserved and counted, never an error."""

OPENS: dict[str, str] = {"call.intent": "call", "stream.opened": "stream"}
"""Leaf types that wait for a closing one, and the field that names the pair."""

CLOSES: dict[str, str] = {
    "call.outcome": "call",
    "call.unresolved": "call",
    "stream.closed": "stream",
}

encode = msgspec.json.Encoder().encode
"""Encode a leaf to its canonical bytes."""
