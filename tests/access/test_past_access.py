"""Who could use what at a past moment, over the admin API and by command."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, W, stub

from gatelodge.core.errors import LimitReached
from gatelodge.flows.past.past_access import MOST_QUESTIONS, PastQuestions

__all__ = ["stub"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of their own: its whole past is replayed."""
    with Gate(tmp_path_factory.mktemp("past") / "data").prepared().running() as gate:
        yield House(gate)


def cells(house: House, **asked: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    return house.ok("GET", f"{W}/access/matrix?{query}")["cells"]


def now(house: House) -> str:
    return str(house.ok("GET", f"{W}/access/matrix?server=stub")["at"])


@pytest.fixture(scope="module")
def moments(house: House, stub: str) -> dict[str, str]:
    """Moments before and after each of some changes."""
    found = {"before": now(house)}
    house.ok("POST", f"{W}/members", {"email": "lea@example.test", "role": "member"})
    grant = {"member": "lea@example.test", "server": stub, "level": "all"}
    made = house.ok("POST", f"{W}/grants", grant)
    found["granted"] = now(house)
    house.ok("DELETE", f"{W}/grants/{made['id']}")
    found["taken"] = now(house)
    house.ok("POST", f"{W}/members/lea@example.test/revoke", {"why": "HR-7"})
    found["gone"] = now(house)
    return found


@pytest.mark.guarantee("access:point-in-time")
def test_a_matrix_of_the_past_shows_who_could_use_what_then(
    house: House, moments: dict[str, str]
) -> None:
    lea = "lea@example.test"
    of_lea = {
        name: [cell for cell in cells(house, at=at) if cell["principal"] == lea]
        for name, at in moments.items()
    }
    assert (of_lea["before"], of_lea["gone"]) == ([], [])
    assert {cell["decision"] for cell in of_lea["granted"]} == {"allow"}
    assert {cell["decision"] for cell in of_lea["taken"]} == {"deny: no_grant"}
    # The log does not know in which order a server lists its tools.
    alike = [sorted(map(str, cells(house, **asked))) for asked in ({"at": moments["gone"]}, {})]
    assert alike[0] == alike[1]


def test_an_explanation_of_the_past_names_the_grant_that_held_then(
    house: House, moments: dict[str, str]
) -> None:
    asked = f"{W}/access/explain?principal=lea@example.test&tool=stub/echo"
    told = house.ok("GET", f"{asked}&at={moments['granted']}")
    assert (told["allowed"], told["at"]) == (True, moments["granted"])
    (grant,) = [each for each in told["grants"] if each["permits"]]
    assert (grant["id"], grant["to"]) == (told["rule"], "lea@example.test")
    assert house.ok("GET", f"{asked}&at={moments['taken']}")["allowed"] is False
    house.refused(404, "not_found", "GET", f"{asked}&at={moments['gone']}")
    house.refused(404, "not_found", "GET", asked)


def test_a_member_sees_their_own_past_alone(house: House, moments: dict[str, str]) -> None:
    at = moments["taken"]
    own = f"{W}/access/explain?principal=me&tool=stub/echo&at={at}"
    other = f"{W}/access/explain?principal=lea@example.test&tool=stub/echo&at={at}"
    house.refused(404, "not_found", "GET", own, by="member")  # hidden then, as it is now
    house.refused(403, "forbidden", "GET", other, by="member")
    house.refused(403, "forbidden", "GET", f"{W}/access/matrix?at={at}", by="member")


@pytest.mark.parametrize(
    ("at", "status", "code"),
    [
        ("soon", 400, "invalid"),
        ("2999-01-01", 400, "invalid"),
        ("100w", 404, "not_found"),
        ("1970-01-01T00:00:00Z", 404, "not_found"),
    ],
)
def test_a_moment_that_never_was_is_an_error(
    house: House, stub: str, at: str, status: int, code: str
) -> None:
    told = house.refused(status, code, "GET", f"{W}/access/matrix?at={at}")
    assert told["detail"], told


def test_the_commands_tell_of_a_past_moment(house: House, moments: dict[str, str]) -> None:
    at = moments["granted"]
    told = house.gate.cli("access", "explain", "lea@example.test", "stub/echo", "--at", at)
    assert told["allowed"] is True
    shown = house.gate.command("access", "matrix", "--at", at, "--principal", "lea@example.test")
    assert shown.returncode == 0, shown
    assert "lea@example.test" in shown.stdout
    assert at[:19] in shown.stdout, shown.stdout


def test_a_history_names_who_gave_and_who_took(house: House, moments: dict[str, str]) -> None:
    told = house.ok("GET", f"{W}/access/history?principal=lea@example.test")
    assert {each["tool"] for each in told["intervals"]} == {"stub/echo", "stub/count"}
    for each in told["intervals"]:
        assert moments["before"] < each["began"]["at"] < moments["granted"]
        assert moments["granted"] < each["ended"]["at"] < moments["taken"]
        kinds = (each["began"]["kind"], each["ended"]["kind"], each["ended"]["by"])
        assert kinds == ("grant.created", "grant.revoked", "owner@localhost")
    own = house.ok("GET", f"{W}/access/history?principal=me", by="member")
    assert own["intervals"] == []
    for who in ("lea@example.test", "nobody@example.test"):
        path = f"{W}/access/history?principal={who}"
        house.refused(403, "forbidden", "GET", path, by="member")
    house.refused(404, "not_found", "GET", f"{W}/access/history?principal=nobody@example.test")


def test_a_difference_tells_what_came_and_what_went(house: House, moments: dict[str, str]) -> None:
    def between(earlier: str, later: str) -> set[tuple[str, str, str]]:
        asked = f"earlier={moments[earlier]}&later={moments[later]}"
        told = house.ok("GET", f"{W}/access/diff?{asked}")["differences"]
        return {(each["principal"], each["tool"], each["change"]) for each in told}

    tools = ("stub/count", "stub/echo")
    assert between("before", "granted") == {("lea@example.test", t, "gained") for t in tools}
    assert between("granted", "taken") == {("lea@example.test", t, "lost") for t in tools}
    assert between("before", "gone") == set()
    since_ever = house.ok("GET", f"{W}/access/diff?earlier=&later={moments['granted']}")
    assert {each["change"] for each in since_ever["differences"]} == {"gained"}
    house.refused(403, "forbidden", "GET", f"{W}/access/diff?earlier=1s", by="member")
    turned = f"{W}/access/diff?earlier={moments['taken']}&later={moments['granted']}"
    house.refused(400, "invalid", "GET", turned)


def test_the_commands_of_the_past_are_read_by_people(house: House, moments: dict[str, str]) -> None:
    at, shown = moments["granted"], house.gate.command
    for words, said in (
        (("access", "at", at), "lea@example.test"),
        (("access", "who-can", "stub/echo", "--at", at), "lea@example.test"),
        (("access", "history", "lea@example.test"), "grant.revoked by owner@localhost"),
        (("access", "history", "lea@example.test", "--svg"), "<title>stub/echo: from "),
        (("access", "matrix", "--at", at, "--svg"), "lea@example.test, stub/echo: 1 of 1"),
        (("access", "diff", moments["before"], at), "gained"),
        (("access", "diff", at, at), "Nothing differs."),
    ):
        done = shown(*words)
        assert done.returncode == 0, done
        assert said in done.stdout, done.stdout


@pytest.mark.guarantee("access:point-in-time")
def test_calls_of_a_running_gate_are_replayed_after_everything_changed(
    house: House, stub: str
) -> None:
    client = house.gate.client(house.gate.token)
    grant = house.ok("POST", f"{W}/grants", {"everyone": True, "server": stub, "level": "all"})
    assert client.call("stub__echo", {"text": "x"}).json["result"]["content"]
    house.ok("DELETE", f"{W}/grants/{grant['id']}")
    client.call("stub__echo", {"text": "x"})
    calls = house.ok("GET", f"{W}/audit/records?tool=echo")["items"]
    assert {each["outcome"].partition(":")[0] for each in calls} == {"ok", "denied"}
    house.gate.cli("server", "remove", stub, "--yes")
    for each in calls:
        told = house.gate.cli("access", "replay", each["call"])
        assert (told["verdict"], told["recorded"]) == ("same", told["replayed"]), told
        assert told["who"] == each["who"]
    reads = house.ok("GET", f"{W}/audit/changes?type=audit.read")["items"]
    assert any(each["subject"]["about"] == [calls[0]["call"]] for each in reads)
    house.refused(
        403, "forbidden", "GET", f"{W}/audit/calls/{calls[0]['call']}/replay", by="member"
    )


def test_questions_of_one_person_about_the_past_leave_room_for_others() -> None:
    asked = PastQuestions()
    with ExitStack() as under_way:
        for _ in range(MOST_QUESTIONS):
            under_way.enter_context(asked.by("mem_1"))
        with pytest.raises(LimitReached), asked.by("mem_1"):
            pass
        with asked.by("mem_2"):
            pass
    with asked.by("mem_1"):
        pass


def test_whoever_asks_about_the_past_too_much_at_once_is_told_so(
    house: House, moments: dict[str, str]
) -> None:
    paths = (
        "/access/history?principal=me",
        f"/access/matrix?at={moments['granted']}",
        f"/access/diff?earlier={moments['before']}",
    )
    with ThreadPoolExecutor(12) as people:
        asked = [people.submit(house.ask, "GET", f"{W}{path}") for path in paths * 4]
        seen = {each.result().status for each in asked}
    assert seen <= {200, 429}
    assert all(house.ask("GET", f"{W}{path}").status == 200 for path in paths)
