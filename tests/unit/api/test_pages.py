import pytest
from hypothesis import given
from hypothesis import strategies as some

from gatelodge.core.errors import Invalid
from gatelodge.web.api.pages import PageRequest, page


def walk(rows: list[str], limit: int) -> list[str]:
    seen: list[str] = []
    cursor = ""
    while True:
        found = page(rows, str, str.upper, PageRequest(limit, cursor))
        seen += found.items
        cursor = found.next
        if not cursor:
            return seen


@given(some.lists(some.text(min_size=1), unique=True), some.integers(1, 7))
def test_page_after_page_shows_everything_once_in_order(rows: list[str], limit: int) -> None:
    assert walk(rows, limit) == [row.upper() for row in rows]


def test_a_list_goes_on_from_its_place_when_the_last_row_shown_has_gone() -> None:
    rows = ["a", "b", "c", "d", "e"]
    first = page(rows, str, str, PageRequest(2))
    rows.remove("b")
    assert page(rows, str, str, PageRequest(2, first.next)).items == ("c", "d")


def test_the_last_page_has_no_cursor() -> None:
    assert page(["a", "b"], str, str, PageRequest(2)).next == ""


@pytest.mark.parametrize("cursor", ["x", "!!!", "YWJj", "\N{SNOWMAN}"])
def test_a_cursor_that_nobody_gave_out_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        page(["a"], str, str, PageRequest(1, cursor))
