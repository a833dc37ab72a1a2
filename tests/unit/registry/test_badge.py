"""The badge of a server, as it stands on other people's pages."""

from xml.etree import ElementTree as ET

import pytest

from gatelodge.core.pictures import badge as badges
from gatelodge.core.pictures.badge import badge


def _light(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_badge_says_in_words_what_its_colour_says() -> None:
    texts = [each.text for each in ET.fromstring(badge("mail", "active")).iter()]
    assert texts[1] == "mail: active"
    assert texts[-2:] == ["mail", "active"]


@pytest.mark.parametrize("odd", ["</text><script>x</script>", '"&<', "\u202e", "a" * 5000])
def test_what_stands_in_a_badge_stays_text(odd: str) -> None:
    drawn = badge(odd, odd)
    tags = [each.tag.rpartition("}")[2] for each in ET.fromstring(drawn).iter()]
    assert tags == ["svg", "title", "rect", "rect", "text", "text"]
    assert len(drawn) < 3000


@pytest.mark.parametrize("ground", [badges._DARK, badges._UNKNOWN, *badges._GROUNDS.values()])
def test_white_words_can_be_read_on_every_ground(ground: str) -> None:
    assert 1.05 / (_light(ground) + 0.05) >= 6.5
