"""Who is named as the operator: whoever logged in, and nobody whose process it is not."""

import os

import pytest

from gatelodge.web.api import operators


@pytest.fixture
def process(tmp_path, monkeypatch):
    """The process 7 of this account; what it says of the login is given."""
    monkeypatch.setattr(operators, "_PROCESSES", tmp_path)
    (tmp_path / "7").mkdir()
    return lambda login: (tmp_path / "7" / "loginuid").write_text(str(login), "ascii")


def test_whoever_logged_in_is_named_and_not_the_account_that_they_became(process):
    process(1234)
    assert operators.operator_of(7, os.getuid()) == "local:1234"


@pytest.mark.parametrize("login", [2**32 - 1, "", "x"])
def test_where_nobody_logged_in_the_account_is_named(process, login):
    process(login)
    assert operators.operator_of(7, os.getuid()) == f"local:{os.getuid()}"


def test_a_process_of_another_account_that_has_the_number_by_now_names_nobody(process):
    process(1234)
    assert operators.operator_of(7, os.getuid() + 1) == f"local:{os.getuid() + 1}"


def test_a_process_that_is_gone_leaves_its_account(process):
    assert operators.operator_of(8, 4321) == "local:4321"
