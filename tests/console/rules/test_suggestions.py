"""Fields that take a name suggest those that there are, to whoever may list them."""

import html
import re

import pytest
from tests.console.pages import HOME, Visitor
from tests.console.test_pages import HOSTILE
from tests.integration.admin_house import ROLES, House, W

from gatelodge.web.console.suggestions import MOST


@pytest.fixture(scope="module")
def visitors(house: House, stub: str) -> dict[str, Visitor]:
    found = {}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


def suggested(page: str, form: str, field: str) -> list[str]:
    """The names that a field suggests; none for one that has no list."""
    place = f"known-{form}-{field}"
    found = re.findall(rf'<datalist id="{place}">(.*?)</datalist>', page, re.DOTALL)
    assert page.count(f'list="{place}"') == len(found) <= 1
    told = [html.unescape(each) for each in re.findall(r'<option value="([^"]*)">', *found or [""])]
    assert len(told) <= MOST
    return told


def test_a_grants_form_suggests_who_and_what_there_is(
    house: House, visitors: dict[str, Visitor], stub: str
) -> None:
    for email in ("aaron@example.test", "gone@example.test"):
        house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
    house.ok("POST", f"{W}/members/gone@example.test/revoke", {"why": "HR-1"})
    # First of all, however many others there are.
    group, agent = f"!{HOSTILE[1]}", f"!{HOSTILE[0]}"
    house.ok("POST", f"{W}/groups", {"name": group})
    house.ok("POST", f"{W}/agents", {"name": agent, "owner": "aaron@example.test"})
    for role in ("owner", "admin"):
        page = visitors[role].page("/grants")
        assert HOSTILE[0] not in page
        assert HOSTILE[1] not in page
        names = {each: suggested(page, "add", each) for each in ("member", "agent", "group")}
        assert "aaron@example.test" in names["member"]
        assert "gone@example.test" not in names["member"]
        assert agent in names["agent"]
        assert group in names["group"]
        assert stub in suggested(page, "add", "server")
    for role in ("security", "auditor"):
        assert "<datalist" not in visitors[role].page("/grants"), role


def test_a_groups_forms_suggest_whom_to_put_in_and_whom_to_take_out(
    house: House, visitors: dict[str, Visitor]
) -> None:
    house.ok("POST", f"{W}/groups", {"name": "divers"})
    house.ok("POST", f"{W}/groups/divers/add-member", {"principal": "admin@example.test"})
    page = visitors["admin"].page("/groups/divers")
    assert "admin@example.test" in suggested(page, "add-member", "principal")
    assert suggested(page, "remove-member", "principal") == ["admin@example.test"]
    page = visitors["security"].page("/groups/divers")
    assert suggested(page, "add-member", "principal") == []
    assert suggested(page, "remove-member", "principal") == ["admin@example.test"]


def test_who_may_not_list_people_is_told_of_none_by_a_form(
    house: House, visitors: dict[str, Visitor]
) -> None:
    assert "admin@example.test" in suggested(visitors["admin"].page("/tokens"), "issue", "member")
    for role in ("security", "member"):
        # Everybody may issue tokens of their own; the form of a refusal shows the page again.
        refused = visitors[role].send("/tokens", member="nobody@example.test")
        assert refused.status in {403, 404}, role
        assert b"<datalist" not in refused.body, role
        assert b"admin@example.test" not in refused.body or role != "member"


@pytest.mark.slow
def test_of_many_names_a_part_is_suggested(house: House, visitors: dict[str, Visitor]) -> None:
    names = [f"many-{at:03}" for at in range(MOST + 20)]
    for name in names:
        house.ok("POST", f"{W}/groups", {"name": name})
    page = visitors["owner"].page("/grants")
    assert len(suggested(page, "add", "group")) == MOST
    last = {"group": names[-1], "server": "stub", "level": "all"}
    assert visitors["owner"].send("/grants", **last).headers["location"].startswith(HOME)
    for name in names:
        house.ok("DELETE", f"{W}/groups/{name}")
