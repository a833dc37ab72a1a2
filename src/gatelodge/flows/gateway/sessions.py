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
UNHEARD = 32
"""Sessions of one principal that wait for resources and have no stream to hear by."""


class Kept:
    """One session: `level` of its log messages, `uris` that it waits for, its open `streams`.

    The last one, the newest, is what it hears by.
    """

    __slots__ = ("ended", "ends_at", "level", "principal", "streams", "uris")

    def __init__(self, ends_at: Instant) -> None:
        self.ends_at = ends_at
        self.ended = False
        self.level = ""
        self.principal = ""
        self.uris: Uris = frozenset()
        self.streams: list[Stream] = []


class Sessions:
    """A bounded memory by nonce, oldest forgotten first. Owned by the event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._waiting: dict[str, dict[Kept, None]] = {}

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

    def wait_for(self, principal: str, kept: Kept, uris: Uris) -> None:
        """Let a session of this principal wait for exactly these from now on.

        A client that begins anew again and again leaves sessions that nobody hears: of those the
        ones that were asked first are let go.
        """
        self._wait_no_more(kept)
        kept.principal, kept.uris = principal, uris
        if uris:
            self._waiting.setdefault(principal, {})[kept] = None
        unheard = [each for each in self._waiting.get(principal, ()) if not each.streams]
        for each in unheard[:-UNHEARD]:
            self._wait_no_more(each)

    def end(self, nonce: bytes, ends_at: int, now: Instant) -> None:
        """Remember that this session is over."""
        kept = self.of(nonce, ends_at, now)
        kept.ended = True
        self._wait_no_more(kept)

    def ended(self, nonce: bytes) -> bool:
        """Say whether this session was ended."""
        found = self._kept.get(nonce)
        return found is not None and found.ended

    def _forget(self, now: Instant) -> None:
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept[oldest].ends_at > now and len(self._kept) < _KEPT:
                break
            self._wait_no_more(self._kept.pop(oldest))

    def _wait_no_more(self, kept: Kept) -> None:
        kept.uris = frozenset()
        mine = self._waiting.get(kept.principal, {})
        mine.pop(kept, None)
        if not mine:
            self._waiting.pop(kept.principal, None)
