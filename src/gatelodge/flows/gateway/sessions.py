"""What a node remembers of legacy sessions: that one ended, its log level, what it waits for.

Sessions are sealed ids, so nothing has to be kept for most. This memory is of one node: on another
node an ended id is still readable by its own principal and opens nothing that the token does not
open as well, and a level or subscription has to be asked for again.
"""

from collections import OrderedDict

from gatelodge.core.ids import Instant
from gatelodge.flows.gateway.streams import Stream
from gatelodge.flows.gateway.subscriptions import Uris

LIFE_MICROSECONDS = 24 * 3600 * 1_000_000
"""How long a session lasts."""
_KEPT = 100_000


class Kept:
    """One session: `level` of its log messages, `uris` that it waits for, its open `streams`.

    The last one, the newest, is what it hears by.
    """

    __slots__ = ("ended", "ends_at", "level", "streams", "uris")

    def __init__(self, ends_at: Instant) -> None:
        self.ends_at = ends_at
        self.ended = False
        self.level = ""
        self.uris: Uris = frozenset()
        self.streams: list[Stream] = []


class Sessions:
    """A bounded memory by nonce, oldest forgotten first. Owned by the event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def of(self, nonce: bytes, ends_at: int, now: Instant) -> Kept:
        """What is kept of this session, to be changed; made when there is nothing yet."""
        found = self._kept.get(nonce)
        if found is None:
            self._forget(now)
            found = self._kept[nonce] = Kept(Instant(ends_at))
        return found

    def level(self, nonce: bytes) -> str:
        """The level that the client set, empty when it set none."""
        found = self._kept.get(nonce)
        return "" if found is None else found.level

    def end(self, nonce: bytes, ends_at: int, now: Instant) -> None:
        """Remember that this session is over."""
        kept = self.of(nonce, ends_at, now)
        kept.ended, kept.uris = True, frozenset()

    def ended(self, nonce: bytes) -> bool:
        """Say whether this session was ended."""
        found = self._kept.get(nonce)
        return found is not None and found.ended

    def _forget(self, now: Instant) -> None:
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept[oldest].ends_at > now and len(self._kept) < _KEPT:
                break
            del self._kept[oldest]
