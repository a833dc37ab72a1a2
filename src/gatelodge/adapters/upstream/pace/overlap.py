"""Looks at a server that go on at the same time: what the older one saw may be written last."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OverlappingLooks:
    """Has a server looked at once more behind looks of which one began during another.

    Each is written down by whoever asked for it, in whatever order they come to it, and nothing
    else would set right what the older one put back. On one event loop.
    """

    def __init__(self, tell_changed: Callable[[str], None]) -> None:
        self._tell_changed = tell_changed
        self._running: Counter[str] = Counter()
        self._overlapped: set[str] = set()

    @contextmanager
    def during(self, server: str) -> Iterator[None]:
        """A look at this server goes on in the block."""
        if self._running[server]:
            self._overlapped.add(server)
        self._running[server] += 1
        try:
            yield
        finally:
            self._running[server] -= 1
            if not self._running[server]:
                del self._running[server]
                if server in self._overlapped:
                    self._overlapped.discard(server)
                    self._tell_changed(server)
