"""Secrets on pages: named, set, replaced, erased and removed, and no page holds a value."""

from collections.abc import Iterator

import pytest
from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import ROLES, House, W

VALUE = "canary-beef-value"


@pytest.fixture(scope="module")
def visitors(house: House) -> dict[str, Visitor]:
    found = {}
    for role in ROLES:
        found[role] = Visitor(house)
        assert found[role].enter(house.tokens[role]).status == 204
    return found


@pytest.fixture
def key(house: House, visitors: dict[str, Visitor]) -> Iterator[str]:
    """The page of a secret that somebody named on the list of secrets."""
    made = visitors["admin"].send("/secrets", name="key", mode="shared")
    assert (made.status, made.headers["location"]) == (303, f"{HOME}/secrets/key?done=declare")
    yield "/secrets/key"
    if house.ask("GET", f"{W}/secrets/key").status == 200:
        house.ok("DELETE", f"{W}/secrets/key")


def test_a_value_is_typed_once_replaced_and_erased(
    house: House, visitors: dict[str, Visitor], key: str
) -> None:
    admin = visitors["admin"]
    assert admin.send(f"{key}/value", value=VALUE).status == 303
    told = house.ok("GET", f"{W}/secrets/key")
    assert (told["values"], told["size"]) == (1, len(VALUE))
    assert admin.send(f"{key}/value", value=f"{VALUE}-2").status == 303
    assert house.ok("GET", f"{W}/secrets/key")["size"] == len(VALUE) + 2
    for role in ROLES[:-1]:
        pages = visitors[role].page(key) + visitors[role].page("/secrets")
        assert VALUE not in pages
        assert (f'action="{HOME}{key}/value"' in pages) == (role in ("owner", "admin")), role
    assert admin.send(f"{key}/erase").status == 303
    assert house.ok("GET", f"{W}/secrets/key")["values"] == 0
    assert admin.send(f"{key}/erase").status == 404


def test_a_refused_value_stands_in_no_answer(visitors: dict[str, Visitor], key: str) -> None:
    told = visitors["admin"].send(f"{key}/value", value=VALUE, own="yes")
    assert (told.status, VALUE in told.body.decode()) == (409, False)
    told = visitors["security"].send(f"{key}/value", value=VALUE)
    assert (told.status, VALUE in told.body.decode()) == (403, False)
    assert visitors["admin"].send(f"{key}/value", value="").status == 400


def test_each_sets_a_value_of_their_own(house: House, visitors: dict[str, Visitor]) -> None:
    house.ok("POST", f"{W}/secrets", {"name": "mine", "mode": "member"})
    auditor = visitors["auditor"]
    page = auditor.page("/secrets/mine")
    assert 'name="own"' in page
    assert auditor.send("/secrets/mine/value", value=VALUE, own="yes").status == 303
    told = auditor.send("/secrets/mine/value", value=VALUE, member="owner@localhost")
    assert told.status == 403
    assert house.ok("GET", f"{W}/secrets/mine")["holders"] == ["auditor@example.test"]
    assert auditor.send("/secrets/mine/remove").status == 403
    tried = visitors["admin"].send("/secrets/mine/remove", do="preview").body.decode()
    assert "secret.removed" in tried
    assert visitors["admin"].send("/secrets/mine/remove").status == 303
    assert house.ask("GET", f"{W}/secrets/mine").status == 404
