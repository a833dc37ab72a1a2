"""Answers of the call flow as HTTP status and body, in the client's era and under shown names."""

import msgspec

from gatelodge.core.errors import HouseError, Refused, Unavailable
from gatelodge.core.jsontext.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UNAVAILABLE,
    error_body,
    raw_error_body,
    result_body,
    rpc_code,
)
from gatelodge.core.policy.decision import Deny
from gatelodge.core.protocol.bridge.error_map import NOT_FOUND, error_for, http_status
from gatelodge.core.protocol.bridge.state import TASK_CONTEXT, TaskId, pack
from gatelodge.core.protocol.bridge.tasks import shown_task, task_of
from gatelodge.core.protocol.envelope import members_of, read_text
from gatelodge.core.protocol.result import (
    for_client,
    mended,
    no_completions,
    tool_error,
)
from gatelodge.core.protocol.shown.messages import holds_uris, shown_error, shown_result
from gatelodge.core.protocol.shown.uris import BARE, UriPrefix
from gatelodge.core.protocol.version import HEADER_MISMATCH
from gatelodge.flows.gateway.answers import (
    CallAnswer,
    CallFailed,
    NotAllowed,
    QuestionsForClient,
    RpcFailed,
    UpstreamResult,
)
from gatelodge.flows.gateway.inflight import CutReason
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.web.endpoint.context import EndpointContext
from gatelodge.web.endpoint.request_context import RequestContext

ACCESS_ENDED = 4010
"""Our own JSON-RPC code (outside the reserved range): access ended while the call ran."""
CALL_ENDED = 4011
"""The call was ended by its client, or by the gate's stop."""
NOT_ALLOWED = 4012
"""A rule forbids what was asked for, where there is no tool result to say so in."""

_WHY_CUT: dict[CutReason, tuple[int, str]] = {
    "revoked": (ACCESS_ENDED, "your access ended while the call ran"),
    "server_disabled": (ACCESS_ENDED, "the server was disabled while the call ran"),
    "stale": (ACCESS_ENDED, "your access could not be confirmed while the call ran"),
    "client_gone": (CALL_ENDED, "the connection was closed while the call ran"),
    "cancelled": (CALL_ENDED, "the call was cancelled"),
    "shutdown": (CALL_ENDED, "the gate stopped while the call ran"),
}
_UNKNOWN = {"tools/call": "Unknown tool: ", "prompts/get": "Unknown prompt: "}
_encode = msgspec.json.Encoder().encode


def render(
    gate: EndpointContext,
    visit: RequestContext,
    name: str,
    target: CallTarget | None,
    answer: CallAnswer,
) -> tuple[int, bytes]:
    """The HTTP status and body of an answer; `name` is what the client asked for."""
    raw_id = visit.message.id
    match answer:
        case UpstreamResult():
            return 200, result_body(raw_id, _render_result(gate, visit, target, answer))
        case RpcFailed():
            return _render_rpc_error(visit, target, answer)
        case QuestionsForClient():
            members = members_of(answer.raw) or {}
            raw, members = mended(answer.raw, members, visit.message.method)
            return 200, result_body(raw_id, for_client(raw, members, visit.era, gate.info))
        case NotAllowed():
            return _not_allowed(visit, name, answer)
        case CallFailed():
            return _render_failure(visit, answer.error, answer.call)
        case _:
            code, text = _WHY_CUT[answer.reason]
            status = 503 if answer.reason == "stale" else 200  # nothing is answered now
            return status, error_body(raw_id, code, f"{text}; it may have had an effect")


def _render_result(
    gate: EndpointContext, visit: RequestContext, target: CallTarget | None, answer: UpstreamResult
) -> bytes:
    method = visit.message.method
    raw, members = mended(answer.raw, answer.members, method)
    if answer.ending == "task_started" or visit.task:
        # Each seal differs: under a second one its client would take it for another task.
        sealed = visit.task or _sealed_task(gate, visit, target, answer)
        raw, members = shown_task(raw, members, sealed, _uri_prefix(visit, target))
    elif not visit.route.alias and holds_uris(method, raw):
        raw, members = shown_result(method, raw, members, _uri_prefix(visit, target))
    return for_client(raw, members, visit.era, gate.info, method)


def _sealed_task(
    gate: EndpointContext, visit: RequestContext, target: CallTarget | None, answer: UpstreamResult
) -> str:
    """The id under which this caller, and nobody else, reaches the task that a call became."""
    assert target is not None
    own = task_of(answer.members) or ""
    place = (visit.workspace.id, visit.route.alias, visit.who.id)
    return gate.sealer.seal(pack(TaskId(*place, target.server, target.name, own)), TASK_CONTEXT)


def _uri_prefix(visit: RequestContext, target: CallTarget | None) -> UriPrefix:
    if target is None:
        return BARE
    return visit.targets.prefix(visit.view, target.entry.alias)


def _render_rpc_error(
    visit: RequestContext, target: CallTarget | None, answer: RpcFailed
) -> tuple[int, bytes]:
    method = visit.message.method
    own = read_text(target.params.get("uri")) if target is not None else None
    told = error_for(answer.error, method, answer.spoken, visit.era, own or "")
    code = rpc_code(told)
    if visit.route.alias:
        return http_status(code, visit.era), raw_error_body(visit.message.id, bytes(told))
    if code == METHOD_NOT_FOUND:
        # One of several servers lacks what this endpoint has: 404 would deny that it is here
        # (MCP 2026-07-28 basic/transports/streamable-http, Server Validation).
        if method == "completion/complete":
            return 200, result_body(visit.message.id, no_completions(visit.era))
        code = None
    told = shown_error(_uri_prefix(visit, target), told)
    return http_status(code, visit.era), raw_error_body(visit.message.id, bytes(told))


def unknown(visit: RequestContext, name: str) -> tuple[int, bytes]:
    """What is said of something that is not there, or that this caller must take for not there."""
    raw_id, method = visit.message.id, visit.message.method
    status = visit.invalid_status
    if method.startswith("resources/"):
        data = _encode({"uri": name})
        code = INVALID_PARAMS if visit.era == "modern" else NOT_FOUND
        return status, error_body(raw_id, code, "Resource not found", data)
    if method.startswith("tasks/"):
        return status, error_body(raw_id, INVALID_PARAMS, "Unknown task")
    if method in _UNKNOWN:
        return status, error_body(raw_id, INVALID_PARAMS, f"{_UNKNOWN[method]}{name}")
    return status, error_body(raw_id, INVALID_PARAMS, "Unknown reference")


def _not_allowed(visit: RequestContext, name: str, answer: NotAllowed) -> tuple[int, bytes]:
    raw_id, deny = visit.message.id, answer.deny
    if deny.hidden:
        return unknown(visit, name)
    if deny.reason == "header_mismatch":
        return 400, error_body(raw_id, HEADER_MISMATCH, deny.text)
    decision: dict[str, object] = {
        "decision": "deny",
        "reason": deny.reason,
        "rule": deny.rule,
        "call": answer.call,
    }
    text = _denial_text(deny)
    if visit.message.method != "tools/call":
        return 200, error_body(raw_id, NOT_ALLOWED, text, _encode(decision))
    return 200, result_body(raw_id, tool_error(text, visit.era, decision))


def _denial_text(deny: Deny) -> str:
    rule = f" (rule {deny.rule})" if deny.rule else ""
    text = f"Not allowed{rule}: {(deny.text or deny.reason).rstrip('.')}."
    if deny.advice:
        text += f" What to do: {deny.advice.rstrip('.')}."
    return text


def _render_failure(visit: RequestContext, error: HouseError, call: str) -> tuple[int, bytes]:
    raw_id = visit.message.id
    if isinstance(error, Unavailable):
        text = f"{error.detail.rstrip('.')}. Nothing was forwarded that is not written down."
        return 503, error_body(raw_id, UNAVAILABLE, text)
    if isinstance(error, Refused) and not call:
        return visit.invalid_status, error_body(raw_id, INVALID_PARAMS, error.detail)
    remedy = f" {error.remedy}" if error.remedy else ""
    text = f"{error.detail.rstrip('.')}.{remedy}"
    decision: dict[str, object] = {"decision": "allow", "error": error.code, "call": call}
    if visit.message.method != "tools/call":
        return 200, error_body(raw_id, INTERNAL_ERROR, text, _encode(decision))
    return 200, result_body(raw_id, tool_error(text, visit.era, decision))
