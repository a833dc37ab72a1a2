"""Times as text: RFC 3339 UTC with six digits, the only form a leaf may hold."""

from datetime import UTC, datetime

from gatelodge.core.ids import Instant

_second = (-1, "")


_LAST = datetime.max.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
"""What can be written down."""


def rfc3339(at: Instant) -> str:
    """`2026-11-22T15:04:05.000123Z` for microseconds since 1970; such texts sort as times do.

    Raises ValueError for a time outside of the years 1 to 9999.
    """
    global _second  # noqa: PLW0603 - a one-entry memo; a lost race costs one formatting
    whole, micro = divmod(at, 1_000_000)
    known, text = _second
    if known != whole:
        # Not strftime: on Linux it writes the year 900 with three digits.
        text = datetime.fromtimestamp(whole, UTC).replace(tzinfo=None).isoformat()
        _second = (whole, text)
    return f"{text}.{micro:06d}Z"


def parse_rfc3339(text: str) -> Instant:
    """The inverse of `rfc3339`; also takes fewer digits and offsets. Raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    # An offset can move a time beyond what `rfc3339` is able to write back.
    if delta > _LAST:
        raise ValueError("a time after the year 9999")
    return Instant((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)
