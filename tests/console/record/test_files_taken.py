"""Tables that somebody takes along say what they are, of whom and as of when."""

import pytest
from tests.console.pages import HOME, Visitor
from tests.integration.admin_house import House, W


@pytest.fixture(scope="module")
def auditor(house: House) -> Visitor:
    found = Visitor(house)
    assert found.enter(house.tokens["auditor"]).status == 204
    return found


def taken(visitor: Visitor, path: str) -> tuple[str, str]:
    """The name that a file has, and what stands in it."""
    answer = visitor.ask("GET", HOME + path)
    assert answer.status == 200, (path, answer.body)
    name = answer.headers["content-disposition"].partition("; ")[2]
    return name, answer.body.decode()


def test_a_file_of_the_past_is_called_by_its_moments_and_by_who_was_asked_about(
    house: House, stub: str, auditor: Visitor
) -> None:
    then = house.ok("GET", f"{W}/access/matrix?server={stub}")["at"]
    word = f"{then[:19].replace(':', '-')}Z"
    name, text = taken(auditor, f"/access?form=csv&at={then}&q=nobody%22%0d%0a;")
    assert name == f'filename="access-nobody_-{word}.csv"'
    assert text == "principal,server,allowed,tools,unused"
    name, _ = taken(auditor, f"/access/owner@localhost?form=json&at={then}")
    assert name == f'filename="tools-owner@localhost-{word}.json"'
    name, text = taken(auditor, f"/diff?form=json&earlier={then}&later={then}")
    assert (name, text) == (f'filename="differences-{word}-to-{word}.json"', "[]")
    name, text = taken(auditor, "/members?form=csv&q=nobody-at-all")
    assert name == 'filename="members-nobody-at-all.csv"'
    assert "email" in text.split(",")
