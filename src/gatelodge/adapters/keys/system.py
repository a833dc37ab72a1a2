"""The machine's own clocks and random source."""

import os
import secrets
import time
from binascii import b2a_base64
from functools import partial

from gatelodge.core.ids import Instant, Kind

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_CALL_RANDOM = 10
_BLOCK = 4096 // _CALL_RANDOM * _CALL_RANDOM


class SystemClock:
    """The port `Clock`: CLOCK_REALTIME for people, CLOCK_BOOTTIME for leases."""

    def __init__(self) -> None:
        self.boottime = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        """Seconds that never step and go on while the machine sleeps; asked many times a call."""

    def now(self) -> Instant:
        """The wall clock, microseconds UTC."""
        return time.time_ns() // 1_000  # type: ignore[return-value] # no call (hot path)


class SystemIds:
    """The port `Ids`: 22 characters of base62 hold 131 bits, so ids never meet and never count.

    Random bytes of call ids are drawn in blocks, each byte used once; a fork would share what is
    left of a block, and nothing here forks.
    """

    def __init__(self) -> None:
        self._drawn = b""
        self._used = 0

    def new(self, kind: Kind) -> str:
        """`{kind}_` and 22 characters of base62."""
        number = secrets.randbelow(62**22)
        digits = []
        for _ in range(22):
            number, digit = divmod(number, 62)
            digits.append(_BASE62[digit])
        return f"{kind}_{''.join(digits)}"

    def call(self) -> str:
        """`c_` and 22 characters of base64url: 6 bytes of milliseconds, 10 random ones."""
        start = self._used
        if start >= len(self._drawn):
            self._drawn, start = os.urandom(_BLOCK), 0
        self._used = end = start + _CALL_RANDOM
        moment = (time.time_ns() // 1_000_000).to_bytes(6, "big")
        octets = b2a_base64(moment + self._drawn[start:end], newline=False)
        return "c_" + octets.translate(_URL_SAFE, b"=").decode("ascii")

    def random(self, size: int) -> bytes:
        """That many bytes from the kernel's random source."""
        return os.urandom(size)
