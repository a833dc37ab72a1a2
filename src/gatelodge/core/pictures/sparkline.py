"""A sparkline: a row of numbers over time, as bars that begin at one line."""

from collections.abc import Sequence
from html import escape

HEIGHT = 40
_STEP = 10
_LEAST = 1.5


def sparkline(values: Sequence[float | None], title: str) -> str:
    """The numbers as SVG, the oldest at the left; None is a gap: nothing is known of it.

    Colours come from the page (`currentColor`), so it is the same picture in light and dark.
    """
    most = max((each for each in values if each is not None), default=0) or 1
    bars = []
    for at, value in enumerate(values):
        x = at * _STEP + 1
        if value is None:
            bars.append(
                f'<rect x="{x}" y="{HEIGHT - 3}" width="{_STEP - 2}" height="3" opacity="0.15"/>'
            )
        elif value > 0:
            tall = max(_LEAST, round(HEIGHT * value / most, 1))
            y = round(HEIGHT - tall, 1)
            bars.append(f'<rect x="{x}" y="{y}" width="{_STEP - 2}" height="{tall}"/>')
        else:
            bars.append(
                f'<rect x="{x}" y="{HEIGHT - 1}" width="{_STEP - 2}" height="1" opacity="0.4"/>'
            )
    width = max(1, len(values)) * _STEP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spark" role="img" '
        f'viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" fill="currentColor">'
        f"<title>{escape(title)}</title>{''.join(bars)}</svg>"
    )
