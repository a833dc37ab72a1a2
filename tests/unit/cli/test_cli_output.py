import pytest

from gatelodge.cli import output
from gatelodge.core import errors


def test_columns_are_aligned_and_lines_end_bare() -> None:
    text = output.table(("name", "role"), [["ada", "owner"], ["grace hopper", None]])
    assert text.splitlines() == [
        "NAME          ROLE",
        "ada           owner",
        "grace hopper  -",
    ]


def test_a_server_cannot_move_the_cursor_of_a_terminal() -> None:
    assert output.clean("ok\x1b[2Jgone\nnext\u202e") == "ok [2Jgone next "


def test_values_are_worded_for_people() -> None:
    assert output.clean(True) == "yes"
    assert output.clean([]) == "-"
    assert output.clean({"a": 1, "b": None}) == "a=1, b=-"


def test_an_error_tells_what_to_do_and_exits_by_its_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = errors.NotFound("no member 'ada'", remedy="See `gatelodge member list`.")
    assert output.tell_error(error, json=False) == output.REFUSED
    assert capsys.readouterr().err.splitlines() == [
        "error: no member 'ada'",
        "what to do: See `gatelodge member list`.",
    ]


def test_every_fault_of_the_settings_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.tell_error(errors.SettingsError(("one", "two")), json=False) == output.USAGE
    assert capsys.readouterr().err.startswith("error: one\nerror: two\n")


def test_every_exit_code_of_an_error_is_explained() -> None:
    from gatelodge.web.problems import ANSWERS, INTERNAL

    explained = {code for code, _ in output.EXIT_CODES}
    assert {each.exit for each in ANSWERS.values()} | {INTERNAL.exit} <= explained


def test_an_unknown_fault_shows_its_place_and_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="canary") as caught:
        int("canary-4711")
    assert output.tell_unexpected(caught.value) == output.INTERNAL
    told = capsys.readouterr().err
    assert "inc_" in told
    assert "ValueError at " in told
    assert "canary" not in told


def test_two_names_that_look_alike_are_not_shown_alike() -> None:
    assert output.table(("name",), [["pay"], ["p\u0430y"]]).split() == ["NAME", "pay", "p<U+0430>y"]
