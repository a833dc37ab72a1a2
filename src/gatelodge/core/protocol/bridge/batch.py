"""JSON-RPC batches: several messages in one body, as only revision 2025-03-26 has them.

Source: JSON-RPC 2.0 clause 6; MCP 2025-03-26 basic (Batching), basic/lifecycle: `initialize` never
stands in one.
"""

from collections.abc import Iterable

from msgspec import Raw

from gatelodge.core.jsontext.jsonrpc import INVALID_REQUEST, PARSE_ERROR
from gatelodge.core.jsontext.shape import read_as
from gatelodge.core.jsontext.weight import MOST_DEPTH
from gatelodge.core.protocol.envelope import MessageFault, RequestFault, check_burden
from gatelodge.core.records.leaves import RefusedReason


def is_batch(body: bytes) -> bool:
    """True when the body begins as an array does."""
    return body.lstrip(b" \t\r\n")[:1] == b"["


def split_batch(body: bytes, most: int) -> tuple[bytes, ...]:
    """The messages of a batch, each as the bytes it came in. Raises MessageFault.

    Nothing of them is judged here: each is read like a body of its own. An empty batch is no
    request (JSON-RPC 2.0 clause 6), and one of more than `most` messages is refused whole.
    """
    # How deep a client may nest is judged of each message later; here only the split is guarded.
    check_burden(body, MOST_DEPTH)
    messages = read_as(body, list[Raw])
    if messages is None:
        raise _batch_fault(PARSE_ERROR, "the batch is not JSON", "malformed_json")
    if not messages:
        raise _batch_fault(INVALID_REQUEST, "the batch is empty", "invalid_request")
    # Each message may be a call: without a bound one body would order any number of them.
    if len(messages) > most:
        raise _batch_fault(INVALID_REQUEST, f"a batch holds at most {most} messages", "limit")
    return tuple(bytes(message) for message in messages)


def join_batch(responses: Iterable[bytes]) -> bytes:
    """The body that holds these responses; empty when there are none: nothing is answered then."""
    joined = b",".join(responses)
    return b"[%b]" % joined if joined else b""


def _batch_fault(code: int, text: str, reason: RefusedReason) -> MessageFault:
    return MessageFault(RequestFault(400, code, text, reason))
