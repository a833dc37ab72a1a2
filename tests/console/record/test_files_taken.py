"""Tables that somebody takes along say what they are, of whom and as of when."""

import csv
import io
import json

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


def test_changes_are_taken_along_in_parts_and_that_is_written_down(
    house: House, auditor: Visitor
) -> None:
    house.ok("POST", f"{W}/groups", {"name": "taken-along"})
    name, text = taken(auditor, "/changes?form=csv&type=group.created&about=taken-along")
    (row,) = csv.DictReader(io.StringIO(text))
    assert (name, row["type"], row["about"]) == (
        'filename="changes.csv"',
        "group.created",
        "taken-along",
    )
    look = house.ok("GET", f"{W}/audit/changes?type=audit.read")["items"][0]
    told = look["subject"]
    assert (look["by_name"], told["what"], told["records"]) == (
        "auditor@example.test",
        "changes",
        1,
    )
    # A part goes on where the one before it ended.
    name, text = taken(auditor, "/changes?form=json&looks=true&cursor=3")
    assert name == 'filename="changes-last-part.json"'
    assert [each["index"] for each in json.loads(text)] == [2, 1]


def test_changes_are_shown_without_the_looks_that_would_hide_them(
    house: House, auditor: Visitor
) -> None:
    house.ok("POST", f"{W}/secrets", {"name": "seen-here"})
    auditor.page("/live")
    page = auditor.page("/changes")
    assert "<code>audit.read</code>" not in page
    assert "<td>seen-here</td>" in page
    assert "Show looks too" in page
    assert "<code>audit.read</code>" in auditor.page("/changes?looks=true")
    assert "<code>audit.read</code>" in auditor.page("/changes?type=audit.read")
    kinds = [each["type"] for each in house.ok("GET", f"{W}/audit/changes")["items"]]
    assert "audit.read" in kinds
