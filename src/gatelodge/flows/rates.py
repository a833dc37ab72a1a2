"""How many records one person may cause that no server had work with.

A log only grows. Who asks a server pays with the server's time; who is denied, refused or answered
by the gate itself costs nobody anything but room on the disk, and would fill it. So these have a
rate for each person, who answers for their agents too.
"""

from collections.abc import Callable
from typing import Literal

from gatelodge.config.schema import LimitSettings
from gatelodge.core.errors import LimitReached

Kind = Literal["denied", "answered"]

AT_ONCE_SECONDS = 30.0
"""How long a person may have been quiet for, and make up for at once."""
_MANY = 10_000


class PersonRates:
    """One per recorder, on the event loop; `now` is a clock that never steps."""

    def __init__(self, limits: LimitSettings, now: Callable[[], float]) -> None:
        self._now = now
        self._rates: dict[Kind, float] = {
            "denied": float(limits.denials_per_second),
            "answered": float(limits.answers_per_second),
        }
        self._left: dict[tuple[str, Kind], tuple[float, float]] = {}
        """Until when it was counted, and what the person might still do then."""

    def allows(self, member: str, kind: Kind) -> bool:
        """Count one more of this member's; false when there were too many."""
        now, rate = self._now(), self._rates[kind]
        most = rate * AT_ONCE_SECONDS
        if (member, kind) not in self._left:
            self._make_room(now)
        since, left = self._left.get((member, kind), (now, most))
        left = min(left + (now - since) * rate, most)
        allowed = left >= 1
        self._left[member, kind] = (now, left - 1 if allowed else left)
        return allowed

    def spend(self, member: str, kind: Kind) -> None:
        """Count one more of this member's. Raises LimitReached when there were too many."""
        if not self.allows(member, kind):
            what, limit = _NAMES[kind]
            raise LimitReached(f"too many of your requests are {what} ({limit})", retry_after=1.0)

    def _make_room(self, now: float) -> None:
        """Forget those who were quiet for long enough to be as good as new."""
        if len(self._left) >= _MANY:
            since = now - AT_ONCE_SECONDS
            self._left = {who: left for who, left in self._left.items() if left[0] > since}


_NAMES: dict[Kind, tuple[str, str]] = {
    "denied": ("denied or refused", "limits.denials_per_second"),
    "answered": ("answered by the gate itself", "limits.answers_per_second"),
}
