"""A member without a role learns what was recorded about them, and nothing of anybody else."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from tests.console.pages import HOME, Visitor
from tests.gate import Gate
from tests.integration.admin_house import House, W, stub

__all__ = ["stub"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Gate(tmp_path_factory.mktemp("own") / "data").prepared().running() as gate:
        yield House(gate)


@pytest.fixture(scope="module")
def calls(house: House, stub: str) -> list[dict[str, Any]]:
    """What the member sees after they and the owner called, allowed and not."""
    member = house.gate.client(house.tokens["member"])
    member.call("stub__echo", {"text": "x"})
    member.call("stub__nothing", {})
    grant = {"member": "member@example.test", "server": stub, "tool": "count", "level": "all"}
    house.ok("POST", f"{W}/grants", grant)
    member.call("stub__count", {})
    house.gate.client(house.gate.token).call("stub__count", {})
    told = house.ok("GET", f"{W}/recorded/calls", by="member")["items"]
    return [each for each in told if each["method"] == "tools/call"]


def test_a_member_sees_their_own_calls_alone(calls: list[dict[str, Any]]) -> None:
    assert {each["who"] for each in calls} == {"member@example.test"}
    assert calls[0]["server"] == "stub"
    assert calls[0]["tool"] == "count"
    assert len(calls) == 3


def test_what_was_hidden_from_a_call_is_hidden_in_its_record(calls: list[dict[str, Any]]) -> None:
    hidden, nothing = ({**each, "index": 0, "call": "", "at": ""} for each in calls[1:])
    # One tool is there, the other is not: the records are alike.
    for each in (hidden, nothing):
        each.pop("ms", None)
    assert hidden == nothing
    assert hidden["outcome"] == "denied"


def test_the_changes_that_name_somebody_name_nobody_else(
    house: House, calls: list[dict[str, Any]]
) -> None:
    house.ok("POST", f"{W}/groups", {"name": "night"})
    house.ok("POST", f"{W}/groups/night/add-member", {"principal": "member@example.test"})
    house.ok("GET", f"{W}/audit/records?member=member@example.test", by="auditor")
    told = house.ok("GET", f"{W}/recorded/changes", by="member")["items"]
    kinds = {each["type"] for each in told}
    assert {"member.added", "group.member_added", "grant.created", "audit.read"} <= kinds, kinds
    assert {each["by"] for each in told} == {"you", "somebody else"}
    assert any(each["group"] == "night" for each in told)
    # Their own look is the only one that they know who it was.
    looks = [each for each in told if each["type"] == "audit.read"]
    assert [each["by"] for each in looks[:2]] == ["somebody else", "you"]
    text = str(told)
    for other in ("owner", "auditor@", "mem_"):
        assert other not in text, text


def test_a_look_at_ones_own_records_is_recorded(house: House, calls: list[dict[str, Any]]) -> None:
    looks = house.ok("GET", f"{W}/audit/changes?type=audit.read")["items"]
    own = [each for each in looks if each["subject"]["what"] == "own"]
    assert own
    assert own[0]["by_name"] == "member@example.test"


def test_a_record_whose_opening_was_changed_is_shown_as_damaged(
    house: House, calls: list[dict[str, Any]]
) -> None:
    with closing(sqlite3.connect(house.gate.directory / "gatelodge.db", timeout=30)) as database:
        kept = database.execute("SELECT id, wrapped FROM dek").fetchall()
        with database:
            database.execute("UPDATE dek SET wrapped = x'00'")
        told = house.ok("GET", f"{W}/recorded/calls", by="member")["items"]
        with database:
            database.executemany("UPDATE dek SET wrapped = ?2 WHERE id = ?1", kept)
    found = {each["index"]: each for each in told}
    for each in calls:
        here = found[each["index"]]
        assert (here["outcome"], here["who"], here["at"]) == ("damaged", "(damaged)", each["at"])
        # Whose it is cannot be shown, so nothing is told of what it says.
        silent = ("type", "server", "tool", "method", "rule", "call", "agent", "client")
        assert {here[name] for name in silent} == {""}


def test_whoever_looked_too_often_can_still_end_their_token_and_come_in(house: House) -> None:
    email = "curious@example.test"
    house.ok("POST", f"{W}/members", {"email": email, "role": "member"})
    issued = house.ok("POST", f"{W}/tokens", {"member": email})
    visitor = Visitor(house)
    assert visitor.enter(issued["token"]).status == 204
    # Two lists as files and one for a program: all of them are looks, and counted together.
    looks = [f"{HOME}/recorded?form=csv&of={each}" for each in ("changes", "calls")] * 15
    assert [visitor.ask("GET", each).status for each in looks] == [200] * 30
    for each in looks[:2]:
        assert visitor.ask("GET", each).status == 429
    house.refused(429, "limit", "GET", f"{W}/recorded/calls", by=issued["token"])
    assert house.ok("GET", f"{W}/recorded/changes", by=issued["token"])["items"]
    assert Visitor(house).enter(issued["token"]).status == 204
    house.ok("POST", f"{W}/tokens/{issued['id']}/revoke", {}, by=issued["token"])
    assert visitor.ask("GET", f"{HOME}/").status == 401


def test_an_operator_is_told_where_to_look_instead(house: House, stub: str) -> None:
    for what in ("calls", "changes"):
        done = house.gate.command("recorded", what)
        assert done.returncode == 2, done
        assert "gatelodge audit search" in done.stderr, done
