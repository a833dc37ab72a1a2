"""A legacy session's stream hears of all that the session waits for, whenever it asked for it."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from msgspec import Raw
from tests.fakes.world import StillClock
from tests.unit.view.rows import NOON, grant, member, server, tool, view

from gatelodge.core.ids import ServerId
from gatelodge.core.protocol.session import LegacySession
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import SessionTable
from gatelodge.flows.gateway.streams import OpenStreams
from gatelodge.web.endpoint.methods import listening, subscribing
from gatelodge.web.endpoint.methods.listening import legacy_stream

pytestmark = pytest.mark.anyio
URI = (ServerId("srv_git"), "file:///a")


class Journal:
    """Says that a stream was opened, and writes it down when the test lets it."""

    def __init__(self):
        self.asked = asyncio.Event()

    def stream_opened(self, _log, _caller, _gov, _proto, written):
        self.written = written
        self.asked.set()
        return "record"

    def stream_closed(self, *_):
        pass


async def at_once():
    return True


class Door(SimpleNamespace):
    """A gate, as far as streams need one."""

    def __init__(self):
        self.seen = view(member(), server("srv_git", "git"), tool(), grant("grn_1"))
        clock, watched = StillClock(NOON), []
        follower = SimpleNamespace(view=self.seen, fresh=lambda: True, renewed=at_once)
        streams = OpenStreams(
            clock, OfferMemory(), lambda *told: watched.append(told), lambda: self.seen
        )
        super().__init__(
            follower=follower,
            clock=clock,
            streams=streams,
            watched=watched,
            inflight=InFlight(),
            sessions=SessionTable(),
            recorder=Journal(),
            words=SimpleNamespace(told=lambda *_: None),
            opened=asyncio.Event(),
            limits=SimpleNamespace(streams_per_principal=1),
            waits=True,
            rendering=None,
        )

    def visit(self, session):
        """A GET of that session."""
        answer = SimpleNamespace(streaming=False, open_stream=self.opened.set)
        who = self.seen.principals["mem_ann"]
        return SimpleNamespace(
            session=session,
            who=who,
            credential=SimpleNamespace(id="crd_1", principal=who.id, expires_at=NOON * 2),
            workspace=SimpleNamespace(id="wsp_1"),
            route=SimpleNamespace(workspace="home", alias=""),
            view=SimpleNamespace(gov=1),
            targets=None,
            connection=SimpleNamespace(gone=False, on_gone=None, closing=False),
            answer=answer,
            caller="ann",
            log="log",
            method="session/stream",
            answerable="",
            said=lambda: None,
            proto="2025-11-25",
            started=0.0,
            forget=lambda: None,
            capabilities=b"{}",
            invalid_status=200,
        )


async def test_what_was_subscribed_to_while_the_stream_was_being_recorded_is_heard_of():
    door = Door()
    door.follower.view = SimpleNamespace(admits=lambda *_: True)
    session = LegacySession("mem_ann", "wsp_1", "", "2025-11-25", "", NOON * 2, b"nonce")
    opening = asyncio.create_task(legacy_stream(door, door.visit(session)))
    await asyncio.wait_for(door.recorder.asked.wait(), 5)
    door.sessions.of(b"nonce", NOON * 2, NOON).uris = frozenset((URI,))
    door.recorder.written.set_result(None)
    await asyncio.wait_for(door.opened.wait(), 5)
    assert door.watched == [("srv_git", frozenset(("file:///a",)))]
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


@pytest.mark.parametrize("ends", [True, False])
async def test_servers_are_recorded_as_told_only_when_the_stream_began(ends, monkeypatch):
    """A client that goes while the intents are written has nothing told to them."""
    door = Door()
    door.follower.view = SimpleNamespace(admits=lambda *_: True)
    monkeypatch.setattr(listening, "watched", lambda *_: URI)
    monkeypatch.setattr(listening, "unbearable", lambda *_: "")
    said, visit = [], door.visit(None)
    params = {"notifications": Raw(b'{"resourceSubscriptions":["git+file:///a"]}')}
    visit.message = SimpleNamespace(id=b"1", params=params)
    visit.answer.say = lambda _greeting: None

    async def noted(*_given):
        if ends:
            visit.connection.on_gone()
        return {URI[0]: "c1"}

    door.words = SimpleNamespace(
        noted=noted,
        told=lambda _said, noted: said.append(("ok", noted)),
        untold=lambda _said, noted, why: said.append((why, noted)),
    )
    opening = asyncio.create_task(listening.listen(door, visit))
    await asyncio.wait_for(door.recorder.asked.wait(), 5)
    door.recorder.written.set_result(None)
    await asyncio.wait_for(door.opened.wait(), 5)
    visit.connection.on_gone()
    await asyncio.wait_for(opening, 5)
    assert said == [("client_gone" if ends else "ok", {URI[0]: "c1"})]
    assert bool(door.watched) is not ends


@pytest.mark.parametrize("reads", [True, False])
async def test_a_stream_is_greeted_with_what_it_will_hear_of_and_with_nothing_else(
    reads, monkeypatch
):
    """Access to a resource may end while its watching is written down."""
    door, greetings = Door(), []
    door.follower.view = SimpleNamespace(admits=lambda *_: True)
    monkeypatch.setattr(listening, "watched", lambda *_: URI)
    monkeypatch.setattr(listening, "unbearable", lambda *_: "")
    visit = door.visit(None)
    params = b'{"toolsListChanged":true,"resourceSubscriptions":["git+file:///a"]}'
    visit.message = SimpleNamespace(id=b"1", params={"notifications": Raw(params)})
    visit.answer.say = greetings.append

    async def noted(*_given):
        return {URI[0]: "c1"} if reads else {}

    door.words = SimpleNamespace(noted=noted, told=lambda *_: None)
    opening = asyncio.create_task(listening.listen(door, visit))
    await asyncio.wait_for(door.recorder.asked.wait(), 5)
    door.recorder.written.set_result(None)
    await asyncio.wait_for(door.opened.wait(), 5)
    visit.connection.on_gone()
    await asyncio.wait_for(opening, 5)
    (greeting,) = greetings
    told = json.loads(greeting)["params"]["notifications"]
    heard = {"resourceSubscriptions": ["git+file:///a"]} if reads else {}
    assert told == {"toolsListChanged": True, **heard}
    assert bool(door.watched) is reads


@pytest.mark.parametrize("reads", [True, False])
async def test_a_session_is_told_that_it_is_subscribed_only_to_what_it_will_hear_of(
    reads, monkeypatch
):
    door, answers = Door(), []
    monkeypatch.setattr(subscribing, "watched", lambda *_: URI)
    monkeypatch.setattr(subscribing, "unbearable", lambda *_: "")

    async def answered(_gate, _visit, body, **_more):
        answers.append(json.loads(body))

    monkeypatch.setattr(subscribing, "answer_here", answered)

    async def noted(*_given):
        return {URI[0]: "c1"} if reads else {}

    door.words = SimpleNamespace(noted=noted, told=lambda *_: None)
    session = LegacySession("mem_ann", "wsp_1", "", "2025-11-25", "", NOON * 2, b"nonce")
    visit = door.visit(session)
    visit.era = "legacy"
    params = {"uri": Raw(b'"git+file:///a"')}
    visit.message = SimpleNamespace(id=b"1", method="resources/subscribe", params=params)
    await subscribing.subscribe(door, visit)
    assert [list(each)[-1] for each in answers] == ["result" if reads else "error"]
    assert (URI in door.sessions.of(b"nonce", NOON * 2, NOON).uris) is reads
