"""tools/call at the endpoint: the request for the call path, and its answer in the client's era."""

from msgspec import Raw

from gatelodge.core.errors import HouseError, Unavailable
from gatelodge.core.policy.decision import Deny
from gatelodge.core.protocol.envelope import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    UNAVAILABLE,
    Members,
    error_body,
    raw_error_body,
    read_text,
    result_body,
)
from gatelodge.core.protocol.era import headers_mirror, passing_meta
from gatelodge.core.protocol.result import for_client, tool_error
from gatelodge.core.protocol.version import META_PROGRESS
from gatelodge.core.view import View
from gatelodge.core.view_entry import ToolEntry
from gatelodge.flows.gateway.answers import (
    CallAnswer,
    Failed,
    NotAllowed,
    Returned,
    RpcFailed,
)
from gatelodge.flows.gateway.call import CallRequest, Cut, Notify
from gatelodge.flows.gateway.inflight import CutReason
from gatelodge.web.endpoint.gate import Gate, answer_here
from gatelodge.web.endpoint.visit import Visit

_TOKEN_BEGINS = frozenset((b'"', b"-", *(b"%d" % digit for digit in range(10))))
"""How the JSON of a progress token, a string or a number, can begin."""

ACCESS_ENDED = 4010
"""Our own JSON-RPC code (outside the reserved range): access ended while the call ran."""
CALL_ENDED = 4011
"""The call was ended by its client, or by the gate's stop."""

_WHY_CUT: dict[CutReason, tuple[int, str]] = {
    "revoked": (ACCESS_ENDED, "your access ended while the call ran"),
    "server_disabled": (ACCESS_ENDED, "the server was disabled while the call ran"),
    "stale": (ACCESS_ENDED, "your access could not be confirmed while the call ran"),
    "client_gone": (CALL_ENDED, "the connection was closed while the call ran"),
    "cancelled": (CALL_ENDED, "the call was cancelled"),
    "shutdown": (CALL_ENDED, "the gate stopped while the call ran"),
}


async def call_tool(gate: Gate, visit: Visit) -> None:
    """Make the call that the visit asks for and send its answer."""
    name = read_text(visit.message.params.get("name"))
    if name is None:
        body = error_body(visit.message.id, INVALID_PARAMS, "params.name must be a string")
        status = 400 if visit.era == "modern" else 200
        await answer_here(gate, visit, body, status=status, rpc_code=INVALID_PARAMS)
        return
    cut = Cut()
    if visit.era == "modern":
        # Closing the connection is how a modern client cancels; for a legacy one it is not.
        visit.connection.on_gone = lambda: cut("client_gone")
        if visit.connection.gone:
            cut("client_gone")
    answer = await gate.calls.call(_request(visit, name), lambda: gate.follower.view, cut)
    status, body = render(gate, visit, name, answer)
    visit.answer.end(status, body)


def _request(visit: Visit, name: str) -> CallRequest:
    slug, alias = visit.route.workspace, visit.route.alias
    assert visit.caller is not None

    def find(view: View) -> ToolEntry | None:
        workspace = view.workspaces.get(slug)
        if workspace is None:
            return None
        if not alias:
            return workspace.tools.get(name)
        server = workspace.servers.get(alias)
        return None if server is None else server.tools.get(name)

    def mirrored(tool: ToolEntry) -> bool:
        arguments = visit.message.params.get("arguments", Raw(b"{}"))
        modern = visit.era == "modern"
        return not modern or headers_mirror(visit.request.headers, tool.mirrors, arguments)

    session = visit.session
    return CallRequest(
        who=visit.who,
        credential=visit.credential,
        caller=visit.caller,
        workspace=visit.workspace.id,
        slug=slug,
        log=visit.log,
        find=find,
        mirrored=mirrored,
        params=_passing(visit.message.params),
        meta=passing_meta(visit.message.meta),
        proto=visit.proto,
        bytes_in=visit.bytes_in,
        request=None if session is None else (session.nonce, visit.message.id),
        notify=_progress_of(visit),
    )


def _progress_of(visit: Visit) -> Notify | None:
    """What takes progress to the client: None when it asked for none, or takes no stream.

    Nothing else that a server says during a call goes on: we announce no logging.
    """
    token = visit.message.meta.get(META_PROGRESS)
    if token is None or bytes(token)[:1] not in _TOKEN_BEGINS or not visit.answer.may_stream:
        return None

    def notify(method: str, params: bytes) -> None:
        if method == "notifications/progress":
            visit.answer.notify(method, params)

    return notify


def _passing(params: Members) -> Members:
    return {key: value for key, value in params.items() if key not in ("_meta", "name")}


def render(gate: Gate, visit: Visit, name: str, answer: CallAnswer) -> tuple[int, bytes]:
    """The HTTP status and body of a call's answer, in the client's era."""
    raw_id = visit.message.id
    match answer:
        case Returned():
            result = for_client(answer.raw, answer.members, visit.era, gate.info)
            return 200, result_body(raw_id, result)
        case RpcFailed():
            return 200, raw_error_body(raw_id, bytes(answer.error))
        case NotAllowed():
            return _not_allowed(visit, name, answer)
        case Failed():
            return _failed(visit, answer.error, answer.call)
        case _:
            code, text = _WHY_CUT[answer.reason]
            return 200, error_body(raw_id, code, f"{text}; it may have had an effect")


def _not_allowed(visit: Visit, name: str, answer: NotAllowed) -> tuple[int, bytes]:
    raw_id, deny = visit.message.id, answer.deny
    if deny.hidden:
        status = 400 if visit.era == "modern" else 200
        return status, error_body(raw_id, INVALID_PARAMS, f"Unknown tool: {name}")
    if deny.reason == "header_mismatch":
        return 400, error_body(raw_id, HEADER_MISMATCH, deny.text)
    return 200, result_body(raw_id, _denied(visit, deny, answer.call))


def _denied(visit: Visit, deny: Deny, call: str) -> bytes:
    rule = f" (rule {deny.rule})" if deny.rule else ""
    text = f"Not allowed{rule}: {(deny.text or deny.reason).rstrip('.')}."
    if deny.advice:
        text += f" What to do: {deny.advice.rstrip('.')}."
    decision: dict[str, object] = {
        "decision": "deny",
        "reason": deny.reason,
        "rule": deny.rule,
        "call": call,
    }
    return tool_error(text, visit.era, decision)


def _failed(visit: Visit, error: HouseError, call: str) -> tuple[int, bytes]:
    if isinstance(error, Unavailable):
        text = f"{error.detail}. Nothing was forwarded that is not written down."
        return 503, error_body(visit.message.id, UNAVAILABLE, text)
    remedy = f" {error.remedy}" if error.remedy else ""
    decision: dict[str, object] = {"decision": "allow", "error": error.code, "call": call}
    body = tool_error(f"{error.detail}.{remedy}", visit.era, decision)
    return 200, result_body(visit.message.id, body)
