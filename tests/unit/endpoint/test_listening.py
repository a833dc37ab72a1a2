"""A legacy session's stream hears of all that the session waits for, whenever it asked for it."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.fakes.world import StillClock
from tests.unit.view.rows import NOON, grant, member, server, tool, view

from gatelodge.core.ids import ServerId
from gatelodge.core.protocol.session import Session
from gatelodge.flows.catalog.offers import Offers
from gatelodge.flows.gateway.inflight import InFlight
from gatelodge.flows.gateway.sessions import Sessions
from gatelodge.flows.gateway.streams import Streams
from gatelodge.web.endpoint.methods.listening import legacy_stream

pytestmark = pytest.mark.anyio
URI = (ServerId("srv_git"), "file:///a")


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Journal:
    """Says that a stream was opened, and writes it down when the test lets it."""

    def __init__(self):
        self.asked = asyncio.Event()

    def stream_opened(self, _log, _caller, _seen, written):
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
        streams = Streams(clock, Offers(), lambda *told: watched.append(told), lambda: self.seen)
        super().__init__(
            follower=follower,
            clock=clock,
            streams=streams,
            watched=watched,
            inflight=InFlight(),
            sessions=Sessions(),
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
        )


async def test_what_was_subscribed_to_while_the_stream_was_being_recorded_is_heard_of():
    door = Door()
    door.follower.view = SimpleNamespace(admits=lambda *_: True)
    session = Session("mem_ann", "wsp_1", "", "2025-11-25", "", NOON * 2, b"nonce")
    opening = asyncio.create_task(legacy_stream(door, door.visit(session)))
    await asyncio.wait_for(door.recorder.asked.wait(), 5)
    door.sessions.of(b"nonce", NOON * 2, NOON).uris = frozenset((URI,))
    door.recorder.written.set_result(None)
    await asyncio.wait_for(door.opened.wait(), 5)
    assert door.watched == [("srv_git", frozenset(("file:///a",)))]
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
