"""Whether the time that an index gives for a release can be right.

A mirror may give the time at which it took a version for the time at which that was published. A
young version then looks old, and an old one new. So a time counts only while nothing speaks against
it: the order of versions, the date in a version, the clock.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gatelodge.core.ids import Instant
from gatelodge.core.trust.sources.versions import (
    Ecosystem,
    is_preview,
    release_numbers,
    version_order,
)

_DAY: Final = 86_400 * 1_000_000
_SLACK: Final = _DAY
"""A clock may be wrong by so much, and releases of one day may come in any order."""
_CALENDAR_DAYS: Final = 30
_TOGETHER: Final = 3_600 * 1_000_000
_FEW: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def doubt_of_time(
    ecosystem: Ecosystem, version: str, at: Instant, times: Mapping[str, Instant], now: Instant
) -> str:
    """Why `at` cannot be when this version was released, in words; empty when nothing says so.

    `times` are those of all versions of the package, this one included. Maintenance of older lines
    (1.2.9 after 1.3.0) is no contradiction; within a line the order has to hold.
    """
    if at > now + _SLACK:
        return "The index gives a release time in the future."
    if _all_together(at, times):
        return "The index gives one time for most versions: when it took them."
    own = version_order(ecosystem, version)
    if own is not None and _far_from_calendar(release_numbers(own), at):
        return "The version names a date that is far from the time that the index gives."
    # Where a version names its day, two agree: then the times of the others are the odd ones.
    if own is None or _names_day(release_numbers(own)):
        return ""
    return _reversed(ecosystem, own, at, times)


def _reversed(ecosystem: Ecosystem, own: Any, at: Instant, times: Mapping[str, Instant]) -> str:
    """Which version came in reverse order, in words; empty for none."""
    line = _line(release_numbers(own))
    for text, other_at in times.items():
        other = version_order(ecosystem, text)
        if other is None or is_preview(other):
            continue
        if not _comparable(line, _line(release_numbers(other))):
            continue
        if (other < own and other_at > at + _SLACK) or (other > own and other_at < at - _SLACK):
            return f"By the times of the index {text[:60]} and this version came in reverse order."
    return ""


def _all_together(at: Instant, times: Mapping[str, Instant]) -> bool:
    near = sum(abs(each - at) <= _TOGETHER for each in times.values())
    return len(times) >= _FEW and near * 2 > len(times)


def _line(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """What a version is maintained with; all that are called by the calendar are one line."""
    return () if _is_calendar(numbers) else (*numbers, 0)[:2]


def _comparable(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """True within a line, and where a package went over to the calendar: nobody goes back."""
    return one == other or () in (one, other)


def _is_calendar(numbers: tuple[int, ...]) -> bool:
    return bool(numbers) and 2000 <= numbers[0] < 2100


def _names_day(numbers: tuple[int, ...]) -> bool:
    named = _is_calendar(numbers) and len(numbers) > 2
    return named and 1 <= numbers[1] <= 12 and 1 <= numbers[2] <= 31


def _far_from_calendar(numbers: tuple[int, ...], at: Instant) -> bool:
    if not _is_calendar(numbers):
        return False
    month = numbers[1] if len(numbers) > 2 and 1 <= numbers[1] <= 12 else None
    first = datetime(numbers[0], month or 1, 1, tzinfo=UTC)
    last = first + timedelta(days=31 if month else 366)
    if _names_day(numbers):
        first = last = first + timedelta(days=numbers[2] - 1)
    slack = timedelta(days=_CALENDAR_DAYS)
    return not _instant(first - slack) <= at <= _instant(last + slack)


def _instant(when: datetime) -> int:
    return (when - _EPOCH) // timedelta(microseconds=1)
