"""Records are found by the names that people use; what cannot match is refused with what can."""

import sys
from collections.abc import Iterator

import pytest
from tests.gate import Gate
from tests.integration.admin_house import STUB, House, W
from tests.stage import all_of


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which a server was called, removed, and added again under its alias."""
    with Gate(tmp_path_factory.mktemp("record") / "data").prepared().running() as gate:
        made = House(gate)
        made.ok("POST", f"{W}/groups", {"name": "eng"})
        made.ok("POST", f"{W}/groups/eng/add-member", {"principal": "auditor@example.test"})
        for turn in range(2):
            transport = {"type": "stdio", "command": [sys.executable, str(STUB)]}
            body = {"alias": "stub", "transport": {**transport, "run_as": "gateway"}}
            gate.api("POST", f"{W}/servers", body, local=True)
            seen = made.ok("POST", f"{W}/servers/stub/observe")
            made.ok("POST", f"{W}/servers/stub/approve", all_of(seen))
            grant = {"member": "auditor@example.test", "server": "stub", "level": "all"}
            made.ok("POST", f"{W}/grants", grant)
            client = gate.client(made.tokens["auditor"])
            tool = next(name for name in client.tools() if name.startswith("stub__echo"))
            assert client.call(tool, {}).status == 200
            if not turn:
                made.ok("POST", f"{W}/servers/stub/remove", {})
        yield made


def found(house: House, query: str) -> dict:
    return house.ok("GET", f"{W}/audit/records?{query}", by="auditor")


def test_an_alias_finds_every_server_that_ever_had_it_and_says_so(house: House) -> None:
    page = found(house, "server=stub&type=call.intent")
    assert [each["server"] for each in page["items"]] == ["stub", "stub (removed)"]
    assert "(removed)" in page["notes"][0]


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("member=auditor@example.test&server=stub", 2),
        ("group=eng&server=stub", 2),
        ("rule={rule}", 1),
        ("call={call}", 1),
        ("credential={credential}", 3),
        ("outcome=ok&tool=echo&since=1h", 2),
        ("server=stub&since=0900-01-01", 2),
        ("server=stub&until=0900-01-01", 0),
        ("client=no-such-client", 0),
    ],
)
def test_each_filter_finds_what_it_names(house: House, query: str, calls: int) -> None:
    newest = found(house, "server=stub&type=call.intent&limit=1")["items"][0]
    items = found(house, f"{query.format(**newest)}&type=call.intent")["items"]
    assert len(items) == min(calls, 2)


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ("server=stubb", 404, "did you mean stub?"),
        ("rule=no_such", 404, "no rule"),
        ("agent=nobody", 404, "no agent"),
        ("group=nobody", 404, "no group"),
        ("credential=crd_none", 404, "no token"),
        ("outcome=bogus", 400, "nothing ends as"),
        ("type=bogus", 400, "no record is of type"),
        ("type=grant.created", 400, "stands in the gov log"),
        ("since=1h&until=2h", 400, "nothing lies between"),
        ("since=yesterday", 400, "not RFC 3339"),
        ("since=999999d", 400, "too long ago"),
        ("until=999999w", 400, "too long ago"),
        ("since=0001-01-01T00:00:00%2B14:00", 400, "not RFC 3339"),
        ("cursor=" + "9" * 5_000, 400, "not one that this list gave out"),
        ("cursor=%D9%A3", 400, "not one that this list gave out"),
        ("outcom=ok", 400, "did you mean outcome?"),
    ],
)
def test_a_filter_that_cannot_match_is_an_error(
    house: House, wrong: str, status: int, said: str
) -> None:
    code = "not_found" if status == 404 else "invalid"
    told = house.refused(status, code, "GET", f"{W}/audit/records?{wrong}")
    assert said in told["detail"]


def test_a_tool_that_was_never_approved_here_is_noted(house: House) -> None:
    page = found(house, "tool=ech")
    assert page["items"] == []
    assert "was ever approved here; did you mean echo?" in page["notes"][0]


@pytest.mark.parametrize("who", ["true", "false"])
@pytest.mark.parametrize("nothing", ["", "&tool=no-such-tool"])
def test_a_search_by_person_is_written_down_whatever_it_shows(
    house: House, who: str, nothing: str
) -> None:
    """That somebody did nothing is an answer about them, too."""
    before = house.gov
    found(house, f"tool=no-such-tool&who={who}")
    assert house.gov == before
    found(house, f"member=auditor@example.test&who={who}{nothing}")
    assert house.gov == before + 1


def newest_read(house: House) -> dict:
    page = house.ok("GET", f"{W}/audit/changes?type=audit.read&limit=1", by="auditor")
    return page["items"][0]["subject"]


def test_a_look_at_who_called_is_written_down_with_what_it_was_about(house: House) -> None:
    record = found(house, "server=stub&type=call.intent&limit=1")["items"][0]
    call, log = record["call"], newest_read(house)["log"]
    assert newest_read(house)["about"] == []
    members = house.ok("GET", f"{W}/members")["items"]
    auditor = next(each["id"] for each in members if each["email"] == "auditor@example.test")
    found(house, f"member=auditor@example.test&credential={record['credential']}")
    assert newest_read(house)["about"] == [auditor, record["credential"]]
    about = house.ok("GET", f"{W}/audit/changes?type=audit.read&about=auditor@example.test")
    assert about["items"]
    for path, what in ((call, "call"), (f"{call}/proof?named=true", "proof")):
        house.ok("GET", f"{W}/audit/calls/{path}", by="auditor")
        read = newest_read(house)
        assert read == {"log": log, "what": what, "about": [call], "records": 1}


def test_a_proof_of_a_call_that_is_not_there_leaves_no_record_of_a_look(house: House) -> None:
    before, absent = house.gov, "c_" + "A" * 22
    house.refused(404, "not_found", "GET", f"{W}/audit/calls/{absent}/proof?named=true")
    assert house.gov == before
