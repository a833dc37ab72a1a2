"""A list that goes through the shards of a log: each thing once, newest first, page by page."""

from types import SimpleNamespace

import pytest

from gatelodge.core.errors import Invalid
from gatelodge.flows.audit.reading import MOST_READ
from gatelodge.web.api.people.shards import gathered, newest_first

pytestmark = pytest.mark.anyio
LOG = "calls:wsp_1"
HELD = {LOG: 3, f"{LOG}@10": 0, f"{LOG}@9": 4, f"{LOG}@1": 2}
"""So many things stand in each shard."""


class Shards:
    def __init__(self, held, cost=3):
        self.held, self.cost, self.reads = held, cost, 0

    async def heads(self):
        others = [SimpleNamespace(log="calls:wsp_2@3"), SimpleNamespace(log="gov@2")]
        return [*others, *(SimpleNamespace(log=each) for each in self.held)]

    async def look(self, log, before, limit):
        """What stands below `before`, of which one look reads three places at most."""
        self.reads += 1
        top = self.held[log] if before is None else before
        bottom = max(0, top - min(3, limit))
        places = range(top - 1, bottom - 1, -1)
        return tuple(f"{log} {each}" for each in places), bottom or None, self.cost

    async def page(self, limit, cursor):
        return await newest_first(self, LOG, (limit, cursor), self.look)


def every(held):
    order = sorted(held, key=lambda log: -int(log.partition("@")[2] or 99))
    return [f"{log} {each}" for log in order for each in range(held[log] - 1, -1, -1)]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 50])
async def test_its_pages_hold_each_thing_of_every_shard_once(limit):
    shards, found, cursor = Shards(HELD), [], ""
    while True:
        told = await shards.page(limit, cursor)
        assert len(told.found) <= limit
        found += told.found
        cursor = told.next
        if not cursor:
            break
    assert [one for _, one in found] == every(HELD)
    assert all(int(one.partition("@")[2].split()[0] or 0) == at for at, one in found if at)


async def test_it_begins_in_an_earlier_shard_while_the_present_log_is_not_there_yet():
    held = {log: many for log, many in HELD.items() if log != LOG}
    told = await Shards(held).page(50, "")
    assert [one for _, one in told.found] == every(held)[:3]
    assert told.next == "1@9"


async def test_gathered_pages_hold_so_many_and_go_on_from_their_cursor():
    shards = Shards(HELD)
    first = await gathered(shards.page, 5, 20, "")
    second = await gathered(shards.page, 5, 20, first.next)
    assert [one for _, one in (*first.found, *second.found)] == every(HELD)
    assert (len(first.found), second.next) == (5, "")


async def test_gathering_ends_after_so_many_pages():
    shards = Shards({LOG: 60})
    told = await gathered(shards.page, 50, 2, "")
    assert (len(told.found), told.next, shards.reads) == (6, "54", 2)


async def test_many_shards_are_not_read_for_one_page_nor_for_one_file():
    # Each restore makes one, and in each of them as much may be read as one search reads.
    shards = Shards({LOG: 1, **{f"{LOG}@{each}": 1 for each in range(1, 12)}}, MOST_READ)
    told = await shards.page(50, "")
    assert (len(told.found), told.next, shards.reads, told.read) == (1, "@11", 1, MOST_READ)
    told = await gathered(shards.page, 50, 20, "")
    assert (len(told.found), told.next, shards.reads, told.read) == (4, "@8", 5, 4 * MOST_READ)
    assert (await shards.page(50, told.next)).found[0][1] == f"{LOG}@8 0"


@pytest.mark.parametrize("cursor", ["x", "1@", "@0", "17@2", "-1", "1@1@1"])
async def test_a_cursor_that_it_gave_nobody_is_refused(cursor):
    with pytest.raises(Invalid):
        await Shards(HELD).page(5, cursor)
