"""Calls as they come: who may watch, what it costs, what is written down, and what ends it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.console.pages import HOME, Visitor
from tests.console.streams import Events
from tests.gate import Client, Gate
from tests.integration.admin_house import House, W

PATH = "/live/events"


@pytest.fixture
def auditor(house: House) -> Iterator[Visitor]:
    """Somebody who watches, with a session of their own."""
    token = house.ok("POST", f"{W}/tokens", {"member": "auditor@example.test"})
    visitor = Visitor(house)
    assert visitor.enter(token["token"]).status == 204
    yield visitor
    house.ask("POST", f"{W}/tokens/{token['id']}/revoke", {})


@pytest.fixture(scope="module")
def caller(house: House, stub: str) -> Client:
    house.ok("POST", f"{W}/members", {"email": "live@example.test", "role": "member"})
    house.ok("POST", f"{W}/grants", {"member": "live@example.test", "server": stub, "level": "all"})
    token = house.ok("POST", f"{W}/tokens", {"member": "live@example.test"})["token"]
    return house.gate.client(token)


def test_a_call_is_seen_by_those_who_watch_with_who_what_and_how_it_ended(
    auditor: Visitor, caller: Client
) -> None:
    with closing(Events(auditor, PATH)) as one, closing(Events(auditor, PATH)) as other:
        assert one.status == other.status == 200
        caller.call("stub__echo", {"text": "x"})
        caller.call("stub__nothing", {})
        for each in (one, other):
            seen = each.until(lambda row: row["who"] == "live@example.test" and row["tool"])
            assert (seen["server"], seen["tool"], seen["outcome"]) == ("stub", "echo", "ok")
            assert isinstance(seen["ms"], int)


def test_watching_goes_on_from_the_place_that_the_page_showed(
    house: House, auditor: Visitor, caller: Client
) -> None:
    before = house.ok("GET", f"{W}/audit/tail")["next"]
    caller.call("stub__echo", {"text": "x"})
    house.ok("GET", f"{W}/audit/tail")
    with closing(Events(auditor, f"{PATH}?after={before}")) as stream:
        assert stream.until(lambda row: row["tool"] == "echo")["index"] >= before


def test_only_roles_that_may_read_records_watch(house: House) -> None:
    for role in ("member", "admin"):
        visitor = Visitor(house)
        visitor.enter(house.tokens[role])
        assert visitor.ask("GET", HOME + PATH).status == 403, role
    assert Visitor(house).ask("GET", HOME + PATH).status == 401


def test_whoever_watches_is_written_down_before_anything_is_shown(
    house: House, auditor: Visitor
) -> None:
    with closing(Events(auditor, PATH)):
        (newest, *_) = house.ok("GET", f"{W}/audit/changes?type=audit.read")["items"]
        assert newest["by_name"] == "auditor@example.test"
        assert newest["subject"]["what"] == "live"


def test_nobody_watches_in_more_places_than_four(auditor: Visitor) -> None:
    opened = [Events(auditor, PATH) for _ in range(4)]
    assert [each.status for each in opened] == [200] * 4
    assert auditor.ask("GET", HOME + PATH).status == 429
    for each in opened:
        each.close()


def test_watching_ends_with_the_session_and_shows_nothing_that_came_after(
    house: House, auditor: Visitor, caller: Client
) -> None:
    stream = Events(auditor, PATH)
    caller.call("stub__echo", {"text": "x"})
    assert stream.until(lambda row: row["tool"] == "echo")
    assert auditor.ask("POST", "/console/sign-out").status == 204
    caller.call("stub__nothing", {})
    assert stream.until(lambda row: row["tool"] == "nothing") is None
    stream.close()


def test_a_gate_that_stops_waits_for_nobody_who_watches(tmp_path: Path) -> None:
    made = Gate(tmp_path / "data")
    with made.prepared().running() as gate:
        house = House(gate)
        visitor = Visitor(house)
        visitor.enter(house.tokens["owner"])
        stream = Events(visitor, PATH)
        assert stream.status == 200
    # Leaving the block stops it, and fails where it does not end in time.
    assert stream.next() is None
    stream.close()


def test_one_who_does_not_read_keeps_nobody_else_from_it(auditor: Visitor, caller: Client) -> None:
    deaf = Events(auditor, PATH)
    with closing(Events(auditor, PATH)) as stream:
        for _ in range(60):
            caller.call("stub__nothing", {})
        assert stream.until(lambda row: row["who"] == "live@example.test")
        caller.call("stub__echo", {"text": "x"})
        assert stream.until(lambda row: row["tool"] == "echo")
    deaf.close()
