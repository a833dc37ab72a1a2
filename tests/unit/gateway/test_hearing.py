"""What a server says while its call waits for a client: a little is kept, the newest of it."""

import json

import pytest
from msgspec import Raw

from gatelodge.flows.gateway.request import HELD, HELD_BYTES, NotificationBuffer

LOG, PROGRESS = "notifications/message", "notifications/progress"


def told(number, size=0):
    return json.dumps({"n": number, "x": "x" * size}).encode()


def heard(sizes):
    """What is left of notifications of these sizes when somebody listens again."""
    hearing, got = NotificationBuffer(None), []
    hearing.detach()
    for number, size in enumerate(sizes):
        hearing(LOG, told(number, size))
    hearing.attach(lambda _, params: got.append(params), {})
    return [json.loads(params)["n"] for params in got], sum(map(len, got))


def test_so_many_are_kept_and_the_oldest_are_dropped():
    numbers, _ = heard([0] * (HELD + 10))
    assert numbers == list(range(10, HELD + 10))


def test_no_more_bytes_are_kept_than_there_is_room_for():
    numbers, size = heard([HELD_BYTES // 4] * 10)
    assert numbers == [7, 8, 9]
    assert size <= HELD_BYTES


def test_one_that_is_larger_than_the_room_is_not_kept():
    assert heard([10, HELD_BYTES, 10])[0] == [2]


@pytest.mark.parametrize("null", [False, True])
def test_progress_is_told_under_the_token_of_whoever_listens_now_or_not_at_all(null):
    hearing, got = NotificationBuffer(None), []
    hearing.detach()
    hearing(PROGRESS, b'{"progressToken":1,"progress":1}')
    hearing.attach(lambda _, params: got.append(json.loads(params)), {"progressToken": Raw(b'"b"')})
    hearing(PROGRESS, b'{"progressToken":1,"progress":2}')
    assert got == [{"progressToken": "b", "progress": n} for n in (1, 2)]
    hearing.detach()
    hearing(PROGRESS, b'{"progressToken":1,"progress":3}')
    without = {"progressToken": Raw(b"null")} if null else {}
    hearing.attach(lambda _, params: got.append(json.loads(params)), without)
    hearing(PROGRESS, b'{"progressToken":1,"progress":4}')
    assert len(got) == 2
    hearing(LOG, b'{"data":1}')
    assert got[2:] == [{"data": 1}]
