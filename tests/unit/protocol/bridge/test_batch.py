"""Batches: split into the bytes that came, joined into one body."""

import pytest

from gatelodge.core.protocol.bridge.batch import is_batch, join_batch, split_batch
from gatelodge.core.protocol.envelope import MessageFault

PING = b'{"jsonrpc": "2.0", "id":123456789012345678901234567890, "method":"ping"}'


def test_a_batch_falls_into_its_messages_byte_for_byte():
    odd = b'{"n": 1E400, "n": 2}'
    assert split_batch(b" [ " + PING + b" ,\n" + odd + b" ]\n", 8) == (PING, odd)
    assert split_batch(b"[1,[2]]", 2) == (b"1", b"[2]")


def test_a_body_is_a_batch_when_it_begins_as_an_array():
    assert is_batch(b"\r\n\t [")
    assert not is_batch(PING)
    assert not is_batch(b"")


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"[", -32700, "malformed_json"),
        (b"[1,]", -32700, "malformed_json"),
        (b"[1] 2", -32700, "malformed_json"),
        (b"[" * 100_000, -32700, "malformed_json"),
        (b"[" * 100_000 + b"]" * 100_000, -32700, "malformed_json"),
        (b"[]", -32600, "invalid_request"),
        (b"[1,2,3]", -32600, "limit"),
    ],
)
def test_what_is_no_batch_of_a_bounded_size_is_refused_whole(body, code, reason):
    with pytest.raises(MessageFault) as caught:
        split_batch(body, 2)
    fault = caught.value.fault
    assert (fault.http, fault.code, fault.reason) == (400, code, reason)


def test_responses_are_joined_in_their_order_and_none_is_no_body():
    assert join_batch([b'{"id":1}', b'{"id":2}']) == b'[{"id":1},{"id":2}]'
    assert join_batch(iter(())) == b""
