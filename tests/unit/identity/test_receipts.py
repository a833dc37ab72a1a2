"""A receipt states what is certain: it waits for every node that may hold a lease, by its name."""

import pytest
from msgspec.structs import replace
from tests.fakes.world import StillClock

from gatelodge.flows.identity.presence import FORGET_SECONDS, HEARD_SECONDS, NodePresence
from gatelodge.flows.identity.revocation import AccessEnd, AccessRevocation
from gatelodge.ports.store import CommittedChange, NodeSeen

pytestmark = [pytest.mark.anyio, pytest.mark.guarantee("revoke:under-a-second")]
ENDING = AccessEnd(kind="member", subject="mem_ann", workspace="wsp_home", by="local")
GOV = 7


def seen(node, applied=0, lease_ms=1000, **more):
    return NodeSeen(node=node, boot=node, applied=applied, seen_at=0, lease_ms=lease_ms, **more)


class House:
    """A store and its nodes; each look at them takes a tenth of a second."""

    def __init__(self, *nodes, here=GOV):
        self.clock, self.facts, self.ranks = StillClock(), [], []
        self.nodes = {each.node: each for each in nodes}
        self.own = seen("nod_here", here)
        self.then = {}
        """What the nodes are from the n-th look on."""
        self.looks = 0
        self.revocation = AccessRevocation(self, self, self.clock, lambda: self.own)

    async def change(self, work, rank):
        self.ranks.append(rank)
        return work(self), CommittedChange(gov=GOV, at=self.clock.boottime())

    def record(self, fact):
        self.facts.append(fact)

    async def known(self):
        self.nodes = self.then.get(self.looks, self.nodes)
        self.looks += 1
        if self.looks > 1:
            self.clock.step(0.1)
        return tuple(self.nodes.values())

    async def ended(self):
        receipt = await self.revocation.end(ENDING, lambda _tx: ())
        (fact,) = self.facts
        told = {each.node: (each.how, each.after_ms) for each in receipt.nodes}
        assert fact.subject["nodes"] == {name: f"{h}:{ms}" for name, (h, ms) in told.items()}
        assert receipt.completed_ms == max(ms for _, ms in told.values()) <= receipt.bound_ms
        return told


async def test_this_node_is_named_by_what_is_true_here_though_its_row_is_late_or_gone():
    assert await House().ended() == {"nod_here": ("acknowledged", 100)}
    late = House(seen("nod_here", 0))
    assert await late.ended() == {"nod_here": ("acknowledged", 100)}


async def test_an_end_and_its_receipt_go_before_whatever_else_waits_to_be_written():
    house = House()
    await house.ended()
    assert house.ranks == ["first", "first"]


@pytest.mark.parametrize("seen_at", [0, -(10**15), 10**18])
async def test_a_node_of_which_nothing_is_heard_is_waited_for_until_its_lease_is_out(seen_at):
    silent = replace(seen("nod_b"), seen_at=seen_at)
    told = await House(silent).ended()
    assert told == {"nod_here": ("acknowledged", 100), "nod_b": ("lease_expired", 1000)}


async def test_the_longest_lease_is_the_bound():
    told = await House(seen("nod_b", lease_ms=3000)).ended()
    assert told["nod_b"] == ("lease_expired", 3000)


async def test_a_node_that_acknowledges_is_waited_for_no_longer():
    house = House(seen("nod_b"))
    house.then = {4: {"nod_b": seen("nod_b", GOV)}}
    assert (await house.ended())["nod_b"] == ("acknowledged", 400)


async def test_a_node_that_came_in_with_the_commit_is_waited_for():
    house = House()
    house.then = {1: {"nod_b": seen("nod_b")}}
    assert (await house.ended())["nod_b"] == ("lease_expired", 1000)


async def test_a_node_that_stopped_is_named_as_such():
    house = House(seen("nod_b"))
    house.then = {2: {}}
    assert (await house.ended())["nod_b"] == ("left", 200)


async def test_a_word_that_comes_after_the_bound_is_not_dated_after_it():
    house = House(seen("nod_b"))
    house.then = {3: {"nod_b": seen("nod_b", GOV)}}
    step = house.clock.step
    house.clock.step = lambda _seconds: step(0.7)
    assert (await house.ended())["nod_b"] == ("lease_expired", 1000)


class Rows:
    """The list of nodes."""

    def __init__(self, *rows):
        self.rows = {each.node: each for each in rows}

    async def acknowledge(self, row):
        self.rows[row.node] = row

    async def known(self):
        return tuple(self.rows.values())

    async def forget(self, row):
        if self.rows[row.node].seen_at == row.seen_at:
            del self.rows[row.node]


async def test_a_node_acts_only_while_it_is_known_and_begins_anew_after_a_gap():
    clock = StillClock()
    presence = NodePresence(Rows(), clock, "nod_a", shared=True)
    assert presence.until < clock.boottime() < presence.since
    await presence.say(seen("nod_a"))
    first = clock.boottime()
    assert (presence.since, presence.until) == (first, first + HEARD_SECONDS)
    clock.step(HEARD_SECONDS - 1)
    await presence.say(seen("nod_a"))
    assert presence.since == first
    clock.step(HEARD_SECONDS + 1)
    assert presence.until < clock.boottime()
    await presence.say(seen("nod_a"))
    assert presence.since == clock.boottime()


async def test_who_is_silent_for_longer_than_it_may_act_is_struck_out_whatever_the_database_clock():
    assert FORGET_SECONDS > HEARD_SECONDS
    clock, rows = StillClock(), Rows(replace(seen("nod_dead"), seen_at=10**18), seen("nod_b"))
    presence = NodePresence(rows, clock, "nod_a", shared=True)
    for beat in range(7):
        rows.rows["nod_b"] = replace(rows.rows["nod_b"], seen_at=-beat)
        await presence.say(seen("nod_a"))
        await presence.look_after_others()
        assert set(rows.rows) == {"nod_a", "nod_b", *(["nod_dead"] if beat < 6 else [])}
        clock.step(10.0)


async def test_a_process_that_holds_the_store_alone_strikes_out_all_others_when_it_starts():
    clock, rows = StillClock(), Rows(seen("nod_dead"))
    presence = NodePresence(rows, clock, "nod_a", shared=False)
    await presence.say(seen("nod_a"))
    assert set(rows.rows) == {"nod_a"}
    clock.step(10 * HEARD_SECONDS)
    assert clock.boottime() < presence.until
