"""How often a server may make the gate look at it, and what its changes may write.

The first looks are free, since a server that starts or deploys says several things in a row; then
the pauses grow, and a server that is calm for a while begins anew. What its changes write into the
log that keeps everything for ever is counted too, and paid for with time.
"""

from typing import Final

FREE_LOOKS: Final = 8
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
CALM_SECONDS: Final = 120.0
"""After so long without a look a server counts as calm."""
FREE_LEAVES: Final = 64
LEAF_SECONDS: Final = 30.0
"""What each further leaf costs; at most 8 KiB stand in one."""


class ObservationPace:
    """The pace of one server: `free_at` is when it may be looked at again. Times in seconds."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self._looks = 0
        self._leaves = 0.0
        self._last = 0.0

    def looked(self, now: float, leaves: int) -> None:
        """It was looked at, and what had changed took so many leaves."""
        quiet = now - self._last
        self._looks = 1 if quiet > CALM_SECONDS else self._looks + 1
        self._leaves = max(0.0, self._leaves - quiet / LEAF_SECONDS) + leaves
        self._last = now
        over = self._looks - FREE_LOOKS
        # The exponent is bounded, or a server that never rests would overflow it in the end.
        pause = min(FIRST_PAUSE * 2.0 ** min(over - 1, 16), LONGEST_PAUSE) if over > 0 else 0.0
        self.free_at = now + max(pause, (self._leaves - FREE_LEAVES) * LEAF_SECONDS)
