"""What a trace is told of an answer that was rendered."""

import msgspec
from msgspec import Struct

from gatelodge.flows.gateway.answers import (
    CallAnswer,
    NotAllowed,
    QuestionsForClient,
    UpstreamResult,
    ending_of,
)
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.ports.tracing import TraceEnd


class _RenderedError(Struct):
    code: int


class _Rendered(Struct):
    error: _RenderedError | None = None


_rendered = msgspec.json.Decoder(_Rendered).decode


def trace_end(name: str, target: CallTarget | None, answer: CallAnswer, body: bytes) -> TraceEnd:
    """How this answer ended its request; `name` is told only when it is one of the catalog."""
    denied = isinstance(answer, NotAllowed)
    outcome = "denied" if denied else ending_of(answer, answer.call, 0).outcome
    return TraceEnd(
        outcome=outcome,
        code=None if isinstance(answer, UpstreamResult | QuestionsForClient) else _code(body),
        # A name that no catalog has is the client's own word (guarantee audit:no-payload).
        name="" if target is None else name,
        call=answer.call,
    )


def _code(body: bytes) -> int | None:
    """The code of the JSON-RPC error that a client gets, None when it gets a result."""
    try:
        error = _rendered(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if error is None else error.code
