"""Nothing that a member writes reaches a server before its intent is durable, nor once it ended."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.fakes.world import StillClock
from tests.unit.gateway.test_admission import ENDS, GOOD, Journal, Node, a_few_rounds
from tests.unit.view.rows import NOON, grant, view

from gatelodge.core.errors import LedgerDown, LimitReached
from gatelodge.flows.gateway.bridge.words import ServerNotices, all_of, resources_of
from gatelodge.flows.gateway.request import RequestOrigin
from gatelodge.flows.gateway.sessions import LIFE_MICROSECONDS, MOST_KEPT, SessionTable
from gatelodge.flows.gateway.unclosed import UnclosedCalls
from gatelodge.flows.health import NodeHealth

pytestmark = [pytest.mark.anyio, pytest.mark.guarantee("audit:intent-before-effect")]
SERVER = "srv_git"
WHOLE = {"the tool is blocked", "the tool drifted"}
"""What ends one tool ends nothing of the resources of its server."""


class Scene:
    """A member who has something said, and what came of it: `noted` is None until then."""

    def __init__(self, servers=(SERVER,), entries=resources_of, journal=None):
        self.node, self.journal = Node(), journal or Journal()
        now = self.node.view
        (known,) = now.credentials.values()
        self.said = RequestOrigin(
            who=now.principals["mem_ann"],
            credential=known,
            caller=SimpleNamespace(client=""),
            slug="home",
            log="calls:home",
            method="resources/subscribe",
            proto="2025-11-25",
            bytes_in=1,
        )
        self.unclosed = UnclosedCalls(self.journal)
        self.words = ServerNotices(
            self.journal, StillClock(NOON), self.node, self.unclosed, waits=True
        )
        self.task = asyncio.ensure_future(self.words.noted(self.said, set(servers), entries))

    async def came(self):
        return await asyncio.wait_for(self.task, 5)


async def test_a_server_is_told_only_after_its_intent_is_durable():
    scene = Scene()
    await asyncio.sleep(0)
    assert scene.journal.said == ["intent"]
    assert not scene.task.done()
    scene.journal.waiting.pop().set_result(None)
    noted = await scene.came()
    assert set(noted) == {SERVER}
    scene.words.told(scene.said, noted)
    assert scene.journal.said == ["intent", "ok"]


@pytest.mark.parametrize(
    ("why", "ended"), [("client_gone", "client_gone"), ("expired", "cancelled")]
)
async def test_what_was_told_to_no_server_after_all_is_not_recorded_as_told(why, ended):
    scene = Scene()
    await asyncio.sleep(0)
    scene.journal.waiting.pop().set_result(None)
    scene.words.untold(scene.said, await scene.came(), why)
    assert scene.journal.said == ["intent", ended]


@pytest.mark.parametrize("what", sorted(ENDS.keys() - WHOLE))
async def test_what_ended_while_the_intent_was_written_is_told_to_nobody(what):
    scene = Scene()
    await asyncio.sleep(0)
    scene.node.view = view(*ENDS[what])
    scene.journal.waiting.pop().set_result(None)
    assert await scene.came() == {}
    assert scene.journal.said == ["intent", "revoked"]


async def test_without_a_lease_nobody_is_told():
    scene = Scene()
    await asyncio.sleep(0)
    scene.node.lease = False
    scene.journal.waiting.pop().set_result(None)
    assert await scene.came() == {}
    assert scene.journal.said == ["intent", "stale"]


async def test_an_unknown_server_gets_no_intent_and_is_not_told():
    assert await Scene(servers=("srv_other",)).came() == {}


async def test_who_may_use_nothing_there_has_nothing_told():
    scene = Scene(entries=all_of)
    scene.task.cancel()
    scene.node.view = view(*GOOD[:-1], grant("grn_1", "group", "grp_other"))
    assert await scene.words.noted(scene.said, {SERVER}, all_of) == {}


async def test_a_journal_that_fails_lets_nothing_be_told():
    scene = Scene()
    await asyncio.sleep(0)
    scene.journal.waiting.pop().set_exception(LedgerDown("gone"))
    with pytest.raises(LedgerDown):
        await scene.came()
    assert scene.journal.said == ["intent"]


class CountingJournal(Journal):
    """Gives each intent an id; refuses to take some, as one that is too large is refused."""

    def __init__(self, refused=()):
        super().__init__()
        self.refused, self.intents, self.ended = refused, {}, {}

    def intent(self, _log, _who, _call, durable):
        call = f"c{len(self.intents) + 1}"
        if call in self.refused:
            raise LimitReached("too large")
        self.intents[call] = durable
        return call

    def outcome(self, _log, _server, ending, durable, *, again=False):
        self.ended[ending.call] = ending.outcome
        if durable is not None:
            durable.set_result(None)


def two_servers(monkeypatch, journal):
    """A scene in which two servers may be told."""
    monkeypatch.setattr("gatelodge.flows.gateway.unclosed._SETTLE_SECONDS", 0)
    monkeypatch.setattr(ServerNotices, "_allowing_rule", lambda *_given: "grn_1")
    return Scene(servers=("srv_a", "srv_b"), journal=journal)


async def closed(scene):
    """What the records ended with once those that failed were closed."""
    settling = asyncio.ensure_future(scene.unclosed.settle(NodeHealth(lambda: 0.0)))
    await a_few_rounds()
    settling.cancel()
    return scene.journal.ended


async def test_intents_of_which_a_later_one_is_refused_are_closed(monkeypatch):
    scene = two_servers(monkeypatch, CountingJournal(refused={"c2"}))
    await asyncio.sleep(0)
    scene.journal.intents["c1"].set_result(None)
    with pytest.raises(LimitReached):
        await scene.came()
    assert await closed(scene) == {"c1": "internal"}


async def test_intents_of_who_left_while_they_were_written_are_closed(monkeypatch):
    scene = two_servers(monkeypatch, CountingJournal())
    await asyncio.sleep(0)
    scene.journal.intents["c1"].set_result(None)
    scene.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.came()
    scene.journal.intents["c2"].set_result(None)  # the journal wrote it all the same
    assert await closed(scene) == {"c1": "internal", "c2": "internal"}


async def test_of_intents_of_which_one_is_not_written_the_others_are_closed(monkeypatch):
    scene = two_servers(monkeypatch, CountingJournal())
    await asyncio.sleep(0)
    scene.journal.intents["c1"].set_exception(LedgerDown("gone"))
    scene.journal.intents["c2"].set_result(None)
    with pytest.raises(LedgerDown):
        await scene.came()
    assert await closed(scene) == {"c2": "internal"}


def test_one_persons_sessions_push_out_nobody_elses():
    sessions = SessionTable()
    ada = sessions.of(b"ada", NOON + LIFE_MICROSECONDS, NOON, "mem_ada")
    ada.level = "error"
    for number in range(MOST_KEPT + 5):
        sessions.of(b"%d" % number, NOON + LIFE_MICROSECONDS + number, NOON, "mem_bob")
    assert sessions.level(b"ada", "mem_ada") == "error"


def test_a_session_that_ended_never_lives_again():
    sessions, ends = SessionTable(), NOON + LIFE_MICROSECONDS
    sessions.end(b"over", ends, NOON, "mem_bob")
    for number in range(MOST_KEPT + 5):
        sessions.of(b"%d" % number, ends + 1 + number, NOON, "mem_bob")
    assert sessions.ended(b"over", ends, "mem_bob")
    newest = b"%d" % (MOST_KEPT + 4)
    assert not sessions.ended(newest, ends + MOST_KEPT + 5, "mem_bob")
