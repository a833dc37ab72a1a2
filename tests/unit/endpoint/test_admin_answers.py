"""What the admin API answers once its reader is nobody any more, and to whom asks too much."""

import asyncio
import gc
from types import SimpleNamespace

import pytest

from gatelodge.core.errors import Forbidden, Stale
from gatelodge.web.api import authentication
from gatelodge.web.api import face as faces
from gatelodge.web.api.context import AdminCaller
from gatelodge.web.endpoint.http.request import HttpRequest

ADA = AdminCaller(by="mem_ada", role="auditor", workspace="wsp_1", credential="crd_1")
WAIT = 10


class Connection:
    """Keeps what is written, and under which permit."""

    def __init__(self):
        self.gone, self.closing, self.on_gone, self.permit = False, False, None, None
        self.told, self.ended = [], asyncio.Event()

    def about(self, what):
        return None

    def known(self, person):
        self.person = person

    def write(self, chunk):
        self.told.append(chunk)

    def finish(self):
        self.ended.set()


class Recorder:
    def __init__(self):
        self.reasons = []

    def auth_failed(self, log, why, written, whose):
        self.reasons.append(why)
        written.set_result(None)

    def refused(self, log, who, refusal, written):
        self.reasons.append(refusal.reason)
        if written is not None:
            written.set_result(None)


@pytest.fixture
def house(monkeypatch):
    """A face whose app is `app`, and whoever a token names is `who`."""
    world = SimpleNamespace(who=ADA, recorder=Recorder())

    def identify(_gate, _headers):
        if isinstance(world.who, Exception):
            raise world.who
        return world.who

    for module in (faces, authentication):
        monkeypatch.setattr(module, "identify", identify)
    authenticator = SimpleNamespace(
        authenticate=lambda _header: "unknown",
        recorded_failure=lambda _header, why, _log: (why, ""),
    )

    def begin(app):
        ready = asyncio.get_running_loop().create_future()
        ready.set_result(app)
        limits = SimpleNamespace(json_depth=8)
        ensured = SimpleNamespace(ensure=lambda _who: asyncio.sleep(0))
        gate = SimpleNamespace(settings=SimpleNamespace(limits=limits), deks=ensured)
        gate.authenticator, gate.ids = authenticator, SimpleNamespace(new=str)
        origins = SimpleNamespace(host_allowed=lambda _host: True)
        world.face = faces.ApiFace(gate, world.recorder, origins, ready, local=False)
        return world

    return begin


def request(method=b"GET"):
    asked = HttpRequest()
    asked.method, asked.target = method, b"/api/v1/x"
    asked.headers = {b"host": b"localhost"}
    return asked


async def says_secret(scope, _receive, send):
    scope["state"]["caller"] = ADA
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


@pytest.mark.anyio
@pytest.mark.parametrize(
    "now", ["unknown", AdminCaller(by="mem_ada", role="member"), Stale("late")]
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_what_was_read_reaches_nobody_whose_access_ended_meanwhile(house, now, method):
    async def app(scope, receive, send):
        await says_secret(scope, receive, send)
        world.who = now

    world, connection = house(app), Connection()
    world.face.receive(connection, request(method))
    await asyncio.wait_for(connection.ended.wait(), WAIT)
    told = b"".join(connection.told)
    assert (b"secret" in told) is (method == b"POST")
    assert world.recorder.reasons == (["stale"] if method == b"GET" else [])


@pytest.mark.anyio
@pytest.mark.parametrize("now", ["expired", Stale("late"), Forbidden("an agent's token"), ADA])
async def test_a_request_of_nobody_is_told_so_and_recorded_whatever_its_token_is_by_then(
    house, now
):
    world, connection, asked = house(says_secret), Connection(), request(b"POST")
    asked.headers[b"content-length"] = b"2"
    world.who = "expired"
    world.face.judge(connection, asked)
    world.who = now
    world.face.receive(connection, asked)
    await asyncio.wait_for(connection.ended.wait(), WAIT)
    assert connection.told[0].startswith(b"HTTP/1.1 401 ")
    assert world.recorder.reasons == ["expired" if now == "expired" else "unknown"]


@pytest.mark.anyio
async def test_the_permit_of_what_was_read_is_asked_when_it_leaves(house):
    world, connection = house(says_secret), Connection()
    world.face.receive(connection, request())
    await asyncio.wait_for(connection.ended.wait(), WAIT)
    assert connection.permit.holds()
    world.who = Stale("late")
    assert not connection.permit.holds()
    connection.permit.withheld()
    assert world.recorder.reasons == ["stale"]


@pytest.mark.anyio
@pytest.mark.parametrize("target", [b"/readyz", b"/readyz?x", b"/api/v1/ready"])
async def test_that_a_node_is_not_ready_is_an_answer_to_a_probe_and_no_refusal(house, target):
    async def unready(scope, _receive, send):
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    world, connection, asked = house(unready), Connection(), request()
    asked.target = target
    world.face.receive(connection, asked)
    await asyncio.wait_for(connection.ended.wait(), WAIT)
    assert connection.told[0].startswith(b"HTTP/1.1 503 ")
    probed = target.startswith(b"/readyz")
    assert world.recorder.reasons == ([] if probed else ["unavailable"])


@pytest.mark.anyio
async def test_so_many_requests_of_one_person_are_answered_at_once_and_no_more(house):
    may_end = asyncio.Event()

    async def app(scope, receive, send):
        await may_end.wait()
        await says_secret(scope, receive, send)

    world = house(app)
    open_ones = [Connection() for _ in range(faces.MOST_AT_ONCE + 3)]
    for each in open_ones:
        world.face.receive(each, request())
    refused = open_ones[faces.MOST_AT_ONCE :]
    for each in refused:
        await asyncio.wait_for(each.ended.wait(), WAIT)
        assert each.told[0].startswith(b"HTTP/1.1 429 ")
    may_end.set()
    for each in open_ones[: faces.MOST_AT_ONCE]:
        await asyncio.wait_for(each.ended.wait(), WAIT)
        assert b"secret" in each.told[0]
    assert world.recorder.reasons == ["limit"] * 3
    again = Connection()
    world.face.receive(again, request())
    await asyncio.wait_for(again.ended.wait(), WAIT)
    assert b"secret" in again.told[0]


@pytest.mark.anyio
async def test_a_request_of_which_the_face_itself_fails_is_told_an_incident_and_recorded(house):
    async def breaks(_scope, _receive, _send):
        raise RuntimeError("secret")

    world, connection = house(breaks), Connection()
    world.face.receive(connection, request())
    await asyncio.wait_for(connection.ended.wait(), WAIT)
    (told,) = connection.told
    assert told.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in told
    assert world.recorder.reasons == ["internal"]


@pytest.mark.anyio
async def test_a_record_that_fails_after_its_refusal_was_told_is_no_fault_of_the_process(
    house, monkeypatch
):
    faults, written = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: faults.append(what))
    monkeypatch.setattr(faces, "_RECORD_SECONDS", 0.01)
    world, connection = house(says_secret), Connection()
    world.recorder.auth_failed = lambda *given: written.append(given[2])
    world.who, asked = "unknown", request(b"POST")
    asked.headers[b"content-length"] = b"2"
    world.face.receive(connection, asked)
    await asyncio.wait_for(connection.ended.wait(), WAIT)
    assert connection.told[0].startswith(b"HTTP/1.1 401 ")
    written.pop().set_exception(Stale("the disk is gone"))
    await asyncio.sleep(0)
    gc.collect()
    assert faults == []
