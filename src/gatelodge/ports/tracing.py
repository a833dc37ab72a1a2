"""Traces: what is told of a request while it is answered, for whoever watches several programs.

Whether a request is traced is settled before anything is built for it; of one that is not there is
no `RequestTrace`. What is told holds no payload, no person and nothing that a client made up: names
are those of the catalog, and the call's id leads to its records.
Source: MCP semantic conventions of OpenTelemetry (GenAI), SEP-414.
"""

from typing import Protocol

from msgspec import Struct

from gatelodge.core.protocol.envelope import Members


class TraceEnd(Struct, frozen=True, kw_only=True):
    """How a request was answered.

    `outcome` is that of its record (`call.outcome`), or `denied`. `code` is the JSON-RPC error that
    its client got, None when it got a result. `name` is the tool or prompt as its client knows it,
    empty when there is none of that name; `call` is empty when there is no record of a call.
    """

    outcome: str
    code: int | None
    name: str
    call: str


class RequestTrace(Protocol):
    """One request that is traced. Nothing here waits or raises."""

    def forwarded(self, server: str, name: str, meta: Members) -> Members:
        """It goes to the server of this alias now, under its own name for the tool or prompt.

        Returns the `_meta` for that server: the one given, with a trace context in which what the
        server does belongs to this exchange.
        """
        ...

    def replied(self, outcome: str, code: int | None) -> None:
        """The server's answer came, or none will: the outcome, and the JSON-RPC error's code."""
        ...

    def ended(self, end: TraceEnd) -> None:
        """It is answered."""
        ...

    def over(self) -> None:
        """Nothing more will be told; what was not ended failed. Idempotent."""
        ...


class Tracer(Protocol):
    """Takes traces down. Owned by the event loop."""

    def sample(self, method: str, version: str, meta: Members) -> RequestTrace | None:
        """Begin the trace of a request, or None: most are not traced (hot path).

        `version` is the revision that its client speaks, `meta` the whole `_meta` that it sent.
        """
        ...

    def close(self) -> None:
        """Send what waits, for two seconds at most. Blocks: call it in a thread."""
        ...
