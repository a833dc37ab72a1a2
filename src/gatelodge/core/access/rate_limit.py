"""How often each person does something that costs others: at most so often in a minute."""

from collections import deque

SECONDS = 60.0


class RateLimit:
    """What each did in the last minute; `most` 0 = it is not counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._when: dict[str, deque[float]] = {}

    def too_early(self, person: str, now: float) -> float:
        """Seconds until this person may do it; 0 = now."""
        # Dropped at each question, so no timer is needed and nobody is kept who does nothing.
        self._drop_expired_times(now)
        mine = self._when.get(person)
        if mine is None or len(mine) < self._most:
            return 0.0
        # Never 0, which means now, however little is left.
        return max(0.1, mine[0] + SECONDS - now)

    def count(self, person: str, now: float) -> None:
        """This person does it."""
        # Of no limit nothing is counted: against 0 whatever came next would be too early.
        if self._most:
            self._when.setdefault(person, deque()).append(now)

    def _drop_expired_times(self, now: float) -> None:
        """Keep nobody longer than what they did last counts."""
        for person, when in list(self._when.items()):
            while when and when[0] <= now - SECONDS:
                when.popleft()
            if not when:
                del self._when[person]
