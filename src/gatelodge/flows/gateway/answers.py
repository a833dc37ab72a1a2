"""How a call can come back, and what is recorded of each way."""

from typing import Literal

from msgspec import Raw, Struct

from gatelodge.core.errors import (
    HouseError,
    LimitReached,
    Refused,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.policy.decision import Deny
from gatelodge.core.protocol.bridge.questions import (
    InputRequest,
    from_legacy,
    from_url_required,
    read_input_required,
)
from gatelodge.core.protocol.envelope import Members
from gatelodge.core.protocol.result import call_ending, read_result, result_kind, rpc_code
from gatelodge.core.protocol.upstream import is_error
from gatelodge.core.protocol.version import Era
from gatelodge.core.records.leaves import Outcome
from gatelodge.flows.audit.recorder import Ending
from gatelodge.flows.gateway.inflight import CutReason
from gatelodge.ports.upstream import Reply

_CUT: dict[CutReason, Outcome] = {
    "revoked": "revoked",
    "server_disabled": "revoked",
    "stale": "stale",
    "client_gone": "client_gone",
    "cancelled": "cancelled",
    "shutdown": "cancelled",
}


class Returned(Struct, frozen=True):
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


class Asked(Struct, frozen=True):
    """The server wants to know something first: the `input_required` result for a modern client."""

    raw: Raw
    call: str


class NotAllowed(Struct, frozen=True):
    """The policy's answer; when `deny.hidden` it must look like an unknown tool."""

    deny: Deny
    call: str


class Failed(Struct, frozen=True):
    """Nothing came back: an error of ours or of the upstream's, safe to show."""

    error: HouseError
    call: str


class WasCut(Struct, frozen=True):
    """The call was ended from outside; `reason` says by what."""

    reason: CutReason
    call: str


CallAnswer = Returned | RpcFailed | Asked | NotAllowed | Failed | WasCut


class Asks(Struct, frozen=True):
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
    reply: Reply, call: str, spoken: Era, *, tasks: bool = False, asks: bool = True
) -> Returned | RpcFailed | Failed | Asks:
    """What an upstream's reply means for the caller.

    `tasks` = its client takes a task for one, `asks` = the request may be answered with questions.
    """
    if reply.questions:
        asked = {each.key: from_legacy(each.method, each.params) for each in reply.questions}
        return Asks(asked, {each.key: each.number for each in reply.questions})
    if reply.error is not None:
        if not is_error(reply.error):
            return Failed(UpstreamBrokeProtocol("the server's error cannot be read"), call)
        urls = from_url_required(reply.error)
        return (
            RpcFailed(reply.error, call, spoken) if urls is None else Asks(urls, error=reply.error)
        )
    members = None if reply.result is None else read_result(reply.result)
    if reply.result is None or members is None:
        return Failed(UpstreamBrokeProtocol("the server's answer holds no result"), call)
    return _read(reply.result, members, call, (tasks, asks))


def _read(
    raw: Raw, members: Members, call: str, takes: tuple[bool, bool]
) -> Returned | Failed | Asks:
    tasks, asks = takes
    kind = result_kind(members)
    if kind == "complete" and "task" in members and "content" not in members:
        # A task of 2025-11-25: the gate asks for none, and its id would be the server's own.
        return Failed(UpstreamBrokeProtocol("the server began a task that nobody asked for"), call)
    if kind == "complete":
        return Returned(raw, members, call_ending(members), call)
    if kind == "task" and tasks:
        return Returned(raw, members, "task_started", call)
    required = read_input_required(members) if asks and kind == "input_required" else None
    if required is None:
        text = "the server's answer is of a kind that was not asked for"
        return Failed(UpstreamBrokeProtocol(text), call)
    return Asks(required.requests, members=members, state=required.state)


def ending_of(answer: CallAnswer, call: str, ms: int) -> Ending:
    """The outcome record of a forwarded call that took `ms` milliseconds."""
    match answer:
        case Returned():
            size = len(answer.raw)
            return Ending(call=call, outcome=answer.ending, ms=ms, bytes_out=size)
        case RpcFailed():
            size, code = len(bytes(answer.error)), rpc_code(answer.error)
            return Ending(call=call, outcome="rpc_error", ms=ms, bytes_out=size, rpc_code=code)
        case Asked():
            size = len(bytes(answer.raw))
            return Ending(call=call, outcome="input_required", ms=ms, bytes_out=size)
        case WasCut():
            return Ending(call=call, outcome=_CUT[answer.reason], ms=ms, bytes_out=0)
        case Failed():
            return Ending(call=call, outcome=_failure(answer.error), ms=ms, bytes_out=0)
        case NotAllowed():
            raise AssertionError("a call that was not allowed has no outcome")


def _failure(error: HouseError) -> Outcome:
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, LimitReached):
        return "blocked_response"
    if isinstance(error, Refused):
        return "rpc_error"
    return "upstream_unreachable" if isinstance(error, UpstreamUnreachable) else "upstream_protocol"
