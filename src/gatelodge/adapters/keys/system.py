"""The machine's own clocks and random source."""

import os
import secrets
import time
from base64 import urlsafe_b64encode

from gatelodge.core.ids import Instant, Kind

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class SystemClock:
    """The port `Clock`: CLOCK_REALTIME for people, CLOCK_BOOTTIME for leases."""

    def now(self) -> Instant:
        """The wall clock, microseconds UTC."""
        return Instant(time.time_ns() // 1_000)

    def boottime(self) -> float:
        """Seconds that never step and go on while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class SystemIds:
    """The port `Ids`: 22 characters of base62 hold 131 bits, so ids never meet and never count."""

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
        moment = (time.time_ns() // 1_000_000).to_bytes(6, "big")
        return "c_" + urlsafe_b64encode(moment + os.urandom(10))[:22].decode("ascii")

    def random(self, size: int) -> bytes:
        """That many bytes from the kernel's random source."""
        return os.urandom(size)
