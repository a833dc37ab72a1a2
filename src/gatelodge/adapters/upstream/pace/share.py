"""Who is next at a server: in turns, and nobody takes more than they leave for others.

One person alone gets half of what there is, two get a third each: whoever comes is served at once.
An agent counts for its owner.
"""

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """What waits, by person; each person in turn, and each one's own in order."""

    def __init__(self) -> None:
        self._by: dict[str, deque[T]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, person: str, thing: T, most: int, *, first: bool = False) -> bool:
        """Wait; false when this person waits with more than is left of `most` already."""
        own = self._by.get(person)
        if (0 if own is None else len(own)) >= most - self._size:
            return False
        own = self._by.setdefault(person, deque())
        (own.appendleft if first else own.append)(thing)
        self._size += 1
        return True

    def take(self, held: Mapping[str, int], most: int) -> T | None:
        """The next of a person who holds less than is left of `most`, who then goes to the end."""
        left = most - sum(held.values())
        for person, own in self._by.items():
            if held.get(person, 0) < left:
                del self._by[person]
                thing = own.popleft()
                self._size -= 1
                if own:
                    self._by[person] = own
                return thing
        return None

    def drop(self, person: str, thing: T) -> None:
        """Wait no more."""
        own = self._by.get(person)
        if own is not None and thing in own:
            own.remove(thing)
            self._size -= 1
            if not own:
                del self._by[person]

    def clear(self) -> None:
        """Nothing waits."""
        self._by.clear()
        self._size = 0

    def any_may(self, held: Mapping[str, int], most: int) -> bool:
        """True when `take` would find one."""
        left = most - sum(held.values())
        return any(held.get(person, 0) < left for person in self._by)
