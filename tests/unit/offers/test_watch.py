"""A server is looked at when it is met and when it says that something changed."""

import asyncio

import pytest
from tests.fakes.world import CountedIds, StillClock
from tests.unit.offers.shelf import observed
from tests.unit.view.rows import server, view

from gatelodge.core.errors import LogForked, StoreDown, UpstreamUnreachable, fault_leaves
from gatelodge.flows.admin.tools import ToolObservation
from gatelodge.flows.catalog import pace, watch
from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.catalog.watch import ToolWatcher
from gatelodge.ports.upstream import ServerHealth

pytestmark = pytest.mark.anyio
GIT, B = server("srv_git", "git"), server("srv_b", "b")


class House:
    """A watch, the servers it looks at and the store it writes to, all told by the test."""

    def __init__(self) -> None:
        self.view = view(GIT, B, server("srv_new", "new", status="proposed"))
        self.says = {"srv_git": observed(prompts=["a"]), "srv_b": observed(prompts=["b"])}
        self.looks: list[str] = []
        self.state = "waiting"
        self.written = 0
        self.down = False
        self._moved = asyncio.Event()
        self.slow: dict[str, asyncio.Event] = {}
        self.breaks: dict[str, BaseException] = {}
        self.offers = OfferMemory()
        self.offers.on_observed(lambda _: self._moved.set())
        self.watch = ToolWatcher(
            self, self, StillClock(), CountedIds(), self.offers, lambda: self.view
        )

    def on_list_changed(self, listener) -> None:
        self.meet = listener

    def health(self, _server) -> ServerHealth:
        return ServerHealth(state=self.state)

    async def observe(self, server):
        self.looks.append(server.id)
        self._moved.set()
        if server.id in self.slow:
            await self.slow[server.id].wait()
        if server.id in self.breaks:
            raise self.breaks.pop(server.id)
        if server.id not in self.says:
            raise UpstreamUnreachable("gone")
        return self.says[server.id]

    async def change(self, _work, rank):
        assert rank == "last"
        if self.down:
            raise StoreDown("no")
        self.written += 1
        self._moved.set()
        return ToolObservation(), None

    async def until(self, holds) -> None:
        async with asyncio.timeout(5):
            while not holds():
                self._moved.clear()
                await self._moved.wait()

    def names(self, server):
        offer = self.offers.of(server)
        return None if offer is None else [item.name for item in offer.prompts]


@pytest.fixture
async def house(monkeypatch):
    monkeypatch.setattr(watch, "DEBOUNCE_SECONDS", 0)
    made = House()
    task = asyncio.create_task(made.watch.run())
    yield made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_server_that_is_met_is_looked_at_remembered_and_written_down(house):
    house.meet("srv_git")
    await house.until(lambda: house.written)
    assert (house.names("srv_git"), house.names("srv_b")) == (["a"], None)


async def test_a_server_that_was_met_while_the_gate_still_starts_is_looked_at_too():
    early = House()
    early.meet("srv_git")
    task = asyncio.create_task(early.watch.run())
    await early.until(lambda: early.names("srv_git"))
    task.cancel()


async def test_what_is_said_in_one_breath_is_one_look(house):
    for each in ("srv_git", "srv_b", "srv_git"):
        house.meet(each)
    await house.until(lambda: house.written == 2)
    assert sorted(house.looks) == ["srv_b", "srv_git"]


async def test_a_server_that_is_slow_holds_up_no_other(house):
    house.slow["srv_git"] = asyncio.Event()
    house.meet("srv_git")
    house.meet("srv_b")
    for said in ("b", "c"):
        house.says["srv_b"] = observed(prompts=[said])
        await house.until(lambda said=said: house.names("srv_b") == [said])
        house.meet("srv_b")
    assert house.names("srv_git") is None
    house.slow["srv_git"].set()
    await house.until(lambda: house.names("srv_git"))


async def test_what_a_server_says_while_it_is_looked_at_is_looked_at_next(house):
    house.slow["srv_git"] = asyncio.Event()
    house.meet("srv_git")
    await house.until(lambda: house.looks)
    house.meet("srv_git")
    house.meet("srv_b")
    await house.until(lambda: house.written)
    assert house.looks == ["srv_git", "srv_b"]
    house.says["srv_git"] = observed(prompts=["later"])
    house.slow["srv_git"].set()
    await house.until(lambda: len(house.looks) == 3 and house.written == 2)
    assert house.names("srv_git") == ["later"]


async def test_a_server_that_is_away_offers_what_it_last_did(house):
    house.meet("srv_git")
    await house.until(lambda: house.names("srv_git"))
    del house.says["srv_git"]
    house.meet("srv_git")
    await house.until(lambda: len(house.looks) == 2)
    assert house.names("srv_git") == ["a"]


async def test_a_server_that_is_there_and_did_not_say_what_it_offers_is_asked_again(
    house, monkeypatch
):
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.001)
    offered = house.says.pop("srv_git")
    house.state = "ready"
    house.meet("srv_git")
    await house.until(lambda: len(house.looks) == 3)
    house.says["srv_git"] = offered
    await house.until(lambda: house.names("srv_git") == ["a"])
    assert set(house.looks) == {"srv_git"}


async def test_a_list_that_could_not_be_read_stays_as_it_was_and_is_asked_for_again(
    house, monkeypatch
):
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.001)
    house.state = "ready"
    house.meet("srv_git")
    await house.until(lambda: house.names("srv_git"))
    house.says["srv_git"] = observed(unread=frozenset({"prompts"}))
    house.meet("srv_git")
    await house.until(lambda: len(house.looks) == 3)
    assert house.names("srv_git") == ["a"]
    house.says["srv_git"] = observed(prompts=["later"])
    await house.until(lambda: house.names("srv_git") == ["later"])


async def test_looks_that_fail_again_and_again_leave_one_more_look_to_come(house, monkeypatch):
    loop, timers = asyncio.get_running_loop(), []
    begin = loop.call_later

    def call_later(*given):
        timers.append(begin(*given))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", call_later)
    offered = house.says.pop("srv_git")
    house.state = "ready"
    for looks in (1, 2, 3):
        house.meet("srv_git")
        await house.until(lambda looks=looks: len(house.looks) == looks)
        await asyncio.sleep(0)
        assert [timer.cancelled() for timer in timers] == [True] * (looks - 1) + [False]
    house.says["srv_git"] = offered
    house.meet("srv_git")
    await house.until(lambda: house.written)
    assert all(timer.cancelled() for timer in timers)


async def test_what_could_not_be_written_down_is_looked_at_again_after_growing_pauses(
    house, monkeypatch
):
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.001)
    house.down = True
    house.meet("srv_git")
    await house.until(lambda: len(house.looks) == 4)
    house.down = False
    await house.until(lambda: house.written == 1)
    assert set(house.looks) == {"srv_git"}


async def test_leaves_written_before_a_failure_count_against_their_server(house, monkeypatch):
    paid, parts = asyncio.Queue(), [ToolObservation(leaves=3, more=True)]

    async def change(_work, _rank):
        if not parts:
            raise StoreDown("no")
        return parts.pop(), None

    monkeypatch.setattr(pace.ObservationPace, "looked", lambda *told: paid.put_nowait(told[-1]))
    monkeypatch.setattr(house, "change", change)
    house.meet("srv_git")
    assert await asyncio.wait_for(paid.get(), 5) == 3


async def test_a_list_that_is_unchanged_is_not_written_down_again(house):
    for looks in (1, 2, 3):
        house.meet("srv_git")
        await house.until(lambda looks=looks: len(house.looks) == looks)
        await house.until(lambda: house.written == 1)
    house.meet("srv_b")
    await house.until(lambda: house.written == 2)


async def test_a_server_that_never_stays_the_same_is_looked_at_less_and_less(house, monkeypatch):
    monkeypatch.setattr(pace, "FIRST_PAUSE", 1000.0)
    for looks in range(1, pace.FREE_LOOKS + 2):
        house.meet("srv_git")
        await house.until(lambda looks=looks: len(house.looks) == looks)
    house.meet("srv_git")
    house.meet("srv_b")
    await house.until(lambda: "srv_b" in house.looks)
    assert house.looks.count("srv_git") == pace.FREE_LOOKS + 1


@pytest.mark.parametrize(
    ("leaves", "most_looks", "most_leaves"), [(0, 80, 0), (1, 80, 80), (70, 10, 300)]
)
def test_in_an_hour_a_server_causes_few_looks_and_few_leaves(leaves, most_looks, most_leaves):
    kept, now, looks = pace.ObservationPace(), 0.0, 0
    while now < 3600:
        kept.looked(now, leaves)
        looks += 1
        now = max(now + watch.DEBOUNCE_SECONDS, kept.free_at)
    assert looks <= most_looks
    assert looks * leaves <= most_leaves


def test_a_server_that_was_calm_is_looked_at_at_once_again():
    kept = pace.ObservationPace()
    for now in range(20):
        kept.looked(float(now), 1)
    assert kept.free_at > 20
    kept.looked(20 + pace.CALM_SECONDS, 1)
    assert kept.free_at == 20 + pace.CALM_SECONDS


async def test_only_an_approved_server_is_looked_at(house):
    house.meet("srv_new")
    house.meet("srv_none")
    house.meet("srv_b")
    await house.until(lambda: house.written)
    assert house.looks == ["srv_b"]


async def test_a_server_that_left_while_it_was_looked_at_is_not_remembered(house):
    house.slow["srv_git"] = asyncio.Event()
    house.meet("srv_git")
    await house.until(lambda: house.looks)
    house.view = view(B)
    house.slow["srv_git"].set()
    await house.until(lambda: house.written)
    assert house.names("srv_git") is None


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("tok_secret"),
        ExceptionGroup("tok_secret", [KeyError("tok_secret"), UpstreamUnreachable("gone")]),
    ],
)
async def test_a_look_that_fails_of_something_unknown_is_told_and_taken_again(
    house, monkeypatch, caplog, fault
):
    monkeypatch.setattr(watch, "AGAIN_SECONDS", 0.01)
    house.breaks["srv_git"] = fault
    house.meet("srv_git")
    house.meet("srv_b")
    await house.until(lambda: house.names("srv_git") == ["a"] and house.names("srv_b") == ["b"])
    assert house.looks.count("srv_git") == 2
    (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert told.message.startswith("incident inc_")
    assert "(a look at server git)" in told.message
    assert "tok_secret" not in told.message


@pytest.mark.parametrize("way", [lambda each: each, lambda each: ExceptionGroup("", [each])])
async def test_an_invariant_that_is_gone_ends_the_watch_and_so_the_gate(monkeypatch, way):
    monkeypatch.setattr(watch, "DEBOUNCE_SECONDS", 0)
    made = House()

    def work() -> None:
        raise way(LogForked("another log"))

    made.offers.on_observed(lambda _: work())
    made.meet("srv_git")
    with pytest.raises(ExceptionGroup) as ended:
        await made.watch.run()
    assert [type(each) for each in fault_leaves(ended.value)] == [LogForked]
