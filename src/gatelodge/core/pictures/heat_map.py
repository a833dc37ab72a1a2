"""A heat map: who by what, each square a share that is told by figures as well as by shade."""

from collections.abc import Mapping

from gatelodge.core.pictures.words import name_of_row, title_text, words

MOST_ROWS = 100
MOST_COLUMNS = 30
_HEAD = 18
"""Characters of a column's name."""
_LEFT = 240
_TOP = 122
_WIDE, _TALL = 58, 22
_SLANT = 90
"""What the last column's slanted name takes at the right."""
_SHADE = "#2a8f86"

Counts = Mapping[tuple[str, str], tuple[int, int]]
"""How much of how much, by row and column."""


def heat_map(counts: Counts, title: str, about: str) -> str:
    """The counts as SVG, rows and columns by name; `about` says what a figure counts.

    Of a large one a part is drawn, and a sentence in it says so. Colours of words come from the
    page (`currentColor`), and the shade lets it through, so it is the same in light and dark.
    """
    every_row = sorted({row for row, _ in counts})
    every_column = sorted({column for _, column in counts})
    rows, columns = every_row[:MOST_ROWS], every_column[:MOST_COLUMNS]
    below = _TOP + len(rows) * _TALL
    width = max(_LEFT + len(columns) * _WIDE + _SLANT, 720)
    notes = [about, *_left_out(len(every_row), len(every_column))]
    parts = [words(4, 18, title, 110, ' font-size="14" font-weight="600"')]
    parts += [_column_name(at, column) for at, column in enumerate(columns)]
    for at, row in enumerate(rows):
        y = _TOP + at * _TALL
        parts.append(f'<rect x="4" y="{y}" width="{width - 8}" height="1" opacity="0.12"/>')
        parts.append(name_of_row(y, row, _LEFT - 4))
        for across, column in enumerate(columns):
            parts.append(_square(_LEFT + across * _WIDE, y, row, column, counts))
    parts += [words(4, below + 24 + 17 * at, note, 130) for at, note in enumerate(notes)]
    height = below + 24 + 17 * len(notes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="heat-map" role="img" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'fill="currentColor" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{title_text(title)}</title>{''.join(parts)}</svg>"
    )


def _column_name(at: int, column: str) -> str:
    x, y = _LEFT + at * _WIDE + _WIDE / 2, _TOP - 8
    return words(x, y, column, _HEAD, f' transform="rotate(-45 {x:g} {y})"')


def _square(x: int, y: int, row: str, column: str, counts: Counts) -> str:
    """A square and its figures; nothing where nothing is allowed, which is told below."""
    allowed, total = counts.get((row, column), (0, 0))
    if not allowed:
        return ""
    shade = 0.15 + 0.35 * allowed / max(allowed, total)
    dashed = f' stroke="{_SHADE}" stroke-dasharray="3 2"' if allowed < total else ""
    told = title_text(f"{row}, {column}: {allowed} of {total}")
    return (
        f'<g><title>{told}</title><rect x="{x + 2}" y="{y + 3}" width="{_WIDE - 4}" '
        f'height="{_TALL - 5}" rx="3" fill="{_SHADE}" fill-opacity="{shade:.2f}"{dashed}/>'
        f'<text x="{x + _WIDE // 2}" y="{y + 15}" text-anchor="middle" font-size="11">'
        f"{allowed}/{total}</text></g>"
    )


def _left_out(rows: int, columns: int) -> list[str]:
    """What is said of a map of which a part is drawn."""
    told = [] if rows else ["There is nothing to draw."]
    if rows > MOST_ROWS:
        told.append(f"Only the first {MOST_ROWS} of {rows} rows are drawn.")
    if columns > MOST_COLUMNS:
        told.append(f"Only the first {MOST_COLUMNS} of {columns} columns are drawn.")
    return told
