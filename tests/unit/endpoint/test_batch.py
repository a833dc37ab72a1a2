"""The answers of a batch leave together, under all that let each of them be given, or none does."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from tests.fakes.world import StillClock
from tests.unit.endpoint.test_admitted import ANN, PEPPERS, SEEN, Connection
from tests.unit.view.rows import NOON

from gatelodge.core.errors import Unavailable
from gatelodge.core.protocol.session import LegacySession, pack
from gatelodge.flows.identity.authenticate import TokenAuthenticator
from gatelodge.web.endpoint.admit import let_in
from gatelodge.web.endpoint.batch import answer_batch
from gatelodge.web.endpoint.context import TurnedAway, answer_here
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.endpoint.methods.tables import LEGACY_METHODS
from gatelodge.web.endpoint.origins import origins
from gatelodge.web.endpoint.request_context import RequestContext

pytestmark = pytest.mark.anyio
SESSION = LegacySession("mem_ann", "wsp_home", "", "2025-03-26", "", NOON * 2, b"nonce")
WITHOUT = SEEN.without(credentials=("crd_ann",))
BOTH = [("ping", "revoked"), ("ping", "revoked")]


class Records:
    """A journal that is quick, but for a record at which the test does something."""

    def __init__(self):
        self.meanwhile = lambda _count: None
        self.count = 0
        self.kept_back = []

    def _noted(self, written):
        self.count += 1
        self.meanwhile(self.count)
        written.set_result(None)

    def answered(self, _log, _who, _request, written):
        self._noted(written)

    def refused(self, _log, _who, _refusal, written):
        self._noted(written)

    def withheld(self, _log, _call, method, why):
        self.kept_back.append((method, why))


class Gate(SimpleNamespace):
    """A gate with a session of the revision that has batches."""

    def __init__(self):
        follower = SimpleNamespace(view=SEEN, held=True, diverged="")
        follower.fresh = lambda: follower.held

        async def renewed():
            return follower.held

        follower.renewed = renewed
        super().__init__(
            follower=follower,
            shut=lambda: "",
            origins=origins("127.0.0.1", "", (), ()),
            authenticator=TokenAuthenticator(follower, PEPPERS, StillClock(NOON)),
            clock=StillClock(NOON),
            limits=SimpleNamespace(json_depth=64, batch_messages=4),
            targets=lambda _who, _route: None,
            sealer=SimpleNamespace(open=lambda _sealed, _context: pack(SESSION)),
            sessions=SimpleNamespace(ended=lambda *_: False),
            recorder=Records(),
            waits=True,
        )


async def said(gate, visit):
    """Answer with something that only a member may know."""
    await answer_here(gate, visit, b'{"id":%b,"result":"secret"}' % visit.raw_id)


async def fails(_gate, _visit):
    raise Unavailable("the disk is full")


@pytest.fixture(autouse=True)
def methods(monkeypatch):
    monkeypatch.setitem(LEGACY_METHODS, "ping", said)
    monkeypatch.setitem(LEGACY_METHODS, "tools/list", fails)


class Wire(Connection):
    """Keeps what would be written at the end of the round."""

    closing, permit = False, None

    def write(self, chunk):
        self.told = chunk


async def sent(gate, *methods):
    """Send a batch; its connection."""
    batch = [{"jsonrpc": "2.0", "id": at, "method": name} for at, name in enumerate(methods)]
    body = json.dumps(batch).encode()
    head = {"host": "127.0.0.1", "authorization": f"Bearer {ANN}", "mcp-session-id": "sealed"}
    headers = {name.encode(): value.encode() for name, value in head.items()}
    connection = Wire(told=b"")
    request = HttpRequest(
        method=b"POST", target=b"/k/home/mcp", headers=headers, body=body, size=len(body)
    )
    visit = RequestContext(connection, request, 0.0)
    let_in(gate, visit)
    await asyncio.wait_for(answer_batch(gate, visit), 5)
    return connection


async def test_what_let_each_part_be_given_is_asked_once_more_when_all_are_written():
    gate = Gate()
    connection = await sent(gate, "ping", "ping")
    assert connection.permit.holds()
    gate.follower.held = False
    assert not connection.permit.holds()
    gate.follower.held, gate.follower.view = True, WITHOUT
    assert not connection.permit.holds()
    connection.permit.withheld()
    assert gate.recorder.kept_back == BOTH


@pytest.mark.parametrize("last", ["ping", "initialize"], ids=["answered", "refused"])
async def test_nothing_is_told_to_whoever_lost_access_while_the_last_part_was_recorded(last):
    gate = Gate()

    def meanwhile(count):
        if count == 3:
            gate.follower.view = WITHOUT

    gate.recorder.meanwhile = meanwhile
    connection = await sent(gate, "ping", "ping", last)
    assert connection.told.startswith(b"HTTP/1.1 401 ")
    assert b"secret" not in connection.told
    assert sorted(gate.recorder.kept_back)[:2] == BOTH


async def test_nothing_is_told_once_the_lease_ran_out_for_good():
    gate = Gate()

    def meanwhile(count):
        gate.follower.held = count < 2

    gate.recorder.meanwhile = meanwhile
    connection = await sent(gate, "ping", "initialize")
    assert connection.told.startswith(b"HTTP/1.1 503 ")
    assert gate.recorder.kept_back == [("ping", "stale")]


async def test_a_batch_that_could_not_be_finished_leaves_no_answer_recorded_as_given():
    gate = Gate()
    with pytest.raises(Unavailable):
        await sent(gate, "ping", "tools/list", "ping")
    assert gate.recorder.kept_back == [("ping", "unavailable")]


async def test_a_batch_turned_away_on_the_way_leaves_no_answer_recorded_as_given():
    gate = Gate()
    gate.recorder.meanwhile = lambda _count: setattr(gate, "shut", lambda: "no record is written")
    with pytest.raises(TurnedAway):
        await sent(gate, "ping", "ping")
    assert gate.recorder.kept_back == [("ping", "unavailable")]
