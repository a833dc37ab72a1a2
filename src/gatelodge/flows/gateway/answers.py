"""How a call can come back, and what is recorded of each way."""

from typing import Literal

from msgspec import Raw, Struct

from gatelodge.core.errors import (
    HouseError,
    LaunchRefused,
    LimitReached,
    OwnSecretMissing,
    Refused,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.jsontext.jsonrpc import is_error, rpc_code
from gatelodge.core.policy.decision import Deny
from gatelodge.core.protocol.bridge.questions import (
    InputRequest,
    from_legacy,
    from_url_required,
    read_input_required,
)
from gatelodge.core.protocol.envelope import Members, given, members_of
from gatelodge.core.protocol.result import call_ending, result_kind
from gatelodge.core.protocol.version import Era
from gatelodge.core.records.leaves import CallOutcome, Outcome
from gatelodge.flows.gateway.inflight import CutReason
from gatelodge.ports.upstream import UpstreamReply

_CUT: dict[CutReason, Outcome] = {
    "revoked": "revoked",
    "server_disabled": "revoked",
    "stale": "stale",
    "client_gone": "client_gone",
    "cancelled": "cancelled",
    "shutdown": "cancelled",
}


class UpstreamResult(Struct, frozen=True):
    """The upstream's result, raw and read; `ending` says whether the tool itself failed."""

    raw: Raw
    members: Members
    ending: Literal["ok", "tool_error", "task_started"]
    call: str


class RpcFailed(Struct, frozen=True):
    """The upstream's JSON-RPC error, raw; `spoken` is the era in which it was said."""

    error: Raw
    call: str
    spoken: Era


class QuestionsForClient(Struct, frozen=True):
    """The server wants to know something first: the `input_required` result for a modern client."""

    raw: Raw
    call: str


class NotAllowed(Struct, frozen=True):
    """The policy's answer; when `deny.hidden` it must look like an unknown tool."""

    deny: Deny
    call: str


class CallFailed(Struct, frozen=True):
    """Nothing came back: an error of ours or of the upstream's, safe to show."""

    error: HouseError
    call: str


class WasCut(Struct, frozen=True):
    """The call was ended from outside; `reason` says by what."""

    reason: CutReason
    call: str


CallAnswer = UpstreamResult | RpcFailed | QuestionsForClient | NotAllowed | CallFailed | WasCut


class ServerAsks(Struct, frozen=True):
    """The server asks back in the middle of the call.

    `numbers` are those of a legacy server's questions, which wait for answers. `members` is a
    modern server's result, `state` its state. `error` is that of a legacy server which wants URLs
    to be visited before it is asked anew.
    """

    questions: dict[str, InputRequest]
    numbers: dict[str, int] = {}
    error: Raw | None = None
    members: Members | None = None
    state: bytes = b""


def answer_of(
    reply: UpstreamReply, call: str, spoken: Era, *, tasks: bool = False, asks: bool = True
) -> UpstreamResult | RpcFailed | CallFailed | ServerAsks:
    """What an upstream's reply means for the caller.

    `tasks` = its client takes a task for one, `asks` = the request may be answered with questions.
    """
    if reply.questions:
        asked = {each.key: from_legacy(each.method, each.params) for each in reply.questions}
        return ServerAsks(asked, {each.key: each.number for each in reply.questions})
    if reply.error is not None:
        # Nothing that a client cannot read leaves the gate, a server's error included.
        if not is_error(reply.error):
            return CallFailed(UpstreamBrokeProtocol("the server's error cannot be read"), call)
        urls = from_url_required(reply.error)
        return (
            RpcFailed(reply.error, call, spoken)
            if urls is None
            else ServerAsks(urls, error=reply.error)
        )
    members = members_of(reply.result)
    if reply.result is None or members is None:
        return CallFailed(UpstreamBrokeProtocol("the server's answer holds no result"), call)
    return _answer_of_result(reply.result, members, call, tasks=tasks, asks=asks)


def _answer_of_result(
    raw: Raw, members: Members, call: str, *, tasks: bool, asks: bool
) -> UpstreamResult | CallFailed | ServerAsks:
    kind = result_kind(members)
    task = "task" in members and given(members, "task") is not None
    if kind == "complete" and task and given(members, "content") is None:
        # A task of 2025-11-25: the gate asks for none, and its id would be the server's own.
        return CallFailed(
            UpstreamBrokeProtocol("the server began a task that nobody asked for"), call
        )
    if kind == "complete":
        return UpstreamResult(raw, members, call_ending(members), call)
    if kind == "task" and tasks:
        return UpstreamResult(raw, members, "task_started", call)
    required = read_input_required(members) if asks and kind == "input_required" else None
    if required is None:
        text = (
            "the server's question cannot be handed on"
            if asks and kind == "input_required"
            else "the server's answer is of a kind that was not asked for"
        )
        return CallFailed(UpstreamBrokeProtocol(text), call)
    return ServerAsks(required.requests, members=members, state=required.state)


def ending_of(answer: CallAnswer, call: str, ms: int) -> CallOutcome:
    """The outcome record of a call that was forwarded, and took `ms` milliseconds."""
    match answer:
        case UpstreamResult():
            return CallOutcome(call=call, outcome=answer.ending, ms=ms, bytes_out=len(answer.raw))
        case RpcFailed():
            size, code = len(bytes(answer.error)), rpc_code(answer.error)
            return CallOutcome(call=call, outcome="rpc_error", ms=ms, bytes_out=size, rpc_code=code)
        case QuestionsForClient():
            size = len(bytes(answer.raw))
            return CallOutcome(call=call, outcome="input_required", ms=ms, bytes_out=size)
        case WasCut():
            return CallOutcome(call=call, outcome=_CUT[answer.reason], ms=ms, bytes_out=0)
        case CallFailed():
            outcome = _outcome_of_error(answer.error)
            return CallOutcome(call=call, outcome=outcome, ms=ms, bytes_out=0)
        case NotAllowed():
            raise AssertionError("a call that was not allowed has no outcome")


def _outcome_of_error(error: HouseError) -> Outcome:
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    # LimitReached is a kind of Refused, so it has to be looked for first.
    if isinstance(error, LimitReached):
        return "blocked_response"
    if isinstance(error, Refused):
        return "rpc_error"
    away = isinstance(error, (UpstreamUnreachable, LaunchRefused, OwnSecretMissing))
    return "upstream_unreachable" if away else "upstream_protocol"
