"""The trace context that a request brings in its `_meta`, and the one that it is sent on with.

Source: W3C Trace Context (traceparent, tracestate), SEP-414.
"""

import re

from msgspec import Raw, Struct

from gatelodge.core.protocol.envelope import Members

PARENT, STATE = "traceparent", "tracestate"
_READ = re.compile(
    rb'"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"'
)
_SAMPLED = 1


class RemoteParent(Struct, frozen=True):
    """The span of a caller's that a request belongs to; `sampled` = the caller records it."""

    trace: int
    span: int
    sampled: bool


def read_parent(meta: Members) -> RemoteParent | None:
    """What the caller's `traceparent` says; None when there is none that can be read."""
    raw = meta.get(PARENT)
    found = None if raw is None else _READ.fullmatch(raw)
    # Version 00 ends behind its flags; only a later one may go on (W3C Trace Context, versioning).
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return RemoteParent(int(found[2], 16), int(found[3], 16), bool(int(found[4], 16) & _SAMPLED))


def with_parent(meta: Members, trace: int, span: int, *, joined: bool) -> Members:
    """The same `_meta` with this span, which is recorded, as the parent.

    `joined` = the trace is the caller's own, so what it says of itself in `tracestate` goes on.
    """
    # `tracestate` belongs to the `traceparent` that it came with: beside another one it is wrong.
    kept = {key: value for key, value in meta.items() if joined or key != STATE}
    kept[PARENT] = Raw(b'"00-%032x-%016x-01"' % (trace, span))
    return kept
