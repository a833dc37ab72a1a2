"""How much of something each person has, and who is next: nobody takes more than they leave.

One person alone gets half of what there is, two get a third each: whoever comes is served at once.
An agent counts for its owner.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class PersonShares:
    """How much of something each person has now; nobody is looked through to know it."""

    def __init__(self) -> None:
        self._by: dict[str, int] = {}
        self.total = 0

    def of(self, person: str) -> int:
        """How much this person has."""
        return self._by.get(person, 0)

    def has_room(self, person: str, most: int) -> bool:
        """True while this person has less than is left of `most` for others."""
        return self._by.get(person, 0) < most - self.total

    def take(self, person: str, size: int = 1) -> None:
        """So much more."""
        self.total += size
        # Nobody stays at zero: this would grow with everyone who ever called.
        self._by[person] = has = self._by.get(person, 0) + size
        if not has:
            del self._by[person]

    def give(self, person: str, size: int = 1) -> None:
        """So much less."""
        self.take(person, -size)


class FairQueue(Generic[T]):
    """What waits, by person; each person in turn, and each one's own in order."""

    def __init__(self) -> None:
        self._by: dict[str, deque[T]] = {}
        self.size = 0
        """How much waits."""

    def add(self, person: str, thing: T, most: int) -> bool:
        """Wait; false when this person waits with more than is left of `most` already."""
        own = self._by.get(person)
        if (0 if own is None else len(own)) >= most - self.size:
            return False
        self._by.setdefault(person, deque()).append(thing)
        self.size += 1
        return True

    def put_back(self, person: str, thing: T) -> None:
        """Wait again, before all else of this person: what was let in once is not refused."""
        self._by.setdefault(person, deque()).appendleft(thing)
        self.size += 1

    def take(self, held: PersonShares, most: int) -> T | None:
        """The next of a person who holds less than is left of `most`, who then goes to the end."""
        for person, own in self._by.items():
            if held.has_room(person, most):
                del self._by[person]
                thing = own.popleft()
                self.size -= 1
                if own:
                    self._by[person] = own
                return thing
        return None

    def drop(self, person: str, thing: T) -> bool:
        """Wait no more; false when it did not wait."""
        own = self._by.get(person)
        if own is None or thing not in own:
            return False
        own.remove(thing)
        self.size -= 1
        if not own:
            del self._by[person]
        return True

    def clear(self) -> list[T]:
        """Nothing waits any more; what waited until now."""
        waited = [thing for own in self._by.values() for thing in own]
        self._by.clear()
        self.size = 0
        return waited

    def any_may(self, held: PersonShares, most: int) -> bool:
        """True when `take` would find one."""
        return any(held.has_room(person, most) for person in self._by)
