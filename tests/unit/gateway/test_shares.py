"""At a server each person has their turn, and nobody takes more than they leave for others."""

import pytest

from gatelodge.core.access.shares import FairQueue, PersonShares


def test_each_person_who_waits_has_their_turn():
    line: FairQueue[str] = FairQueue()
    for person, thing in (("ann", "a1"), ("ann", "a2"), ("ann", "a3"), ("bob", "b1"), ("cy", "c1")):
        assert line.add(person, thing, 100)
    taken = [line.take(PersonShares(), 100) for _ in range(6)]
    assert taken == ["a1", "b1", "c1", "a2", "a3", None]


@pytest.mark.parametrize(("people", "each"), [(1, 8), (2, 6), (3, 4)])
def test_whoever_comes_while_others_hold_all_they_may_is_served_at_once(people, each):
    line: FairQueue[str] = FairQueue()
    held = PersonShares()
    for person in map(str, range(people)):
        for _ in range(16):
            line.add(person, person, 1000)
    while (taken := line.take(held, 16)) is not None:
        held.take(taken)
    assert all(held.of(person) <= each for person in map(str, range(people)))
    assert held.total < 16
    assert line.add("new", "new", 1000)
    assert line.take(held, 16) == "new"


def test_what_is_given_back_is_not_held_any_more():
    held = PersonShares()
    for _ in range(3):
        held.take("ann")
    held.take("bob")
    held.give("ann")
    assert (held.of("ann"), held.of("bob"), held.of("cy"), held.total) == (2, 1, 0, 3)


def test_nobody_waits_with_more_than_they_leave_for_others():
    line: FairQueue[int] = FairQueue()
    taken = [line.add("ann", number, 10) for number in range(10)]
    assert taken.count(True) == 5
    assert line.add("bob", 1, 10)


def test_what_waits_no_more_is_in_nobodys_way():
    line: FairQueue[str] = FairQueue()
    line.add("ann", "a", 10)
    line.drop("ann", "a")
    line.drop("ann", "a")
    assert (line.size, line.take(PersonShares(), 10), line.any_may(PersonShares(), 10)) == (
        0,
        None,
        False,
    )
