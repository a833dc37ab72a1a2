"""Whatever has to be done again is done after pauses that grow, up to a limit."""

import pytest

from gatelodge.adapters.upstream.lifecycle import (
    AT_ONCE,
    HEALTHY_SECONDS,
    LONGEST_PAUSE,
    TRANSITIONS,
    ConnectionLife,
)


def test_a_server_that_is_down_is_tried_less_and_less():
    life = ConnectionLife(1.0)
    assert [life.pause_unmet() for _ in range(8)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        LONGEST_PAUSE,
        LONGEST_PAUSE,
    ]
    life.rest(0.0, 1.0)
    assert life.state == "failed"


def test_a_session_that_is_lost_now_and_then_is_begun_anew_at_once():
    life = ConnectionLife(1.0)
    for _ in range(20):
        assert life.pause_lost(HEALTHY_SECONDS + 1, answered=True, at_once=True) == (0.0, True)
    life.rest(0.0, 1.0)
    assert life.state == "waiting"


def test_a_session_that_is_lost_in_vain_is_begun_anew_once_and_then_after_growing_pauses():
    life = ConnectionLife(1.0)
    pauses = [life.pause_lost(0.1, answered=False, at_once=True) for _ in range(9)]
    assert [pause for pause, _ in pauses] == [0, 1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]
    assert [held for _, held in pauses] == [True] + [False] * 8
    life.rest(0.0, 1.0)
    assert life.state == "failed"


def test_a_session_that_never_stays_is_begun_anew_no_more_than_once_in_a_pause():
    life = ConnectionLife(1.0)
    pauses = [life.pause_lost(0.1, answered=True, at_once=True) for _ in range(AT_ONCE + 3)]
    assert pauses == [(0, True)] * AT_ONCE + [(1, True)] * 3
    life.rest(0.0, 1.0)
    assert life.state == "waiting"


@pytest.mark.parametrize(("pause", "deaf"), [(1.0, 1.0), (4.0, 4.0), (60.0, 5.0)])
def test_a_request_wakes_a_server_that_rests_but_not_at_once(pause, deaf):
    life = ConnectionLife(1.0)
    life.rest(100.0, pause)
    assert not life.wake(100.0 + deaf - 0.1, main=True)
    assert life.wake(100.0 + deaf, main=True)
    assert life.state == "starting"


def test_a_start_that_costs_a_process_is_woken_by_a_session_s_own_requests_only():
    life = ConnectionLife(1.0, wakes=False)
    life.rest(100.0, 8.0)
    assert not life.wake(200.0, main=True)
    assert not life.wake(107.9, main=False)
    assert life.wake(108.0, main=False)


def test_a_server_that_was_just_lost_is_not_woken_before_its_pause_is_known():
    life = ConnectionLife(2.0)
    life.become("met")
    life.lose(100.0, at_once=False)
    assert (life.state, life.wake(101.9, main=True), life.until) == ("waiting", False, 102.0)


def test_each_state_can_be_reached_and_left_but_for_the_last():
    reached = {state for events in TRANSITIONS.values() for state in events.values()}
    assert reached == TRANSITIONS.keys()
    assert all(events["stopped"] == "off" for events in TRANSITIONS.values())
    assert set(TRANSITIONS["off"]) == {"stopped"}, "the pool ended it"


def test_a_server_is_ready_only_after_a_handshake():
    every = [each for events in TRANSITIONS.values() for each in events.items()]
    assert {event for event, to in every if to == "ready"} == {"met"}
    assert [state for state, events in TRANSITIONS.items() if "met" in events] == ["starting"]
