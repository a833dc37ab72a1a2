"""Words in a picture: bounded, escaped, and with nothing in them that a reader cannot see."""

from html import escape

from gatelodge.core.catalog.visible import visible_line


def bounded(text: str, most: int) -> str:
    """The text on one line, cut to so many characters; what cannot be seen is written out."""
    told = visible_line(text)
    return told if len(told) <= most else f"{told[: most - 1]}…"


def words(x: float, y: float, text: str, most: int, more: str = "") -> str:
    """The text as an element of SVG, `more` being attributes of ours; cut, it tells all of itself.

    Its colour comes from the page (`currentColor` of the picture), as everywhere in these pictures.
    """
    told = bounded(text, most)
    whole = f"<title>{title_text(text)}</title>" if told.endswith("…") else ""
    return f'<text x="{x:g}" y="{y:g}"{more}>{escape(told)}{whole}</text>'


def name_of_row(y: float, text: str, width: int) -> str:
    """The name at the left of a row whose top is `y`; however wide its letters, it ends there."""
    # An element svg within an svg shows nothing of what is beyond its edges.
    inside = words(4, 15, text, 34)
    return f'<svg x="0" y="{y:g}" width="{width}" height="20">{inside}</svg>'


def title_text(text: str) -> str:
    """The text as it stands in an element `title`."""
    return escape(bounded(text, 400))
