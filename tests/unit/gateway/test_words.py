"""Nothing that a member writes reaches a server before its intent is durable, nor once it ended."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.fakes.world import StillClock
from tests.unit.gateway.test_admission import ENDS, GOOD, Journal, Node
from tests.unit.view.rows import NOON, grant, view

from gatelodge.core.errors import LedgerDown
from gatelodge.flows.gateway.bridge.words import Said, Words, all_of, resources_of
from gatelodge.flows.gateway.sessions import LIFE_MICROSECONDS, MOST_KEPT, Sessions

pytestmark = [pytest.mark.anyio, pytest.mark.guarantee("audit:intent-before-effect")]
SERVER = "srv_git"
WHOLE = {"the tool is blocked", "the tool drifted"}
"""What ends one tool ends nothing of the resources of its server."""


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Scene:
    """A member who has something said, and what came of it: `noted` is None until then."""

    def __init__(self, servers=(SERVER,), entries=resources_of):
        self.node, self.journal = Node(), Journal()
        now = self.node.view
        (known,) = now.credentials.values()
        self.said = Said(
            who=now.principals["mem_ann"],
            credential=known,
            caller=SimpleNamespace(client=""),
            slug="home",
            log="calls:home",
            method="resources/subscribe",
            proto="2025-11-25",
            bytes_in=1,
        )
        self.words = Words(self.journal, StillClock(NOON), self.node, waits=True)
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


def test_one_persons_sessions_push_out_nobody_elses():
    sessions = Sessions()
    ada = sessions.of(b"ada", NOON + LIFE_MICROSECONDS, NOON, "mem_ada")
    ada.level = "error"
    for number in range(MOST_KEPT + 5):
        sessions.of(b"%d" % number, NOON + LIFE_MICROSECONDS + number, NOON, "mem_bob")
    assert sessions.level(b"ada", "mem_ada") == "error"


def test_a_session_that_ended_never_lives_again():
    sessions, ends = Sessions(), NOON + LIFE_MICROSECONDS
    sessions.end(b"over", ends, NOON, "mem_bob")
    for number in range(MOST_KEPT + 5):
        sessions.of(b"%d" % number, ends + 1 + number, NOON, "mem_bob")
    assert sessions.ended(b"over", ends, "mem_bob")
    newest = b"%d" % (MOST_KEPT + 4)
    assert not sessions.ended(newest, ends + MOST_KEPT + 5, "mem_bob")
