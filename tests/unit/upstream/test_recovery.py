"""Whatever has to be done again is done after pauses that grow, up to a limit."""

import pytest

from gatelodge.adapters.upstream.pace.recovery import (
    AT_ONCE,
    HEALTHY_SECONDS,
    LONGEST_PAUSE,
    LinkRecovery,
)


def test_a_server_that_is_down_is_tried_less_and_less():
    recovery = LinkRecovery(1.0)
    assert [recovery.unmet() for _ in range(8)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        LONGEST_PAUSE,
        LONGEST_PAUSE,
    ]
    assert recovery.failed


def test_a_session_that_is_lost_now_and_then_is_begun_anew_at_once():
    recovery = LinkRecovery(1.0)
    for _ in range(20):
        assert recovery.lost(HEALTHY_SECONDS + 1, answered=True, at_once=True) == (0.0, True)
    assert not recovery.failed


def test_a_session_that_is_lost_in_vain_is_begun_anew_once_and_then_after_growing_pauses():
    recovery = LinkRecovery(1.0)
    pauses = [recovery.lost(0.1, answered=False, at_once=True) for _ in range(9)]
    assert [pause for pause, _ in pauses] == [0, 1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]
    assert [held for _, held in pauses] == [True] + [False] * 8
    assert recovery.failed


def test_a_session_that_never_stays_is_begun_anew_no_more_than_once_in_a_pause():
    recovery = LinkRecovery(1.0)
    pauses = [recovery.lost(0.1, answered=True, at_once=True) for _ in range(AT_ONCE + 3)]
    assert pauses == [(0, True)] * AT_ONCE + [(1, True)] * 3
    assert not recovery.failed


@pytest.mark.parametrize(("pause", "deaf"), [(1.0, 1.0), (4.0, 4.0), (60.0, 5.0)])
def test_a_request_wakes_a_server_that_rests_but_not_at_once(pause, deaf):
    assert LinkRecovery(1.0).deaf(pause) == deaf
