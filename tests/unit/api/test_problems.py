import logging

import msgspec
import pytest

from gatelodge.core import errors
from gatelodge.web import problems


def made(kind: type[errors.HouseError]) -> errors.HouseError:
    if kind is errors.SettingsError:
        return errors.SettingsError(("first", "second"))
    return kind("what happened", remedy="what to do", retry_after=2.4)


def test_every_error_has_an_answer() -> None:
    assert problems.leaves() == set(problems.ANSWERS)


def test_codes_follow_the_tree() -> None:
    for leaf in problems.leaves():
        parent = leaf.__mro__[1]
        assert leaf.code.startswith(parent.code + ".")


def test_own_rpc_codes_stay_outside_the_reserved_range_and_tell_errors_apart() -> None:
    codes = [each.rpc for each in problems.ANSWERS.values()]
    assert len(set(codes)) == len(codes)
    for code in codes:
        assert code == -32602 or not -32768 <= code <= -32000


@pytest.mark.parametrize("kind", sorted(problems.ANSWERS, key=lambda each: each.code))
def test_an_error_survives_the_way_over_http(kind: type[errors.HouseError]) -> None:
    told = problems.problem(made(kind))
    back = problems.error_of(msgspec.json.decode(problems.body(told)))
    assert type(back) is kind
    assert back.detail == made(kind).detail
    assert problems.answer(back) == problems.ANSWERS[kind]


def test_a_code_from_a_newer_gate_becomes_the_nearest_known_one() -> None:
    newer = {"code": "error.refused.conflict.two_person", "detail": "d"}
    assert type(problems.error_of(newer)) is errors.Conflict
    assert type(problems.error_of({"code": "error.refused.teapot"})) is errors.Refused
    assert type(problems.error_of({})) is errors.HouseError


def test_a_retry_time_and_the_challenge_are_headers_too() -> None:
    told = problems.problem(errors.Stale("s", retry_after=2.4))
    assert ("retry-after", "2") in problems.headers(told)
    challenge = problems.headers(problems.problem(errors.Unauthenticated("u")))
    assert ("www-authenticate", "Bearer") in challenge


def test_an_unknown_exception_shows_an_incident_and_nothing_of_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ValueError, match="canary") as caught:
        int("canary-4711")
    with caplog.at_level(logging.ERROR, "gatelodge.web"):
        told = problems.unexpected(caught.value, "inc_x")
    assert told.incident == "inc_x"
    assert told.status == 500
    assert "canary-4711" not in caplog.text + problems.body(told).decode()
    assert "inc_x" in caplog.text
    assert "ValueError" in caplog.text
