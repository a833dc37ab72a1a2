"""What lies unread before children is shared as all else is: nobody takes what others need."""

from gatelodge.adapters.upstream.stdio.unread import (
    MOST_OF_ALL,
    MOST_OF_ONE,
    UnreadBytes,
    UnreadTotal,
)

MIB = 1 << 20


class Pipe:
    """A child's input, of which it takes what the test says."""

    def __init__(self, pot: UnreadTotal) -> None:
        self.left = 0
        self.unread = UnreadBytes(pot, lambda: self.left)

    def write(self, person: str, size: int) -> bool:
        """Write so much for somebody, if there is room; whether there was."""
        if not self.unread.room(person):
            return False
        self.unread.add(person, size)
        self.left += size
        return True


def filled(pipe: Pipe, person: str) -> int:
    """Write MiB for MiB until there is no room; how many."""
    return next(count for count in range(10_000) if not pipe.write(person, MIB))


def test_before_one_child_one_person_has_half_and_whoever_comes_finds_room():
    pipe = Pipe(UnreadTotal())
    assert filled(pipe, "ada") == MOST_OF_ONE // MIB // 2
    assert pipe.write("bob", MIB)
    assert pipe.write("", MIB), "the gate itself is one of them"
    assert not pipe.write("ada", 1)


def test_what_one_child_leaves_unread_costs_no_other_one():
    pot = UnreadTotal()
    stuck, good = Pipe(pot), Pipe(pot)
    filled(stuck, "ada")
    filled(stuck, "bob")
    assert good.write("ada", MIB)
    assert good.write("bob", MIB)


def test_before_all_children_together_one_person_has_half_until_some_of_it_is_read():
    pot = UnreadTotal()
    pipes = [Pipe(pot) for _ in range(MOST_OF_ALL // MOST_OF_ONE * 2)]
    written = sum(filled(pipe, "ada") for pipe in pipes)
    assert written == MOST_OF_ALL // MIB // 2
    assert pipes[-1].write("bob", MIB)
    pipes[0].left = 0
    assert pipes[-1].write("ada", MIB)
    pipes[1].unread.drop()
    assert pipes[-1].write("ada", MIB)


def test_a_message_counts_until_all_of_it_is_read():
    pipe = Pipe(UnreadTotal())
    filled(pipe, "ada")
    pipe.left -= MIB - 1
    assert not pipe.write("ada", 1)
    pipe.left -= 1
    assert pipe.write("ada", 1)


def test_a_pot_that_everything_left_holds_nothing():
    pot = UnreadTotal()
    pipes = [Pipe(pot) for _ in range(3)]
    for pipe in pipes:
        filled(pipe, "ada")
        pipe.unread.drop()
    assert (pot.held.total, pot.held._by, pot.before) == (0, {}, set())
