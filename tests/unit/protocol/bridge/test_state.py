"""Sealed values that clients give back: whose they are, what for, and until when."""

import pytest
from msgspec import Raw
from msgspec.structs import replace

from gatelodge.core.protocol.bridge.state import (
    ParkedCall,
    RelayedCall,
    StateBinding,
    TaskId,
    holds,
    pack,
    read_state,
    read_task_id,
    request_digest,
)
from gatelodge.core.protocol.session import LegacySession, read_session

BINDING = StateBinding("wsp_1", "gh", "mem_1", "srv_1", b"\x01" * 32)
PARKED = ParkedCall(BINDING, 1_000, 1, "node-1", b"handle")
RELAYED = RelayedCall(BINDING, 1_000, 2, b'"their state"')


@pytest.mark.parametrize("state", [PARKED, RELAYED])
def test_a_state_is_read_as_it_was_packed(state):
    assert read_state(pack(state)) == state


@pytest.mark.parametrize(
    "plain",
    [None, b"", b"\xc1", pack("parked"), pack(["parked"]), pack(["other", 1]), pack(BINDING)],
)
def test_other_bytes_hold_no_state(plain):
    assert read_state(plain) is None
    assert read_task_id(plain) is None


@pytest.mark.parametrize("state", [PARKED, RELAYED])
@pytest.mark.parametrize(
    "changed",
    [
        {"workspace": "wsp_2"},
        {"alias": ""},
        {"principal": "mem_2"},
        {"server": "srv_2"},
        {"digest": b"\x02" * 32},
    ],
)
def test_a_state_is_good_for_one_caller_one_endpoint_and_one_request(state, changed):
    assert holds(state, BINDING, 999)
    assert not holds(state, replace(BINDING, **changed), 999)


@pytest.mark.parametrize("state", [PARKED, RELAYED])
def test_a_state_is_good_for_a_while(state):
    assert not holds(state, BINDING, 1_000)


def test_a_task_id_is_read_as_it_was_packed_and_is_no_state():
    task = TaskId("wsp_1", "gh", "mem_1", "srv_1", "slow", "their task")
    assert read_task_id(pack(task)) == task
    assert read_state(pack(task)) is None


CALL = {"name": Raw(b'"a"'), "arguments": Raw(b'{"x":1}')}


def test_a_request_is_known_again_whatever_belongs_to_its_round():
    again = {
        "requestState": Raw(b'"s"'),
        "arguments": CALL["arguments"],
        "_meta": Raw(b'{"progressToken":2}'),
        "inputResponses": Raw(b"{}"),
        "name": CALL["name"],
    }
    assert request_digest("tools/call", again) == request_digest("tools/call", CALL)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("prompts/get", CALL),
        ("tools/call", {**CALL, "name": Raw(b'"b"')}),
        ("tools/call", {**CALL, "arguments": Raw(b'{"x":2}')}),
        ("tools/call", {**CALL, "arguments": Raw(b'{"x": 1}')}),
        ("tools/call", {**CALL, "novel": Raw(b"1")}),
        ("tools/call", {"name": CALL["name"]}),
        ("tools/call", {"name": CALL["arguments"], "arguments": CALL["name"]}),
    ],
)
def test_another_request_has_another_digest(method, params):
    assert request_digest(method, params) != request_digest("tools/call", CALL)


def test_no_two_requests_are_read_as_one():
    one = request_digest("m", {"a": Raw(b"1"), "b": Raw(b"2")})
    assert one != request_digest("m", {"a1b": Raw(b"2")})
    assert one != request_digest("ma", {"1b": Raw(b"2")})


def test_a_session_sealed_before_capabilities_were_kept_is_read():
    session = LegacySession("mem_1", "wsp_1", "", "2025-11-25", "c/1", 9, b"nonce", b'{"roots":{}}')
    assert read_session(pack(session)) == session
    old = pack(["mem_1", "wsp_1", "", "2025-11-25", "c/1", 9, b"nonce"])
    assert read_session(old) == replace(session, capabilities=b"{}")
