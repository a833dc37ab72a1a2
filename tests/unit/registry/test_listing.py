"""Names, descriptions and pages of the catalog as an MCP registry."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatelodge.core.errors import Invalid
from gatelodge.core.registry.entry import (
    RegistryRemote,
    RegistryServer,
    registry_description,
    registry_name,
    registry_version,
)
from gatelodge.core.registry.listing import registry_page

ALIASES = st.sets(st.text("abcxyz019", min_size=1, max_size=4), max_size=12)


def _entry(alias: str) -> RegistryServer:
    name = registry_name("tools.example.com", alias)
    where = RegistryRemote(url="https://tools.example.com/mcp")
    return RegistryServer(name=name, description=alias, version="1", remotes=(where,))


@settings(max_examples=60, deadline=None)
@given(st.lists(ALIASES, min_size=1, max_size=6), ALIASES, st.integers(1, 5))
def test_an_entry_that_stays_is_shown_once_whatever_comes_and_goes(
    changing: list[set[str]], staying: set[str], limit: int
) -> None:
    seen: list[str] = []
    cursor = ""
    for turn in range(200):
        now = staying | changing[turn % len(changing)]
        shown = registry_page(map(_entry, now), limit=limit, cursor=cursor)
        seen += [each.name for each in shown.servers]
        cursor = shown.next
        if not cursor:
            break
    assert not cursor
    assert len(seen) == len(set(seen))
    assert {_entry(alias).name for alias in staying} <= set(seen)


@pytest.mark.parametrize("cursor", ["!", "é", "A", "_____w", "a" * 401, "YQ==", "YR"])
def test_a_cursor_that_no_list_gave_out_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        registry_page((), limit=1, cursor=cursor)


@pytest.mark.parametrize("limit", [-1, 0, 101])
def test_a_limit_that_cannot_be_is_refused(limit: int) -> None:
    with pytest.raises(Invalid):
        registry_page((), limit=limit)


def test_search_finds_a_part_of_the_name_in_any_case() -> None:
    shown = registry_page(map(_entry, ("mail", "files")), limit=9, search="/MA")
    assert [each.name for each in shown.servers] == ["com.example.tools/mail"]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Tools.Example.com", "com.example.tools/a"),
        ("127.0.0.1", "127.0.0.1/a"),
        ("[::1]", "--1/a"),
        ("localhost", "localhost/a"),
    ],
)
def test_a_name_is_the_host_backwards_and_the_alias(host: str, name: str) -> None:
    assert registry_name(host, "a") == name


@pytest.mark.parametrize(("host", "alias"), [("", "a"), ("h", ""), ("h", "a/b"), ("h", "a" * 199)])
def test_what_the_registry_cannot_say_is_no_name(host: str, alias: str) -> None:
    with pytest.raises(Invalid):
        registry_name(host, alias)


@given(st.text(max_size=1000))
def test_a_description_is_one_line_of_1_to_100_characters(text: str) -> None:
    line = registry_description(text, "com.example/a")
    assert 1 <= len(line) <= 100
    assert "\n" not in line


@pytest.mark.parametrize("version", ["", "latest", "Latest", "1" * 256])
def test_no_entry_has_a_version_that_means_another(version: str) -> None:
    with pytest.raises(Invalid):
        registry_version(version)
