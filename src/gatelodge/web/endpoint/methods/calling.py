"""Requests that a server answers, from the wire to the call flow and back."""

from collections.abc import Awaitable, Callable, Mapping

from anyio import to_thread
from msgspec import Raw

from gatelodge.core.jsontext.jsonrpc import rpc_code
from gatelodge.core.protocol.bridge.levels import heard, read_level
from gatelodge.core.protocol.bridge.questions import (
    InputRequest,
    RetriedRequest,
    read_retry,
    without_round,
)
from gatelodge.core.protocol.bridge.tasks import AUGMENTED, REQUIRED
from gatelodge.core.protocol.capabilities import NOTHING, TASKS, has_extension
from gatelodge.core.protocol.envelope import Members, members_of, read_text
from gatelodge.core.protocol.version import (
    META_LOG_LEVEL,
    META_PROGRESS,
    MISSING_CAPABILITY,
)
from gatelodge.core.view import PolicyView
from gatelodge.flows.gateway.admission import AdmittedCall, CallControl, NoAdmission
from gatelodge.flows.gateway.answers import (
    CallAnswer,
    CallFailed,
    NotAllowed,
    UpstreamResult,
    WasCut,
    ending_of,
)
from gatelodge.flows.gateway.request import (
    CallRequest,
    MonotonicProgress,
    NotificationBuffer,
    Notify,
    Put,
)
from gatelodge.flows.gateway.targets import CallTarget
from gatelodge.ports.tracing import TraceEnd
from gatelodge.ports.upstream import OnBehalfOf, UpstreamReply
from gatelodge.web.endpoint.context import AnswerPermit, EndpointContext, answer_invalid
from gatelodge.web.endpoint.methods.rendering import render
from gatelodge.web.endpoint.request_context import BatchPart, RequestContext

_TOKEN_BEGINS = frozenset((b'"', b"-", *(b"%d" % digit for digit in range(10))))
"""How the JSON of a progress token, a string or a number, can begin."""
_PROGRESS = "notifications/progress"
LIGHT = 64 * 1024
"""Bytes of a result that is rendered on the loop: at most a few milliseconds of work."""
_NAMED_BY = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The member of a request's params that says what it is about."""


def make_call(gate: EndpointContext, visit: RequestContext) -> Awaitable[None]:
    """Make the call that the visit asks for and send its answer (a coroutine: the hot path)."""
    member = _NAMED_BY[visit.message.method]
    name = read_text(visit.message.params.get(member))
    if name is None:
        return answer_invalid(gate, visit, f"params.{member} must be a string")
    return _forward_call(gate, visit, name)


def complete(gate: EndpointContext, visit: RequestContext) -> Awaitable[None]:
    """Answer completion/complete, which says by a reference what it is about."""
    return _forward_call(gate, visit, "")


async def about_task(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer tasks/get, tasks/update and tasks/cancel, for whoever the task was made for."""
    if not has_extension(visit.capabilities, TASKS):
        text = "the tasks extension was not declared"
        await answer_invalid(gate, visit, text, MISSING_CAPABILITY, REQUIRED)
        return
    visit.task = read_text(visit.message.params.get("taskId")) or ""
    await make_call(gate, visit)


async def _forward_call(gate: EndpointContext, visit: RequestContext, name: str) -> None:
    params = visit.message.params
    retry: RetriedRequest | None = None
    rounds = "requestState" in params or "inputResponses" in params
    if rounds and visit.era == "legacy":
        # No legacy revision has rounds: a modern server would take these for what it gave out.
        params = without_round(params)
    elif rounds:
        retry = read_retry(params)
        if retry is None:
            await answer_invalid(gate, visit, "inputResponses and requestState cannot be read")
            return
        params = retry.params
    cut = CallControl()
    # A result is charged while it comes: once it is whole, its memory is taken already.
    cut.licence.room = visit.connection.room(visit.request, visit.answerable)
    if visit.era == "modern":
        _cut_when_gone(visit, cut)
    leave = AnswerPermit(gate, visit)
    visit.answer.permit = leave
    request = _call_request(gate, visit, name, cut, params, retry)
    if gate.tracer is not None:
        cut.trace = gate.tracer.sample(request.method, request.proto, visit.message.meta)
    try:
        answer = await gate.calls.call(request, gate.follower, cut)
        if isinstance(answer, UpstreamResult) and len(answer.raw) > LIGHT:
            answer, rendered = await _rendered_apart(gate, visit, request, cut, answer)
            status, body = rendered
        else:
            status, body = render(gate, visit, name, cut.target, answer)
        if isinstance(visit.answer, BatchPart):
            visit.answer.still = _still_admitted(answer, cut.admission)
        if cut.trace is not None:
            cut.trace.ended(_trace_end(name, cut.target, answer, body))
    finally:
        cut.over()
    if not isinstance(answer, UpstreamResult) and isinstance(answer, WasCut | CallFailed):
        visit.answer.permit = None  # nothing of a server's is in it
    leave.recorded = answer.call
    visit.answer.end(status, body)


def _trace_end(name: str, target: CallTarget | None, answer: CallAnswer, body: bytes) -> TraceEnd:
    """How this answer ended its request; `name` is told only when it is one of the catalog."""
    denied, came = isinstance(answer, NotAllowed), isinstance(answer, UpstreamResult)
    # What came from a server may be large, and is no error: it is not read again.
    error = None if came else (members_of(Raw(body)) or {}).get("error")
    return TraceEnd(
        outcome="denied" if denied else ending_of(answer, answer.call, 0).outcome,
        code=None if error is None else rpc_code(error),
        # A name that no catalog has is the client's own word (guarantee audit:no-payload).
        name="" if target is None else name,
        call=answer.call,
    )


def _cut_when_gone(visit: RequestContext, cut: CallControl) -> None:
    """Closing the connection is how a modern client cancels; for a legacy one it is not."""
    visit.connection.on_gone = lambda: cut("client_gone")
    # It may have left while its data key was fetched, before anybody listened for that.
    if visit.connection.gone:
        cut("client_gone")


def _still_admitted(
    answer: CallAnswer, admission: AdmittedCall | NoAdmission
) -> Callable[[PolicyView], bool] | None:
    """What a batch asks of a call whose answer waits for others; None when nothing came of one."""
    if isinstance(answer, NotAllowed | CallFailed | WasCut):
        return None
    return lambda view: not admission.ended_in(view)


async def _rendered_apart(
    gate: EndpointContext,
    visit: RequestContext,
    request: CallRequest,
    cut: CallControl,
    answer: UpstreamResult,
) -> tuple[CallAnswer, tuple[int, bytes]]:
    """Render a large result in a thread: link after link is written anew there.

    One result at a time, so that others have room.
    """
    rendered = await to_thread.run_sync(
        render, gate, visit, request.name, cut.target, answer, limiter=gate.rendering
    )
    # The thread took its time: access may have ended since the call path asked last.
    known = await gate.calls.confirmed(request, answer, cut)
    if known is not answer:
        return known, render(gate, visit, request.name, cut.target, known)
    return answer, rendered


def _call_request(
    gate: EndpointContext,
    visit: RequestContext,
    name: str,
    cut: CallControl,
    params: Members,
    retry: RetriedRequest | None,
) -> CallRequest:
    assert visit.caller is not None
    session, message = visit.session, visit.message
    capabilities, level = visit.capabilities, _wanted_log_level(gate, visit)
    notify = _notification_channel(visit, level, cut)
    hearing: NotificationBuffer | MonotonicProgress | Notify | None = notify
    if visit.era == "legacy":
        hearing = None if notify is None else MonotonicProgress(notify)
    elif capabilities != NOTHING:
        hearing = NotificationBuffer(notify)
    return CallRequest(
        who=visit.who,
        credential=visit.credential,
        caller=visit.caller,
        workspace=visit.workspace.id,
        slug=visit.route.workspace,
        alias=visit.route.alias,
        log=visit.log,
        method=message.method,
        targets=visit.targets,
        name=name,
        headers=visit.request.headers,
        params=params,
        meta=visit.passing,
        proto=visit.proto,
        era=visit.era,
        asker=_asker_of_call(visit, capabilities, level),
        bytes_in=visit.bytes_in,
        request=None if session is None else (session.nonce, message.id),
        notify=notify,
        hearing=hearing,
        round=retry,
        put=None
        if session is None or capabilities == NOTHING
        else _question_channel(gate, visit, cut),
        tasks=capabilities != NOTHING
        and message.method == AUGMENTED
        and has_extension(capabilities, TASKS),
    )


def _asker_of_call(visit: RequestContext, capabilities: bytes, level: str) -> OnBehalfOf:
    session = visit.session
    if session is None and capabilities == NOTHING and not level:
        return visit.asker
    # A modern client has no session: what tells its programs apart is the token that they bear.
    own = visit.credential.id if session is None else session.nonce.hex()
    return OnBehalfOf(visit.who.id, capabilities, level, visit.who.person, own)


def _wanted_log_level(gate: EndpointContext, visit: RequestContext) -> str:
    if visit.session is not None:
        return gate.sessions.level(visit.session.nonce, visit.answerable)
    raw = visit.message.meta.get(META_LOG_LEVEL)
    return "" if raw is None else read_level(raw)


def _question_channel(gate: EndpointContext, visit: RequestContext, cut: CallControl) -> Put:
    session = visit.session
    assert session is not None

    async def put(questions: Mapping[str, InputRequest]) -> dict[str, UpstreamReply]:
        put = gate.asking.put(session.nonce, questions, visit.answer.say)
        # A legacy client that goes ends the wait for its word, and not its call.
        cut.give_up = visit.connection.on_gone = put.give_up
        # Either may have come before the two were set, and then nobody would end the wait.
        if visit.connection.gone or cut.reason is not None:
            put.give_up()
        try:
            return await put.answers(gate.limits.question_seconds, visit.answer.breathe)
        finally:
            cut.give_up = visit.connection.on_gone = None

    return put


def _notification_channel(visit: RequestContext, level: str, cut: CallControl) -> Notify | None:
    """What takes a server's notifications to the client: None when it asked for none.

    None reaches it unless the call is still admitted. Progress under a token only; log messages as
    severe as it wants, and in a legacy session that never said so all that the server sends.
    """
    token = visit.message.meta.get(META_PROGRESS)
    progress = token is not None and bytes(token)[:1] in _TOKEN_BEGINS
    session = visit.session is not None
    if not visit.answer.may_stream or not (progress or level or session):
        return None

    def notify(method: str, params: bytes) -> None:
        told = progress if method == _PROGRESS else heard(method, params, level, session=session)
        if told and cut.admission.holds():
            visit.answer.notify(method, params)

    return notify
