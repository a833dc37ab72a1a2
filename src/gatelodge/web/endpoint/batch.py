"""Batches: several messages in one body, each admitted, answered and recorded as if it came alone.

Only a session of 2025-03-26 may send them. Their answers come together, so nothing streams and
nobody is asked anything on the way.
"""

from collections.abc import Callable

from gatelodge.core.errors import LimitReached
from gatelodge.core.protocol.bridge.batch import join_batch, split_batch
from gatelodge.core.protocol.envelope import ClientMessage, ClientResponse, MessageFault
from gatelodge.core.protocol.version import BATCHES
from gatelodge.web.endpoint.admit import let_in, read_message_of, session_of
from gatelodge.web.endpoint.context import (
    EndpointContext,
    TurnedAway,
    refuse_here,
    too_many,
    turn_away,
)
from gatelodge.web.endpoint.http.answer import HttpAnswer
from gatelodge.web.endpoint.methods.tables import Method
from gatelodge.web.endpoint.request_context import RequestContext

_BATCHES = BATCHES.encode()

MethodOf = Callable[[RequestContext, ClientMessage | ClientResponse], Method]
"""What answers a message that was read for this visit."""


class BatchPart(HttpAnswer):
    """The answer to one message of a batch: kept until all are there."""

    __slots__ = ("body", "status")

    def __init__(self, whole: RequestContext) -> None:
        super().__init__(whole.connection, whole.request)
        self.body = b""
        self.status = 0

    def end(self, status: int, body: bytes) -> None:
        """Keep the body."""
        if not self.ended:
            self.ended, self.status, self.body = True, status, body
            self.bytes_out = len(body)


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


async def answer_batch(gate: EndpointContext, visit: RequestContext, method_of: MethodOf) -> None:
    """Answer every message of the batch; 202 when none of them wants an answer.

    Raises TurnedAway when access ended on the way: then nothing of it is answered.
    """
    try:
        messages = split_batch(visit.request.body, gate.limits.batch_messages)
    except MessageFault as found:
        raise TurnedAway(found.fault) from None
    bodies: list[bytes] = []
    for message in messages:
        # A context for each part: who was let in for the part before must decide nothing here.
        part = RequestContext(visit.connection, visit.request, visit.started)
        let_in(gate, part)  # each anew: access may have ended while the last one ran
        part.answer, part.size = BatchPart(visit), len(message)
        try:
            await method_of(part, _read_batch_message(gate, part, message))(gate, part)
        except LimitReached as many:
            await refuse_here(gate, part, too_many(many).fault)
        except TurnedAway as away:
            # A part that is refused takes no answer from the others (JSON-RPC 2.0 clause 6).
            await refuse_here(gate, part, away.fault)
        answer = part.answer
        assert isinstance(answer, BatchPart)
        if answer.body:
            bodies.append(answer.body)
    joined = join_batch(bodies)
    visit.answer.end(200 if joined else 202, joined)


def _read_batch_message(
    gate: EndpointContext, part: RequestContext, message: bytes
) -> ClientMessage | ClientResponse:
    """One message of a batch. Raises TurnedAway, also for a handshake (2025-03-26 lifecycle)."""
    read = read_message_of(gate, part, message)
    if isinstance(read, ClientMessage) and read.method == "initialize":
        raise turn_away(400, "initialize never stands in a batch", "invalid_request")
    return read
