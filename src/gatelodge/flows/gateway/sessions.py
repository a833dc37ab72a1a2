"""Legacy sessions that their client ended, remembered until they would have ended by themselves.

Sessions are sealed ids, so nothing has to be kept for a live one. This memory is of one node: on
another node an ended id is still readable by its own principal, and opens nothing that the token
does not open as well.
"""

from collections import OrderedDict

from gatelodge.core.ids import Instant

LIFE_MICROSECONDS = 24 * 3600 * 1_000_000
"""How long a session lasts."""
_KEPT = 100_000


class EndedSessions:
    """A bounded memory of ended sessions, oldest forgotten first."""

    def __init__(self) -> None:
        self._nonces: OrderedDict[bytes, Instant] = OrderedDict()

    def end(self, nonce: bytes, ends_at: int, now: Instant) -> None:
        """Remember that this session is over."""
        while self._nonces:
            oldest = next(iter(self._nonces))
            if self._nonces[oldest] > now and len(self._nonces) < _KEPT:
                break
            del self._nonces[oldest]
        self._nonces[nonce] = Instant(ends_at)

    def holds(self, nonce: bytes) -> bool:
        """Say whether this session was ended."""
        return nonce in self._nonces
