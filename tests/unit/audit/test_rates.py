"""What a person may cause in the logs though no server works for them: a rate, then a count."""

import msgspec
import pytest
from tests.ledgers import sqlite_sessions
from tests.logbook import ANN, LOG, Logbook

from gatelodge.config.schema import LimitSettings
from gatelodge.core.errors import LimitReached
from gatelodge.core.records.leaves import CallDenied, RequestAnswered, RequestRefused
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.flows.rates import AT_ONCE_SECONDS, PersonRates

AT_ONCE = int(AT_ONCE_SECONDS)


class Passing:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def used_up(rates, who, kind):
    done = 0
    while rates.allows(who, kind):
        done += 1
    return done


def test_a_person_has_a_rate_of_each_kind_and_takes_from_nobody_else():
    clock = Passing()
    rates = PersonRates(LimitSettings(denials_per_second=2, answers_per_second=3), clock)
    assert used_up(rates, "ann", "denied") == 2 * AT_ONCE
    assert used_up(rates, "ann", "answered") == 3 * AT_ONCE
    assert used_up(rates, "bob", "denied") == 2 * AT_ONCE
    clock.now += 4
    assert used_up(rates, "ann", "denied") == 2 * 4
    clock.now += 10_000
    assert used_up(rates, "ann", "denied") == 2 * AT_ONCE, "nobody saves up for longer"


def test_what_is_kept_of_people_who_are_quiet_is_bounded():
    clock = Passing()
    rates = PersonRates(LimitSettings(), clock)
    for number in range(30_000):
        rates.allows(f"mem_{number}", "denied")
        clock.now += 0.01
    assert len(rates._left) <= 10_000


DENIAL = CallDenied(
    bytes_in=9, gov=1, method="tools/call", policy="", proto="2025-11-25", reason="tool_unknown"
)
ANSWER = RequestAnswered(
    bytes_in=9, bytes_out=9, gov=1, method="ping", ms=0, outcome="ok", proto=""
)


@pytest.mark.anyio
async def test_beyond_the_rate_a_person_and_their_agent_leave_counts_instead_of_leaves(tmp_path):
    sessions = sqlite_sessions(tmp_path / "ledger.db")
    book = await Logbook.open(tmp_path, sessions)
    book.recorder.rates = PersonRates(
        LimitSettings(denials_per_second=1, answers_per_second=1), Passing()
    )
    agent = RecordedCaller("agt_1", ANN.member, "agt_1")
    for number in range(AT_ONCE):
        who = agent if number % 2 else ANN
        book.recorder.denied(LOG, who, DENIAL, None)
        book.recorder.answered(LOG, who, ANSWER, None)
    for who in (ANN, agent):
        with pytest.raises(LimitReached, match="denials_per_second"):
            book.recorder.denied(LOG, who, DENIAL, None)
        with pytest.raises(LimitReached, match="answers_per_second"):
            book.recorder.answered(LOG, who, ANSWER, None)
        with pytest.raises(LimitReached):
            book.recorder.stream_opened(LOG, who, 1, "", None)
    for _ in range(2_000):
        refusal = RequestRefused(bytes_in=9, http=400, reason="malformed_json")
        book.recorder.refused(LOG, agent, refusal, None)
    book.recorder.close()
    await book.called()  # what was written before it is durable now
    await book.sequencer.recover(frozenset())
    left = [msgspec.json.decode(body) for body in (await book.bodies(LOG))[1:]]
    refused = [leaf for leaf in left if leaf["t"] == "request.refused"]
    assert sum(leaf.get("count", 1) for leaf in refused) == 2_000
    assert len(refused) < 300  # one each while there are few, see `flows.audit.tallies`
    told = [leaf for leaf in left if leaf["t"] in ("call.denied", "request.answered")]
    assert len(told) == 2 * AT_ONCE
    await book.journal.close()
    sessions.engine.dispose()
