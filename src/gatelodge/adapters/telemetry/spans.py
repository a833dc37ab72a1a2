"""The two spans of a traced request: the gate as its client's server, and as a server's client.

Attributes are those of the MCP semantic conventions and ours; all of them stand in this file. What
a client can make up is in none: not the request's id, not a session, not a name that is not in the
catalog, not the URI of a resource, and of the caller's trace context the two ids alone.
Source: OpenTelemetry GenAI semantic conventions, MCP (development).
"""

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from gatelodge.adapters.telemetry.context import RemoteParent, with_parent
from gatelodge.core.protocol.envelope import Members
from gatelodge.ports.tracing import TraceEnd

_NAMED = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}
"""The attribute that holds what a method names."""
_WELL = frozenset({"ok", "task_started", "input_required"})
_ASKED_FOR = frozenset({"cancelled", "client_gone"})
"""Ends that are no failure of whoever serves."""
_OTHER = "_OTHER"
_CODES = range(-(1 << 31), 1 << 31)
"""Codes of errors that are told; a server may choose a number as long as a message."""
_INTERNAL_ERROR = -32_603
_SERVER_ERRORS = range(-32_099, -31_999)


class SpanBudget:
    """How many spans are under way: begun (by the event loop) and not yet handed on (by a thread).

    Every span that is begun is ended and handed on: no more than the queue holds may be under way,
    or some would be dropped there and count for ever.
    """

    __slots__ = ("begun", "handed")

    def __init__(self) -> None:
        self.begun = 0
        self.handed = 0

    def holds(self, most: int) -> bool:
        """Say whether fewer than so many are under way."""
        return self.begun - self.handed < most


class SpanTrace:
    """The port `RequestTrace`. Of an exchange no span is made while the budget's most are there."""

    __slots__ = ("_budget", "_client", "_joined", "_method", "_most", "_server", "_tracer")

    def __init__(
        self,
        tracer: Tracer,
        method: str,
        version: str,
        parent: RemoteParent | None,
        *,
        budget: SpanBudget,
        most: int,
    ) -> None:
        self._tracer = tracer
        self._budget, self._most = budget, most
        self._method = method
        self._joined = parent is not None
        attributes = _of_method(self._method)
        attributes["mcp.protocol.version"] = version
        self._server: Span | None = tracer.start_span(
            self._method, _around(parent), SpanKind.SERVER, attributes
        )
        self._budget.begun += 1
        self._client: Span | None = None

    def forwarded(self, server: str, name: str, meta: Members) -> Members:
        """It goes to a server now; the `_meta` for that server."""
        assert self._server is not None
        # A call that is asked anew is another exchange, so the one before it ends here.
        self._let_go()
        # The server goes on with its caller's context then, and with no parent that nobody sees.
        if not self._budget.holds(self._most):
            return meta
        attributes = _of_method(self._method)
        attributes["gatelodge.upstream.name"] = server
        attributes |= _of_name(self._method, name)
        around = set_span_in_context(self._server, Context())
        shown = self._shown(name)
        self._client = self._tracer.start_span(shown, around, SpanKind.CLIENT, attributes)
        self._budget.begun += 1
        made = self._client.get_span_context()
        if not made.is_valid:  # OpenTelemetry is switched off by a variable of its own
            return meta
        return with_parent(meta, made.trace_id, made.span_id, joined=self._joined)

    def replied(self, outcome: str, code: int | None) -> None:
        """The server's answer came, or none will."""
        if self._client is None:
            return
        told = _told(code)
        if told:
            self._client.set_attribute("rpc.response.status_code", told)
        if outcome not in _WELL:
            _fail(self._client, told or outcome, failed=outcome not in _ASKED_FOR)
        self._let_go()

    def ended(self, end: TraceEnd) -> None:
        """It is answered."""
        if self._server is None:
            return
        span, code = self._server, end.code
        # Only now: a name that was decided about stands in the catalog, the one in the request may
        # be any text of a client's.
        span.update_name(self._shown(end.name))
        attributes = _of_name(self._method, end.name)
        denied = end.outcome == "denied"
        attributes["gatelodge.decision"] = "deny" if denied else "allow"
        attributes["gatelodge.outcome"] = end.outcome
        if end.call:
            attributes["gatelodge.call"] = end.call
        told = _told(code)
        if told:
            attributes["rpc.response.status_code"] = told
        span.set_attributes(attributes)
        if code is not None:
            failed = code == _INTERNAL_ERROR or code in _SERVER_ERRORS
            _fail(span, told or _OTHER, failed=failed)
        elif end.outcome not in _WELL:
            _fail(span, "tool_error", failed=not denied)
        self._finish_all()

    def over(self) -> None:
        """Nothing more will be told."""
        for span in (self._client, self._server):
            if span is not None:
                _fail(span, _OTHER, failed=True)
        self._finish_all()

    def _finish_all(self) -> None:
        self._let_go()
        server, self._server = self._server, None
        if server is not None:
            server.end()

    def _let_go(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.end()

    def _shown(self, name: str) -> str:
        """The span's name: method and target, where the method has one that may be told."""
        return f"{self._method} {name}" if name and self._method in _NAMED else self._method


def _told(code: int | None) -> str:
    """The code of an error as text, empty when there is none that may be told."""
    return str(code) if code is not None and code in _CODES else ""


def _of_method(method: str) -> dict[str, str]:
    attributes = {"mcp.method.name": method}
    if method == "tools/call":
        attributes["gen_ai.operation.name"] = "execute_tool"
    return attributes


def _of_name(method: str, name: str) -> dict[str, str]:
    return {_NAMED[method]: name} if name and method in _NAMED else {}


def _around(parent: RemoteParent | None) -> Context:
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED)
    caller = SpanContext(parent.trace, parent.span, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(caller), Context())


def _fail(span: Span, kind: str, *, failed: bool) -> None:
    """Say what went wrong; `failed` = it counts against whoever serves."""
    span.set_attribute("error.type", kind)
    if failed:
        span.set_status(Status(StatusCode.ERROR))
