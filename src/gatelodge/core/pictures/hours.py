"""Calls hour by hour as a picture that stands by itself: title, hours, scale and legend."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gatelodge.core.pictures.words import title_text, words

_LEFT: Final = 64
_WIDE: Final = 768
_RIGHT: Final = 24
_TOP: Final = 76
_TALL: Final = 200
_LINES: Final = 5
"""Lines of the scale at most."""
_EVERY: Final = (1, 2, 3, 4, 6, 12)
_LABELS: Final = 16
"""Hours that are labelled at most."""
_LOOKS: Final = {
    "ok": 'fill="#2a8f86"',
    "denied": 'fill="none" stroke="#b3362c"',
    "failed": 'fill="#7a1f18"',
    "not counted yet": 'fill="currentColor" opacity="0.2"',
}
"""Told apart without colours too: one is hollow, one is dark."""
_MIDDLE: Final = ' text-anchor="middle" font-size="11"'


class CallsOfHour(Struct, frozen=True, kw_only=True):
    """How many calls there were in the hour from `at` on (RFC 3339); not `counted`: not known."""

    at: str
    ok: int
    denied: int
    failed: int
    counted: bool = True

    @property
    def calls(self) -> int:
        """All of them."""
        return self.ok + self.denied + self.failed


def calls_chart(hours: Sequence[CallsOfHour], title: str, note: str = "") -> str:
    """The hours as SVG, the oldest at the left: what was let through below what was not."""
    step = scale_step(max((each.calls for each in hours if each.counted), default=0))
    top = step * max(1, -(-max((each.calls for each in hours), default=0) // step))
    column = _WIDE / max(1, len(hours))
    parts = [words(4, 20, title, 120, ' font-size="14" font-weight="600"'), _legend()]
    parts += [_scale_line(value, top) for value in range(0, top + 1, step)]
    for at, hour in enumerate(hours):
        parts.append(_column(hour, _LEFT + at * column, column, top))
    parts += _hour_labels(hours, column)
    below = _TOP + _TALL + 56
    parts.append(words(_LEFT, below, f"Each bar is one hour; times are UTC. {note}".strip(), 160))
    width, height = _LEFT + _WIDE + _RIGHT, below + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'fill="currentColor" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{title_text(title)}</title>{''.join(parts)}</svg>"
    )


def scale_step(most: int) -> int:
    """The distance of two lines of a scale up to so many: 1, 2 or 5 with noughts behind it."""
    size = 1
    while True:
        for each in (size, 2 * size, 5 * size):
            if most <= each * _LINES:
                return each
        size *= 10


def _legend() -> str:
    parts = []
    for at, (word, look) in enumerate(_LOOKS.items()):
        x = _LEFT + at * 110
        parts.append(f'<rect x="{x}" y="36" width="12" height="12" {look}/>')
        parts.append(words(x + 18, 47, word, 30))
    return "".join(parts)


def _scale_line(value: int, top: int) -> str:
    y = round(_TOP + _TALL - _TALL * value / top, 1)
    line = f'<rect x="{_LEFT}" y="{y:g}" width="{_WIDE}" height="1" opacity="0.2"/>'
    return line + words(_LEFT - 8, y + 4, f"{value:,}", 12, ' text-anchor="end" font-size="11"')


def _column(hour: CallsOfHour, x: float, wide: float, top: int) -> str:
    """The parts of one hour on each other, and their numbers in words."""
    told = f"{hour.ok} ok, {hour.denied} denied, {hour.failed} failed"
    counts = {"ok": hour.ok, "failed": hour.failed, "denied": hour.denied}
    if not hour.counted:
        told, counts = "not counted yet", {"not counted yet": max(1, top // 20)}
    parts, y = [], float(_TOP + _TALL)
    for word, count in counts.items():
        if count:
            # What is one of thousands can still be seen.
            tall = min(max(2.0, _TALL * count / top), y - _TOP + 2)
            y -= tall
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{wide - 2:.1f}" height="{tall:.1f}" '
                f"{_LOOKS[word]}/>"
            )
    text = f"{hour.at[:13].replace('T', ' ')}:00: {told}"
    return f"<g><title>{title_text(text)}</title>{''.join(parts)}</g>" if parts else ""


def _hour_labels(hours: Sequence[CallsOfHour], column: float) -> list[str]:
    """Each hour, or each second, third or so on; the day stands where it begins."""
    every = next((each for each in _EVERY if len(hours) <= each * _LABELS), _EVERY[-1])
    parts, day = [], ""
    for at, hour in enumerate(hours):
        x = round(_LEFT + at * column, 1)
        if int(hour.at[11:13]) % every == 0:
            parts.append(f'<rect x="{x:g}" y="{_TOP + _TALL}" width="1" height="5" opacity="0.5"/>')
            parts.append(words(x, _TOP + _TALL + 18, hour.at[11:16], 5, _MIDDLE))
        if hour.at[:10] != day:
            day = hour.at[:10]
            parts.append(words(x, _TOP + _TALL + 34, day, 10, _MIDDLE))
    return parts
