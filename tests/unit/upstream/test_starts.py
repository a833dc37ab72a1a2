"""How often one person has processes started, whatever their clients and agents declare."""

from gatelodge.adapters.upstream.pace.starts import RecentStarts
from gatelodge.core.access.rate_limit import SECONDS
from gatelodge.ports.upstream import OnBehalfOf

ADA = OnBehalfOf("mem_ada", b"a", person="mem_ada")
AGENT = OnBehalfOf("agt_ci", b"b", person="mem_ada")
BOB = OnBehalfOf("mem_bob", b"a", person="mem_bob")


class Told:
    """A request that is told of the process that is started for it."""

    times = 0

    def __call__(self):
        self.times += 1


def test_an_agents_starts_count_for_its_owner_and_for_nobody_else():
    starts, told = RecentStarts(2), Told()
    for asker in (ADA, AGENT):
        assert starts.too_early(asker, 10.0) == 0
        starts.count(asker, 10.0, told)
    assert told.times == 2
    assert starts.too_early(ADA, 20.0) == SECONDS - 10.0
    assert starts.too_early(AGENT, 20.0) == SECONDS - 10.0
    assert starts.too_early(BOB, 20.0) == 0
    assert starts.too_early(ADA, 10.0 + SECONDS) == 0


def test_where_nothing_is_started_nothing_is_counted():
    starts, told = RecentStarts(0), Told()
    starts.count(ADA, 1.0, told)
    assert starts.too_early(ADA, 1.0) == 0
    assert told.times == 0
