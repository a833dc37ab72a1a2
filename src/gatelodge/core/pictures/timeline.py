"""A timeline: what held from when until when, a row for each thing and a bar for each time."""

from collections.abc import Sequence

from msgspec import Struct

from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339, rfc3339
from gatelodge.core.pictures.words import name_of_row, title_text, words

MOST_ROWS = 60
MOST_BARS = 600
_LEFT = 240
_WIDE = 640
"""Pixels from the first moment to the last one."""
_RIGHT = 60
_TOP = 52
_TALL = 20
_STEPS = 5
"""Distances of two dates that fit in."""
_SECOND_US = 1_000_000
_MINUTE_US = 60_000_000
_DAY_US = 86_400_000_000
_DISTANCES = (
    *(each * _SECOND_US for each in (1, 2, 5, 15, 30)),
    *(each * _MINUTE_US for each in (1, 2, 5, 15, 30, 60, 120, 180, 360, 720)),
    *(each * _DAY_US for each in (1, 2, 3, 7, 14, 28, 91, 182, 365, 730, 1_825, 3_650)),
)
"""Between two dates: seconds, minutes, hours, days, all of them whole."""
_SHADE = "#2a8f86"


class TimelineSpan(Struct, frozen=True, kw_only=True):
    """One time of one thing, in RFC 3339; an empty `ended` says that it lasts."""

    row: str
    began: str
    ended: str


class _Axis(Struct, frozen=True):
    first: Instant
    last: Instant

    def x(self, at: Instant) -> float:
        """Where a moment stands."""
        share = (at - self.first) / max(self.last - self.first, 1)
        return round(_LEFT + _WIDE * min(max(share, 0.0), 1.0), 1)


def access_timeline(spans: Sequence[TimelineSpan], now: str, whose: str) -> str:
    """The tools that somebody could use up to `now`, as SVG."""
    return timeline(spans, now, f"What {whose} could use, up to {_minute(now)} UTC")


def timeline(spans: Sequence[TimelineSpan], now: str, title: str) -> str:
    """The spans up to `now` as SVG, the oldest at the left; what lasts has a point at its end.

    Of many the newest are drawn, and a sentence in it says so. Colours of words come from the page
    (`currentColor`), so it is the same picture in light and dark.
    """
    newest = sorted(spans, key=lambda each: each.began)[-MOST_BARS:]
    every_row = sorted({each.row for each in newest})
    rows = {row: at for at, row in enumerate(every_row[:MOST_ROWS])}
    drawn = [each for each in newest if each.row in rows]
    last = parse_rfc3339(now)
    axis = _Axis(min((parse_rfc3339(each.began) for each in drawn), default=last), last)
    below = _TOP + len(rows) * _TALL
    parts = [words(4, 18, title, 120, ' font-size="14" font-weight="600"'), _grid(axis, below)]
    for row, at in rows.items():
        parts.append(name_of_row(_TOP + at * _TALL - 1, row, _LEFT - 8))
    parts += [_bar(each, _TOP + rows[each.row] * _TALL, axis) for each in drawn]
    notes = _left_out(len(spans), len(newest), len(every_row))
    parts += [words(4, below + 20 + 17 * at, note, 130) for at, note in enumerate(notes)]
    width, height = _LEFT + _WIDE + _RIGHT, below + 10 + 17 * len(notes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" role="img" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'fill="currentColor" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{title_text(title)}</title>{''.join(parts)}</svg>"
    )


def _grid(axis: _Axis, below: int) -> str:
    """A line and its date: at midnights, or at whole hours, minutes or seconds of what is short."""
    span = axis.last - axis.first
    far = next((each for each in _DISTANCES if span <= each * _STEPS), _DISTANCES[-1])
    # A line stands at the very moment that its words name.
    length = 10 if far >= _DAY_US else 16 if far >= _MINUTE_US else 19
    whole = range(-(-axis.first // far) * far, axis.last + 1, far)
    parts = []
    for at in map(Instant, whole or (axis.last,)):
        x, text = axis.x(at), rfc3339(at)[:length].replace("T", " ")
        parts.append(
            f'<rect x="{x:g}" y="{_TOP - 8}" width="1" height="{below - _TOP + 10}" opacity="0.2"/>'
        )
        parts.append(words(x, _TOP - 14, text, 19, ' text-anchor="middle" font-size="11"'))
    return "".join(parts)


def _bar(span: TimelineSpan, y: int, axis: _Axis) -> str:
    x = axis.x(parse_rfc3339(span.began))
    stop = axis.x(parse_rfc3339(span.ended) if span.ended else axis.last)
    x = min(x, _LEFT + _WIDE - 2)
    # What was short is as wide as can be seen.
    wide = round(max(stop - x, 2.0), 1)
    end = round(x + wide, 1)
    point = f'<path d="M{end} {y + 4}l7 6l-7 6z" fill="{_SHADE}"/>' if not span.ended else ""
    until = f"until {_minute(span.ended)}" if span.ended else "on"
    told = f"{span.row}: from {_minute(span.began)} {until}"
    faint = ' fill-opacity="0.6"' if span.ended else ""
    return (
        f"<g><title>{title_text(told)}</title>"
        f'<rect x="{x:g}" y="{y + 4}" width="{wide:g}" height="12" rx="1" '
        f'fill="{_SHADE}"{faint}/>{point}</g>'
    )


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")


def _left_out(spans: int, newest: int, rows: int) -> list[str]:
    """What is said of a timeline of which a part is drawn."""
    told = [] if spans else ["There is nothing to draw."]
    if newest < spans:
        told.append(f"Only the newest {newest} of {spans} times are drawn.")
    if rows > MOST_ROWS:
        told.append(f"Only the first {MOST_ROWS} of {rows} rows are drawn.")
    return told
