"""The bytes of each leaf, as release 0.1 wrote them: a log is read years later."""

import re

import pytest
from tests.fakes.world import CountedIds, StillClock

from gatelodge.core.records.leaves import (
    CallDenied,
    CallIntent,
    CallOutcome,
    RequestAnswered,
    RequestRefused,
)
from gatelodge.flows.audit.recorder import AuditRecorder, RecordedCaller

AT = b'"at":"2026-11-18T11:06:40.000000Z"'
ANN = RecordedCaller("mem_ann", "mem_ann")
ABOUT = {"bytes_in": 9, "gov": 3, "method": "tools/call", "policy": "p", "proto": "2025-11-25"}
INTENT = (
    b'{"actor_c":"sha256:*",%b,"bytes_in":%d,"call":"c_%022d","decision":"allow","gov":3,'
    b'"method":"tools/call","node":"nod_1","policy":"p","proto":"2025-11-25","rule":"grn_1",'
    b'"server":"srv_1","t":"call.intent","tool":"%b","tool_def":"","v":2}'
)
DENIED = (
    b'{"actor_c":"sha256:*",%b,"bytes_in":9,"call":"c_%022d","decision":"deny","gov":3,'
    b'"method":"tools/call","node":"nod_1","policy":"p","proto":"2025-11-25",'
    b'"reason":"no_grant"%b,"v":2}'
)


class OpenKey:
    """A data key whose ciphertext is nothing."""

    id = "dek_1"

    def seal(self, _nonce, _plain, _associated):
        return b""

    def current(self, _member):
        return self


class Written:
    """A journal that keeps what it is given."""

    failed = False

    def __init__(self):
        self.bodies = []

    def append(self, entry, _durable):
        self.bodies.append(re.sub(rb"sha256:[0-9a-f]{64}", b"sha256:*", entry.body))


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def journal():
    return Written()


@pytest.fixture
def recorder(journal):
    clock, ids = StillClock(), CountedIds()
    return AuditRecorder(journal, clock, ids, OpenKey(), "nod_1", lambda log: log)


def test_an_intent_says_all_of_itself_whether_its_tail_was_kept_or_not(recorder, journal):
    for tool, size in (("read", 7), ("read", 123_456), ('ü"', 0), ("", 0)):
        call = CallIntent(
            **{**ABOUT, "bytes_in": size}, rule="grn_1", server="srv_1", tool=tool, tool_def=""
        )
        recorder.intent("calls:w", ANN, call, None)
    assert journal.bodies == [
        INTENT % (AT, 7, 1, b"read"),
        INTENT % (AT, 123_456, 3, b"read"),
        INTENT % (AT, 0, 4, 'ü\\"'.encode()),
        INTENT % (AT, 0, 5, b""),
    ]


def test_an_outcome_leaves_out_what_was_not(recorder, journal):
    told = {"call": "c_1", "ms": 3, "bytes_out": 9}
    for more in ({"outcome": "ok"}, {"outcome": "rpc_error", "rpc_code": -32000}):
        recorder.outcome("calls:w", "srv_1", CallOutcome(**told, **more), None)
    slow = CallOutcome(**told, outcome="timeout", process=True)
    recorder.outcome("calls:w", "srv_1", slow, None)
    head = b'{%b,"bytes_out":9,"call":"c_1","ms":3,"node":"nod_1",' % AT
    assert journal.bodies == [
        head + b'"outcome":"ok","t":"call.outcome","v":1}',
        head + b'"outcome":"rpc_error","rpc_code":-32000,"t":"call.outcome","v":1}',
        head + b'"outcome":"timeout","process":true,"t":"call.outcome","v":1}',
    ]


def test_a_denial_names_rule_server_and_tool_where_there_are_any(recorder, journal):
    whole = CallDenied(**ABOUT, reason="no_grant", rule="grn_1", server="srv_1", tool="drop")
    recorder.denied("calls:w", ANN, whole, None)
    recorder.denied("calls:w", ANN, CallDenied(**ABOUT, reason="no_grant"), None)
    empty = CallDenied(**ABOUT, reason="no_grant", rule="", server="", tool="")
    recorder.denied("calls:w", ANN, empty, None)
    named = b',"rule":"grn_1","server":"srv_1","t":"call.denied","tool":"drop"'
    assert journal.bodies == [
        DENIED % (AT, 1, named),
        DENIED % (AT, 3, b',"t":"call.denied"'),
        DENIED % (AT, 4, b',"t":"call.denied"'),
    ]


def test_what_the_gate_answers_itself_and_turns_away(recorder, journal):
    about = {"bytes_in": 1, "bytes_out": 2, "gov": 3, "method": "ping", "ms": 4, "proto": "p"}
    recorder.answered("calls:w", ANN, RequestAnswered(**about, outcome="ok"), None)
    wrong = RequestAnswered(**about, outcome="rpc_error", rpc_code=-32601)
    recorder.answered("calls:w", ANN, wrong, None)
    for who in (ANN, None):
        refusal = RequestRefused(bytes_in=1, http=413, reason="too_large")
        recorder.refused("calls:w", who, refusal, None)
    head = (
        b'{"actor_c":"sha256:*",%b,"bytes_in":1,"bytes_out":2,"gov":3,"method":"ping","ms":4,' % AT
    )
    refused = b'%b,"bytes_in":1,"http":413,"node":"nod_1","reason":"too_large","t":' % AT
    assert journal.bodies == [
        head + b'"node":"nod_1","outcome":"ok","proto":"p","t":"request.answered","v":2}',
        head + b'"node":"nod_1","outcome":"rpc_error","proto":"p","rpc_code":-32601,'
        b'"t":"request.answered","v":2}',
        b'{"actor_c":"sha256:*",' + refused + b'"request.refused","v":2}',
        b"{" + refused + b'"request.refused","v":1}',
    ]


def test_streams_and_answers_that_were_withheld(recorder, journal):
    stream = recorder.stream_opened("calls:w", ANN, 3, "2025-06-18", None)
    recorder.stream_closed("calls:w", stream, 77, "client_gone", None)
    recorder.withheld("calls:w", "c_1", "tools/call", "revoked")
    recorder.withheld("calls:w", "", "tools/list", "stale")
    name = b"s_%022d" % 1
    assert journal.bodies == [
        b'{"actor_c":"sha256:*",%b,"gov":3,"node":"nod_1","proto":"2025-06-18","stream":"%b",'
        b'"t":"stream.opened","v":2}' % (AT, name),
        b'{%b,"ms":77,"node":"nod_1","reason":"client_gone","stream":"%b","t":"stream.closed",'
        b'"v":1}' % (AT, name),
        b'{%b,"call":"c_1","method":"tools/call","node":"nod_1","reason":"revoked",'
        b'"t":"answer.withheld","v":1}' % AT,
        b'{%b,"method":"tools/list","node":"nod_1","reason":"stale","t":"answer.withheld","v":1}'
        % AT,
    ]


@pytest.mark.anyio
async def test_strangers_are_counted_in_leaves_that_name_nobody(recorder, journal):
    recorder.auth_failed("calls:w", "revoked", None, "crd_9")
    for _ in range(3):
        recorder.auth_failed("unrouted", "malformed")
    recorder.close()
    head = b'{%b,"count":' % AT
    tail = b'"node":"nod_1","reason":"malformed","t":"auth.failed","v":1,"window_ms":0}'
    assert journal.bodies == [
        head + b'1,"credential":"crd_9","node":"nod_1","reason":"revoked","t":"auth.failed","v":1,'
        b'"window_ms":0}',
        head + b"1," + tail,
        head + b"2," + tail,
    ]
