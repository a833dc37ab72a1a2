"""What is kept of folds makes answers quick and never another one than the log alone gives."""

import anyio
import pytest
from tests.access.year import Year, decisions_of_view
from tests.ledgers import SEAL, new_database

from gatelodge.adapters.ledger import logs
from gatelodge.adapters.ledger.ledger import SqlLedger
from gatelodge.flows.audit import reading
from gatelodge.flows.past.kept import MOST_FOLDS, KeptFolds
from gatelodge.flows.past.past_access import PastAccess


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """A short log is read in many steps, as a long one is."""
    monkeypatch.setattr(reading, "STEP", 8)
    monkeypatch.setattr(reading, "PAUSE_SECONDS", 0)


@pytest.fixture
def ledger(house):
    return SqlLedger(house.database.write, house.database.read, SEAL)


def asking(ledger, kept=None):
    return PastAccess(ledger, anyio.Lock(), anyio.CapacityLimiter(1), 64, kept)


@pytest.mark.slow
@pytest.mark.guarantee("access:point-in-time")
@pytest.mark.parametrize("seed", [21, 22])
def test_kept_folds_answer_as_the_whole_log_does(house, portal, ledger, seed):
    year = Year(house, seed)
    kept = KeptFolds(spacing=8)
    quick, pure = asking(ledger, kept), asking(ledger)
    for _ in range(3):
        # Questions come while the log grows: what was kept of a shorter one goes on to hold.
        year.live(60)
        now = house.clock.now()
        for at in year.moments(15):
            told = portal.call(quick.view, at, now)
            alone = portal.call(pure.view, at, now)
            assert decisions_of_view(told, at) == decisions_of_view(alone, at)
        people = [row.id for row in (*year.states[-1].members, *year.states[-1].agents)]
        for who in year.dice.sample(people, min(4, len(people))):
            for _ in range(2):
                assert portal.call(quick.history, who, now) == portal.call(pure.history, who, now)
    assert 0 < kept.folds <= MOST_FOLDS


def test_a_question_reads_only_what_lies_behind_the_last_kept_fold(house, portal, ledger):
    year = Year(house, 23).live(150)
    kept, now = KeptFolds(spacing=8), house.clock.now()
    past = asking(ledger, kept)
    first = portal.call(past.view, now, now)
    seen = []
    read = ledger.leaves

    async def watched(log, start, stop):
        seen.append(stop - start)
        return await read(log, start, stop)

    ledger.leaves = watched
    assert portal.call(past.view, now, now) is first
    portal.call(past.view, year.times[len(year.times) // 2], now)
    assert sum(seen) < first.gov / 4, (seen, first.gov)


@pytest.mark.slow
def test_of_a_long_log_no_more_folds_are_kept_than_of_a_short_one(house, portal, ledger):
    Year(house, 24).live(400)
    kept, now = KeptFolds(spacing=1), house.clock.now()
    portal.call(asking(ledger, kept).view, now, now)
    assert MOST_FOLDS // 4 < kept.folds <= MOST_FOLDS


def test_what_was_kept_of_another_log_is_thrown_away(house, portal, ledger, tmp_path):
    year = Year(house, 25).live(100)
    kept, now = KeptFolds(spacing=8), house.clock.now()
    portal.call(asking(ledger, kept).view, now, now)
    who = year.states[-1].members[0].id
    portal.call(asking(ledger, kept).history, who, now)
    bodies = [leaf.body for leaf in portal.call(ledger.leaves, "gov", 0, 10_000)]
    other = new_database(tmp_path / "other")
    # Longer, and different in its middle: its size alone would not show it.
    with other.write() as connection:
        logs.open_log(connection, "gov", "localhost/gov")
        logs.append_leaves(connection, SEAL, "gov", [*bodies[:20], bodies[0], *bodies[20:]])
    replaced = SqlLedger(other.write, other.read, SEAL)
    assert portal.call(asking(replaced, kept).history, who, now) == portal.call(
        asking(replaced).history, who, now
    )
    told, alone = (portal.call(asking(replaced, each).view, now, now) for each in (kept, None))
    assert told.gov == alone.gov == len(bodies) + 1
    other.close()
