"""A badge: what a server is and how it stands, in one line for other people's pages."""

from typing import Final

from gatelodge.core.pictures.words import bounded, title_text

MOST_LETTERS: Final = 40
"""Characters of each half; of a longer one the beginning is drawn."""
_LETTER: Final = 7
_PAD: Final = 8
_DARK: Final = "#30363d"
_GROUNDS: Final = {"active": "#1c665f", "deprecated": "#7a4b00", "deleted": "#7a1f18"}
_UNKNOWN: Final = "#4a5058"


def badge(alias: str, status: str) -> str:
    """The badge as SVG: the alias at the left, the status at the right.

    It stands on pages that are not the gate's, so it brings its grounds along, each dark enough for
    white words (6.5:1 or more). The status is said in words and not by the colour alone.
    """
    left, right = bounded(alias, MOST_LETTERS), bounded(status, MOST_LETTERS)
    wide, rest = (len(each) * _LETTER + 2 * _PAD for each in (left, right))
    ground = _GROUNDS.get(status, _UNKNOWN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{wide + rest}" height="22" '
        f'viewBox="0 0 {wide + rest} 22" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{title_text(f'{left}: {right}')}</title>"
        f'<rect width="{wide}" height="22" fill="{_DARK}"/>'
        f'<rect x="{wide}" width="{rest}" height="22" fill="{ground}"/>'
        f"{_half(0, wide, left)}{_half(wide, rest, right)}</svg>"
    )


def _half(x: int, wide: int, text: str) -> str:
    """The length is given, so that no reader's font lets words run out of their half."""
    return (
        f'<text x="{x + _PAD}" y="15" fill="#fff" textLength="{wide - 2 * _PAD}" '
        f'lengthAdjust="spacingAndGlyphs">{title_text(text)}</text>'
    )
