"""Each request is let in as whoever sent it, however many come over one connection."""

import asyncio
import gc
from types import SimpleNamespace

import pytest
from tests.fakes.world import StillClock
from tests.unit.view.rows import NOON, credential, member, view

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.core.errors import Unavailable
from gatelodge.core.tokens import mint
from gatelodge.flows.identity.authenticate import TokenAuthenticator
from gatelodge.web.endpoint.admit import judge, let_in, read_body
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.origins import origins
from gatelodge.web.endpoint.request_context import RequestContext

PEPPERS = HmacPeppers({"1": b"\x01" * 32})
ANN, BEN = (mint("personal", bytes(range(at, at + 32))) for at in (0, 1))
SEEN = view(
    member(),
    member("mem_ben"),
    credential("mem_ann", "crd_ann", digest=PEPPERS.digest(ANN)),
    credential("mem_ben", "crd_ben", digest=PEPPERS.digest(BEN)),
)
BODY = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"c","version":"1"}}}'
)


class Connection(SimpleNamespace):
    """A connection, as far as whoever is let in needs one."""

    memo = None

    def known(self, person):
        self.person = person


@pytest.fixture
def gate():
    follower = SimpleNamespace(view=SEEN, fresh=lambda: True, diverged="")
    return SimpleNamespace(
        follower=follower,
        shut=lambda: "",
        origins=origins("127.0.0.1", "", (), ()),
        authenticator=TokenAuthenticator(follower, PEPPERS, StillClock(NOON)),
        clock=StillClock(NOON),
        limits=SimpleNamespace(json_depth=64),
        targets=lambda _who, _route: None,
    )


def asked(token):
    headers = {
        b"host": b"127.0.0.1",
        b"authorization": b"Bearer " + token.encode(),
        b"content-type": b"application/json",
    }
    return HttpRequest(
        method=b"POST", target=b"/k/home/mcp", headers=headers, body=BODY, size=len(BODY)
    )


def test_who_waits_on_a_connection_is_not_named_by_whoever_is_answered_before(gate):
    connection = Connection()
    first, second = (RequestContext(connection, asked(each), 0.0) for each in (ANN, BEN))
    let_in(gate, first)
    judge(gate, connection, second.request)  # it came while the first waits for its data key
    read_body(gate, first)
    let_in(gate, second)
    read_body(gate, second)
    named = [(each.caller.member, each.caller.credential) for each in (first, second)]
    assert named == [("mem_ann", "crd_ann"), ("mem_ben", "crd_ben")]


@pytest.mark.anyio
async def test_a_record_of_a_stranger_who_left_before_their_turn_is_no_fault_of_the_process(
    gate,
):
    faults, written = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: faults.append(what))
    gate.waits = True
    gate.recorder = SimpleNamespace(auth_failed=lambda *given: written.append(given[2]))
    judge(gate, Connection(), asked(mint("personal", bytes(range(7, 39)))))
    written.pop().set_exception(Unavailable("the disk is gone"))
    await asyncio.sleep(0)
    gc.collect()
    assert faults == []
