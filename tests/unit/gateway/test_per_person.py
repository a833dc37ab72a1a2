"""What is limited for a principal is limited for the person: an agent counts for its owner."""

from types import SimpleNamespace

import pytest
from tests.fakes.world import CountedIds, StillClock
from tests.unit.view.rows import agent, member, view

from gatelodge.core.protocol.bridge.state import StateBinding
from gatelodge.flows.gateway.admission import ExchangeLicence
from gatelodge.flows.gateway.bridge.rounds import InputRounds, ParkedExchange, RoundLimits
from gatelodge.flows.gateway.inflight import InFlight, RunningRequest
from gatelodge.flows.gateway.request import NotificationBuffer


def running(who, kind="call"):
    return RunningRequest(kind, who.id, "crd_1", "wsp_1", lambda _reason: None, who.person)


@pytest.fixture
def people():
    seen = view(member(), agent())
    return list(seen.principals.values())


def test_calls_and_streams_of_an_agent_count_for_the_member_who_answers_for_it(people):
    inflight, kept = InFlight(), []
    assert {who.person for who in people} == {"mem_ann"}
    for who in people:
        kept += [running(who), running(who, "stream")]
        inflight.add(kept[-2])
        inflight.add(kept[-1])
    assert inflight.counts("mem_ann") == (2, 2)
    for each in kept:
        inflight.remove(each)
        inflight.remove(each)
    assert (inflight.counts("mem_ann"), len(inflight)) == ((0, 0), 0)


@pytest.mark.anyio
async def test_parked_calls_of_an_agent_count_for_the_member_who_answers_for_it(people):
    sealer = SimpleNamespace(seal=lambda _plain, _context: "sealed")
    inflight, limits = InFlight(), RoundLimits(seconds=60, per_principal=1)
    rounds = InputRounds(sealer, StillClock(), CountedIds(), "n1", inflight, limits=limits)
    binding = StateBinding("wsp_1", "", "", "srv_1", b"")

    def park(who):
        exchange = SimpleNamespace(abort=lambda _reason: None)
        waiting, call = (
            ParkedExchange(exchange, {}, NotificationBuffer(None), ExchangeLicence()),
            running(who),
        )
        return call, rounds.park(waiting, call, binding, 1)

    first, sealed = park(people[0])
    assert (sealed, park(people[1])[1]) == ("sealed", None)
    first.cut("cancelled")
    assert (len(rounds), inflight.counts("mem_ann")) == (0, (0, 0))
    last, sealed = park(people[1])
    assert sealed == "sealed"
    last.cut("cancelled")
