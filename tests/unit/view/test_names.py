import re
from hashlib import sha256

import pytest

from gatelodge.core.protocol.shown.names import colliding_names, is_alias, shown_name

LONG = "a_tool_with_a_name_that_no_model_vendor_would_take_because_it_is_long"


def every_mark_is_the_same(monkeypatch):
    monkeypatch.setattr("gatelodge.core.protocol.shown.names.sha256", lambda _: sha256())


def test_a_shown_name_is_the_alias_two_underscores_and_the_tool():
    assert shown_name("git", "log") == "git__log"
    assert shown_name("git", "log__all") == "git__log__all"


def test_characters_that_a_vendor_refuses_become_underscores_and_the_name_gets_a_mark():
    assert re.fullmatch(r"git__a_b_c_d___[0-9a-f]{8}", shown_name("git", "a.b/c d é"))


@pytest.mark.parametrize("longest", [32, 48, 64, 128])
def test_a_name_is_cut_only_when_it_is_longer_than_the_limit_and_gets_a_mark(longest):
    fits = "x" * (longest - 5)
    assert shown_name("git", fits, longest) == f"git__{fits}"
    cut = shown_name("git", LONG + LONG, longest)
    assert len(cut) == longest
    assert re.fullmatch(r"git__a_tool_.*_[0-9a-f]{8}", cut)
    assert cut != shown_name("git", LONG + LONG + "er", longest)


def test_no_name_is_shown_as_another_one_is():
    names = ["查询", "検索", "a.b", "a/b", "a_b", LONG, LONG + "er"]
    names += [shown_name("git", each).removeprefix("git__") for each in names]
    assert colliding_names("git", set(names)) == {}
    assert shown_name("git", "a_b") == "git__a_b"


def test_tools_that_would_share_a_name_are_told_and_refused(monkeypatch):
    every_mark_is_the_same(monkeypatch)
    told = colliding_names("git", ["a.b", "log", "a/b"])
    assert told == {"git__a_b_e3b0c442": ("a.b", "a/b")}


@pytest.mark.parametrize("alias", ["git", "g", "a-b-9", "a" * 16])
def test_an_alias_is_a_short_word_without_underscores(alias):
    assert is_alias(alias)


@pytest.mark.parametrize("alias", ["", "9git", "Git", "a_b", "a" * 21, "a.b", "git\n"])
def test_what_could_not_be_split_off_again_is_no_alias(alias):
    assert not is_alias(alias)
