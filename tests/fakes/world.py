"""A clock that tests move, and ids that are fresh but tell their order."""

import itertools

_START = 1_795_000_000_000_000  # 2026-11-18, microseconds


class StillClock:
    """Both clocks stand until `step` moves them."""

    def __init__(self, now: int = _START) -> None:
        self._now = now
        self._boot = 1_000.0

    def now(self) -> int:
        return self._now

    def boottime(self) -> float:
        return self._boot

    def step(self, seconds: float) -> None:
        self._now += round(seconds * 1_000_000)
        self._boot += seconds


class CountedIds:
    """Ids in the order of their making; `random` gives bytes that never repeat."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def new(self, kind: str) -> str:
        return f"{kind}_{next(self._next):022d}"

    def call(self) -> str:
        return f"c_{next(self._next):022d}"

    def random(self, size: int) -> bytes:
        return next(self._next).to_bytes(8, "big").rjust(size, b"\x5a")[-size:]
