"""When a hosted server rests: because nobody uses it, or because it ended too often."""

from gatelodge.adapters.upstream.lifecycle import EXIT_SECONDS, MOST_EXITS
from gatelodge.core.errors import UpstreamUnreachable

QUARANTINED = (
    f"The server ended unexpectedly {MOST_EXITS} times within {EXIT_SECONDS / 60:.0f} minutes and "
    "is quarantined."
)


def quarantined_error() -> UpstreamUnreachable:
    """The error of a request to such a server."""
    remedy = "An admin sees why with `gatelodge server show`, and mends it: server restart ALIAS."
    return UpstreamUnreachable(QUARANTINED, remedy=remedy)


class UnusedTime:
    """How long nobody used a link; asked at each sweep, so that no call looks at a clock for it."""

    def __init__(self, after: float) -> None:
        """It is unused for too long `after` so many seconds; 0 = never."""
        self._after = after
        self._settled = 0
        self._since: float | None = None

    def is_over(self, now: float, *, settled: int, used: bool) -> bool:
        """True when it was unused for that long; `settled` counts what was ever answered in it."""
        if not self._after:
            return False
        if self._since is None or used or settled != self._settled:
            self._settled, self._since = settled, now
        return now - self._since > self._after
