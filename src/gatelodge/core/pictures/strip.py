"""A strip: how something was, hour by hour, told by height as well as by colour."""

from collections.abc import Sequence
from html import escape
from typing import Literal

from msgspec import Struct

HEIGHT = 18
_STEP = 10
_LOOKS = {"good": (10, "#2f8f5b"), "some": (14, "#b07d12"), "bad": (18, "#b3362c"), "none": (2, "")}
"""How tall and of which colour each is; what was not used is a line."""

Kind = Literal["good", "some", "bad", "none"]


class StripCell(Struct, frozen=True):
    """One stretch of time: how it was, and the words for it."""

    kind: Kind
    text: str


def strip(cells: Sequence[StripCell], title: str) -> str:
    """The cells as SVG, the oldest at the left."""
    parts = []
    for at, cell in enumerate(cells):
        tall, colour = _LOOKS[cell.kind]
        fill = f' fill="{colour}"' if colour else ' opacity="0.35"'
        parts.append(
            f'<rect x="{at * _STEP + 1}" y="{HEIGHT - tall}" width="{_STEP - 2}" '
            f'height="{tall}"{fill}><title>{escape(cell.text)}</title></rect>'
        )
    width = max(1, len(cells)) * _STEP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="strip" role="img" '
        f'viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" fill="currentColor">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
