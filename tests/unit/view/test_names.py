import re

import pytest

from gatelodge.core.protocol.shown.names import (
    Collisions,
    Names,
    is_alias,
    shown_name,
    shown_names,
)

LONG = "a_tool_with_a_name_that_no_model_vendor_would_take_because_it_is_long"


def test_a_shown_name_is_the_alias_two_underscores_and_the_tool():
    assert shown_name("git", "log") == "git__log"
    assert shown_name("git", "log__all") == "git__log__all"


def test_characters_that_a_vendor_refuses_become_underscores():
    assert shown_name("git", "a.b/c d é") == "git__a_b_c_d__"


def test_a_name_is_cut_only_when_it_is_longer_than_64():
    fits = "x" * 59
    assert shown_name("git", fits) == f"git__{fits}"
    cut = shown_name("git", LONG)
    assert len(cut) == 64
    assert re.fullmatch(r"git__a_tool_.*_[0-9a-f]{6}", cut)
    assert cut != shown_name("git", LONG + "er")


def test_a_table_leads_back_to_the_original_names():
    assert shown_names("git", ["log", "a.b"]) == Names({"git__log": "log", "git__a_b": "a.b"})


def test_tools_that_would_share_a_name_are_told_and_refused():
    assert shown_names("git", ["a.b", "log", "a/b"]) == Collisions({"git__a_b": ("a.b", "a/b")})


@pytest.mark.parametrize("alias", ["git", "g", "a-b-9", "a" * 16])
def test_an_alias_is_a_short_word_without_underscores(alias):
    assert is_alias(alias)


@pytest.mark.parametrize("alias", ["", "9git", "Git", "a_b", "a" * 17, "a.b", "git\n"])
def test_what_could_not_be_split_off_again_is_no_alias(alias):
    assert not is_alias(alias)
