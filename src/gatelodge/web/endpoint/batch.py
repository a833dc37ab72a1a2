"""Batches: several messages in one body, each admitted, answered and recorded as if it came alone.

Only a session of 2025-03-26 may send them. Their answers come together, so nothing streams and
nobody is asked anything on the way.
"""

from collections.abc import Callable

from gatelodge.core.errors import LimitReached
from gatelodge.core.protocol.bridge.batch import join_batch, split_batch
from gatelodge.core.protocol.envelope import ClientMessage, ClientResponse, MessageFault
from gatelodge.core.protocol.version import BATCHES
from gatelodge.core.records.leaves import WithheldReason
from gatelodge.core.view import PolicyView
from gatelodge.web.endpoint.admit import let_in, read_message_of, session_of
from gatelodge.web.endpoint.context import (
    AnswerPermit,
    EndpointContext,
    TurnedAway,
    refuse_here,
    tell_withheld,
    too_many,
    turn_away,
)
from gatelodge.web.endpoint.http.delivery import WritePermit
from gatelodge.web.endpoint.methods.tables import method_of
from gatelodge.web.endpoint.request_context import BatchPart, RequestContext

_BATCHES = BATCHES.encode()

Still = Callable[[PolicyView], bool] | None
"""Whether a part would be given under a view too."""


class BatchPermit:
    """Under which a batch's answers leave together: all that let each of them be given."""

    __slots__ = ("_gate", "_parts", "_view", "_visit")

    def __init__(self, gate: EndpointContext, visit: RequestContext) -> None:
        self._gate, self._visit = gate, visit
        self._parts: list[tuple[WritePermit | None, Still]] = []
        self._view: PolicyView | None = None

    def add(self, part: BatchPart) -> None:
        """This part leaves with the others."""
        self._parts.append((part.permit, part.still))
        # What it asks holds the part's context, and that the part: a circle would free neither.
        part.still, self._view = None, None

    def why_not(self) -> WithheldReason | None:
        """Why nothing may leave now; None when all may."""
        gate, credential = self._gate, self._visit.credential
        if not gate.follower.fresh():
            return "stale"
        view = gate.follower.view
        # A view is swapped whole, so the same object means that nothing changed in between.
        if view is self._view:
            return None
        if not view.admits(credential, "") or credential.expires_at <= gate.clock.now():
            return "revoked"
        if not all(still is None or still(view) for _, still in self._parts):
            return "changed"
        self._view = view
        return None

    def holds(self) -> bool:
        """Say whether all may leave now."""
        return self.why_not() is None

    def withheld(self, why: WithheldReason | None = None) -> None:
        """Record of each that was recorded as answered that it did not leave."""
        why = why or self.why_not() or "stale"
        for permit, _ in self._parts:
            if isinstance(permit, AnswerPermit):
                permit.withheld(why)


def may_batch(gate: EndpointContext, visit: RequestContext) -> bool:
    """Say whether this request stands in a session whose revision has batches.

    One whose version header names another revision is none of its. Raises TurnedAway where it
    stands in no session that is good.
    """
    headers = visit.request.headers
    if b"mcp-session-id" not in headers:
        return False
    if headers.get(b"mcp-protocol-version", _BATCHES) != _BATCHES:
        return False
    # The header may lie about the revision; the sealed session cannot.
    visit.session = session_of(gate, visit)
    return visit.session.version == BATCHES


async def answer_batch(gate: EndpointContext, visit: RequestContext) -> None:
    """Answer every message of the batch; 202 when none of them wants an answer.

    Raises TurnedAway when access ended on the way: then nothing of it is answered.
    """
    try:
        messages = split_batch(visit.request.body, gate.limits.batch_messages)
    except MessageFault as found:
        raise TurnedAway(found.fault) from None
    bodies: list[bytes] = []
    leave = BatchPermit(gate, visit)
    try:
        for message in messages:
            part = await _answer_part(gate, visit, message)
            leave.add(part)
            if part.body:
                bodies.append(part.body)
    except Exception:
        # Whatever is answered in its place, these answers do not leave, and their records say so.
        leave.withheld(leave.why_not() or "unavailable")
        raise
    # A lease that is only late is waited for: else a short stall would turn everybody away.
    await gate.follower.renewed()
    why = leave.why_not()
    if why is not None:
        leave.withheld(why)
        tell_withheld(visit, why)
        return
    joined = join_batch(bodies)
    visit.answer.permit = leave
    visit.answer.end(200 if joined else 202, joined)


async def _answer_part(gate: EndpointContext, visit: RequestContext, message: bytes) -> BatchPart:
    """Answer one message of a batch, as if it came alone. Raises TurnedAway when access ended."""
    # A context for each part: who was let in for the part before must decide nothing here.
    part = RequestContext(visit.connection, visit.request, visit.started)
    let_in(gate, part)  # each anew: access may have ended while the last one ran
    answer = part.answer = BatchPart(visit.connection, visit.request)
    part.bytes_in = len(message)
    try:
        await method_of(gate, part, _read_batch_message(gate, part, message))(gate, part)
    except LimitReached as many:
        await refuse_here(gate, part, too_many(many).fault)
    except TurnedAway as away:
        # A part that is refused takes no answer from the others (JSON-RPC 2.0 clause 6).
        await refuse_here(gate, part, away.fault)
    return answer


def _read_batch_message(
    gate: EndpointContext, part: RequestContext, message: bytes
) -> ClientMessage | ClientResponse:
    """One message of a batch. Raises TurnedAway, also for a handshake (2025-03-26 lifecycle)."""
    read = read_message_of(gate, part, message)
    if isinstance(read, ClientMessage) and read.method == "initialize":
        raise turn_away(400, "initialize never stands in a batch", "invalid_request")
    return read
