"""What a server's reply means for whoever called."""

import pytest
from msgspec import Raw

from gatelodge.flows.gateway.answers import CallFailed, UpstreamResult, answer_of
from gatelodge.ports.upstream import UpstreamReply


@pytest.mark.parametrize(
    ("result", "means"),
    [
        ('{"content":[]}', UpstreamResult),
        ('{"content":[],"task":null}', UpstreamResult),
        ('{"task":{"taskId":"1"}}', CallFailed),
        ('{"task":{"taskId":"1"},"content":null}', CallFailed),
        ('{"messages":[],"task":null}', UpstreamResult),
    ],
)
def test_a_member_that_is_null_is_as_good_as_absent(result, means):
    """A task of 2025-11-25 that nobody asked for is none of the answers to a call."""
    assert type(answer_of(UpstreamReply(result=Raw(result.encode())), "c_1", "legacy")) is means
