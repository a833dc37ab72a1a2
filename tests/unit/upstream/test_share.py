"""At a server each person has their turn, and nobody takes more than they leave for others."""

from collections import Counter

import pytest

from gatelodge.adapters.upstream.pace.share import Line


def test_each_person_who_waits_has_their_turn():
    line: Line[str] = Line()
    for person, thing in (("ann", "a1"), ("ann", "a2"), ("ann", "a3"), ("bob", "b1"), ("cy", "c1")):
        assert line.add(person, thing, 100)
    taken = [line.take({}, 100) for _ in range(6)]
    assert taken == ["a1", "b1", "c1", "a2", "a3", None]


@pytest.mark.parametrize(("people", "each"), [(1, 8), (2, 6), (3, 4)])
def test_whoever_comes_while_others_hold_all_they_may_is_served_at_once(people, each):
    line: Line[str] = Line()
    held: Counter[str] = Counter()
    for person in map(str, range(people)):
        for _ in range(16):
            line.add(person, person, 1000)
    while (taken := line.take(held, 16)) is not None:
        held[taken] += 1
    assert max(held.values()) <= each
    assert held.total() < 16
    assert line.add("new", "new", 1000)
    assert line.take(held, 16) == "new"


def test_nobody_waits_with_more_than_they_leave_for_others():
    line: Line[int] = Line()
    taken = [line.add("ann", number, 10) for number in range(10)]
    assert taken.count(True) == 5
    assert line.add("bob", 1, 10)


def test_what_waits_no_more_is_in_nobodys_way():
    line: Line[str] = Line()
    line.add("ann", "a", 10)
    line.drop("ann", "a")
    line.drop("ann", "a")
    assert (len(line), line.take({}, 10), line.any_may({}, 10)) == (0, None, False)
