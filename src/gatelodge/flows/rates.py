"""How many records one person may cause that no server had work with.

A log only grows. Who asks a server pays with the server's time; who is denied, refused or answered
by the gate itself costs nobody anything but room on the disk, and would fill it. So these have a
rate for each person, who answers for their agents too.
"""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from gatelodge.config.schema import LimitSettings
from gatelodge.core.errors import LimitReached

Kind = Literal["denied", "answered"]

AT_ONCE_SECONDS = 30.0
"""How long a person may have been quiet for, and make up for at once."""
_MANY = 10_000


class _Left(Struct):
    """What a person may still do now, for each kind."""

    at: float
    denied: float
    answered: float


class PersonRates:
    """One per recorder, on the event loop; `now` is a clock that never steps."""

    def __init__(self, limits: LimitSettings, now: Callable[[], float]) -> None:
        self._now = now
        self._rates: dict[Kind, float] = {
            "denied": float(limits.denials_per_second),
            "answered": float(limits.answers_per_second),
        }
        self._left: dict[str, _Left] = {}

    def allows(self, member: str, kind: Kind) -> bool:
        """Count one more of this member's; false when there were too many."""
        left = self._replenished_allowance(member)
        have = left.denied if kind == "denied" else left.answered
        if have < 1:
            return False
        if kind == "denied":
            left.denied = have - 1
        else:
            left.answered = have - 1
        return True

    def spend(self, member: str, kind: Kind) -> None:
        """Count one more of this member's. Raises LimitReached when there were too many."""
        if not self.allows(member, kind):
            what, limit = _NAMES[kind]
            raise LimitReached(f"too many of your requests are {what} ({limit})", retry_after=1.0)

    def _replenished_allowance(self, member: str) -> _Left:
        now, most = self._now(), self._rates
        left = self._left.get(member)
        if left is None:
            self._make_room(now)
            left = self._left[member] = _Left(
                now, most["denied"] * AT_ONCE_SECONDS, most["answered"] * AT_ONCE_SECONDS
            )
            return left
        gone, left.at = now - left.at, now
        left.denied = min(left.denied + gone * most["denied"], most["denied"] * AT_ONCE_SECONDS)
        left.answered = min(
            left.answered + gone * most["answered"], most["answered"] * AT_ONCE_SECONDS
        )
        return left

    def _make_room(self, now: float) -> None:
        """Forget those who were quiet for long enough to be as good as new."""
        if len(self._left) >= _MANY:
            since = now - AT_ONCE_SECONDS
            self._left = {who: left for who, left in self._left.items() if left.at > since}


_NAMES: dict[Kind, tuple[str, str]] = {
    "denied": ("denied or refused", "limits.denials_per_second"),
    "answered": ("answered by the gate itself", "limits.answers_per_second"),
}
