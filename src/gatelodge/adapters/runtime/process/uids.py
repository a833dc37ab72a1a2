"""Gives out uids where the gate is root: one allocator for all that start processes of their own.

Ending a process that has a uid of its own ends all of that uid. So no two that run at once may have
the same, whichever runtimes they run in.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Collection

from gatelodge.config.schema import UIDS


class UidAllocator:
    """Uids and groups of one gate: `UIDS` from the first on for servers, as many more for builds.

    Used on one event loop.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._taken = set[int]()
        self._groups: dict[str, int] = {}
        self._holders = Counter[str]()

    def take(self, near: int) -> int:
        """A uid for a server, its group's number where that is free; until it is released."""
        return self._take(_first_free(self._first, near - self._first, self._taken))

    def take_for_build(self) -> int:
        """A uid for a build, by chance: another gate of this machine takes from the same ones."""
        first = self._first + UIDS
        return self._take(_first_free(first, secrets.randbelow(UIDS), self._taken))

    def release(self, uid: int) -> None:
        """Let others have it: nothing runs under it any more."""
        self._taken.discard(uid)

    def hold_group(self, server: str) -> int:
        """The group of a server, the same for all that hold it; always one where it is free."""
        if server not in self._groups:
            wish = int.from_bytes(hashlib.sha256(server.encode()).digest()[:4])
            self._groups[server] = _first_free(self._first, wish, self._groups.values())
        self._holders[server] += 1
        return self._groups[server]

    def drop_group(self, server: str) -> None:
        """Hold it no more; when nobody does, another server may have it."""
        self._holders[server] -= 1
        if not self._holders[server]:
            del self._holders[server], self._groups[server]

    def _take(self, uid: int) -> int:
        self._taken.add(uid)
        return uid


def _first_free(first: int, wish: int, taken: Collection[int]) -> int:
    while first + wish % UIDS in taken:
        wish += 1
    return first + wish % UIDS
