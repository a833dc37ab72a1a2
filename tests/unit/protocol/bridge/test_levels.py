"""Log messages: which a client hears."""

import pytest
from msgspec import Raw

from gatelodge.core.protocol.bridge.levels import LEVELS, message_level, passes, read_level


@pytest.mark.parametrize("wanted", range(8))
def test_a_client_hears_its_level_and_all_that_is_worse(wanted):
    heard = [passes(LEVELS[wanted], level) for level in LEVELS]
    assert heard == [False] * wanted + [True] * (8 - wanted)


def test_a_client_without_a_level_hears_nothing_and_nobody_hears_an_unknown_one():
    assert not any(passes("", level) for level in LEVELS)
    assert not any(passes(level, "trace") for level in LEVELS)
    assert not passes("trace", "emergency")


@pytest.mark.parametrize(
    ("params", "level"),
    [
        (b'{"level":"notice","data":1}', "notice"),
        (b'{"level":"Notice"}', ""),
        (b'{"level":7}', ""),
        (b"{}", ""),
        (b"7", ""),
    ],
)
def test_the_level_of_a_message_is_one_of_the_eight(params, level):
    assert message_level(params) == level


def test_a_wanted_level_is_one_of_the_eight():
    assert read_level(Raw(b'"error"')) == "error"
    assert read_level(Raw(b'"loud"')) == ""
    assert read_level(None) == ""
