"""Which of many ids were seen before, in eight bytes each."""

from array import array
from bisect import bisect_left
from hashlib import blake2b

_RECENT = 65_536


class SeenIds:
    """A set of ids that is only ever added to: millions take megabytes, not hundreds of them.

    It keeps 64 bits of a digest under a key of its own, so two ids look alike once in 10^7 walks
    over a million of them, and nobody can choose ids that do.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._recent: set[int] = set()
        self._runs: list[array[int]] = []

    def add(self, name: str) -> bool:
        """Add an id; false when it was there already."""
        digest = blake2b(name.encode(), digest_size=8, key=self._key).digest()
        number = int.from_bytes(digest, "big")
        if number in self._recent or any(_has_number(run, number) for run in self._runs):
            return False
        self._recent.add(number)
        if len(self._recent) >= _RECENT:
            self._merge_recent_into_runs()
        return True

    def _merge_recent_into_runs(self) -> None:
        """Fold the recent ones into sorted runs, of which no two have about one length."""
        run = array("Q", sorted(self._recent))
        self._recent.clear()
        # Merged with its like only, runs stay few, and each number is copied a few times in all.
        while self._runs and len(self._runs[-1]) <= len(run):
            run = array("Q", sorted([*self._runs.pop(), *run]))
        self._runs.append(run)


def _has_number(run: "array[int]", number: int) -> bool:
    at = bisect_left(run, number)
    return at < len(run) and run[at] == number
