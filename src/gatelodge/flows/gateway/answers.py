"""How a call can come back, and what is recorded of each way."""

from typing import Literal

from msgspec import Raw, Struct

from gatelodge.core.errors import (
    HouseError,
    LimitReached,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.core.policy.decision import Deny
from gatelodge.core.protocol.envelope import Members
from gatelodge.core.protocol.result import call_ending, read_result, rpc_code
from gatelodge.core.records.leaves import Outcome
from gatelodge.flows.audit.recorder import Ending
from gatelodge.flows.gateway.inflight import CutReason
from gatelodge.ports.upstream import Reply

_CUT: dict[CutReason, Outcome] = {
    "revoked": "revoked",
    "server_disabled": "revoked",
    "stale": "revoked",
    "client_gone": "client_gone",
    "cancelled": "cancelled",
    "shutdown": "cancelled",
}


class Returned(Struct, frozen=True):
    """The upstream's result, raw and read; `ending` says whether the tool itself failed."""

    raw: Raw
    members: Members
    ending: Literal["ok", "tool_error"]
    call: str


class RpcFailed(Struct, frozen=True):
    """The upstream's JSON-RPC error, raw."""

    error: Raw
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


CallAnswer = Returned | RpcFailed | NotAllowed | Failed | WasCut


def answer_of(reply: Reply, call: str) -> Returned | RpcFailed | Failed:
    """What an upstream's reply means for the caller."""
    if reply.error is not None:
        return RpcFailed(reply.error, call)
    members = None if reply.result is None else read_result(reply.result)
    if reply.result is None or members is None:
        return Failed(UpstreamBrokeProtocol("the server's answer holds no result"), call)
    ending = call_ending(members)
    if ending == "upstream_protocol":
        return Failed(UpstreamBrokeProtocol("the server asked a question back"), call)
    return Returned(reply.result, members, ending, call)


def ending_of(answer: CallAnswer, call: str, ms: int) -> Ending:
    """The outcome record of a forwarded call that took `ms` milliseconds."""
    match answer:
        case Returned():
            size = len(bytes(answer.raw))
            return Ending(call=call, outcome=answer.ending, ms=ms, bytes_out=size)
        case RpcFailed():
            size, code = len(bytes(answer.error)), rpc_code(answer.error)
            return Ending(call=call, outcome="rpc_error", ms=ms, bytes_out=size, rpc_code=code)
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
    return "upstream_unreachable" if isinstance(error, UpstreamUnreachable) else "upstream_protocol"
