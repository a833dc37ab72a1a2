"""What a legacy server asks at once comes in rounds, and only so much of it waits."""

from msgspec import Raw

from gatelodge.adapters.upstream.question import MOST_WAITING, OpenQuestions
from gatelodge.core.protocol.upstream import UpstreamMessage


def asked(line: OpenQuestions, *numbers: int) -> list[bool]:
    """Which of these questions found a place in line."""
    return [
        line.add(UpstreamMessage(id=number, method="roots/list", params=Raw(b"{}")))
        for number in numbers
    ]


def opened(line: OpenQuestions) -> list[str]:
    """The questions of the round that is opened now, by the server's own ids."""
    return [each.key for each in line.next(0.0)]


def test_what_finds_no_place_in_line_is_refused_and_the_next_round_is_what_waited():
    line = OpenQuestions()
    assert asked(line, *range(MOST_WAITING + 1)) == [True] * MOST_WAITING + [False]
    assert opened(line) == [str(number) for number in range(MOST_WAITING)]
    assert asked(line, *range(10, 10 + MOST_WAITING + 2)) == [True] * MOST_WAITING + [False] * 2
    assert opened(line) == [], "one round is open"
    for number in [*line.open]:
        assert opened(line) == [], "a part of it is open"
        assert line.close(number) is not None
    assert opened(line) == [str(number) for number in range(10, 10 + MOST_WAITING)]
