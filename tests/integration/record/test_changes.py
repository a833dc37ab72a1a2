"""Who granted, approved and revoked what, when, for which ticket: read again from the gov log."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.admin_house import STUB, House, W
from tests.stage import all_of

from gatelodge.core.records.verify import verify_proof

OTHER = "/workspaces/other"
LEAVER = "leaver@example.test"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which somebody came, was let in, and left for a ticket; and a second workspace."""
    with Gate(tmp_path_factory.mktemp("record") / "data").prepared().running() as gate:
        made = House(gate)
        made.ok("POST", f"{W}/members", {"email": LEAVER})
        made.ok("POST", f"{W}/groups", {"name": "eng"})
        made.ok("POST", f"{W}/groups/eng/add-member", {"principal": LEAVER})
        made.ok("POST", f"{W}/members/{LEAVER}/revoke", {"why": "HR-77"}, by="security")
        body = {"slug": "other", "name": "Other", "owner": "boss@example.test"}
        gate.api("POST", "/workspaces", body, local=True)
        transport = {"type": "stdio", "command": [sys.executable, str(STUB)], "run_as": "gateway"}
        body = {"alias": "theirs", "transport": transport}
        gate.api("POST", f"{OTHER}/servers", body, local=True)
        seen = gate.api("POST", f"{OTHER}/servers/theirs/observe", local=True)
        gate.api("POST", f"{OTHER}/servers/theirs/approve", all_of(seen), local=True)
        yield made


def command(house: House, *words: str) -> str:
    ran = house.gate.command(*words)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def changes(house: House, query: str, by: str = "auditor") -> list[dict]:
    return house.ok("GET", f"{W}/audit/changes?{query}", by=by)["items"]


@pytest.mark.parametrize(
    "query",
    [
        "why=HR-77",
        "type=member.revoked",
        f"about={LEAVER}&type=member.revoked",
        "by=security@example.test&why=HR-77",
        "since=1h&type=member.revoked",
    ],
)
def test_who_let_somebody_go_when_and_for_which_ticket_is_found(house: House, query: str) -> None:
    found = [each for each in changes(house, query) if each["type"] == "member.revoked"]
    (left,) = found
    assert (left["by_name"], left["why"]) == ("security@example.test", "HR-77")
    assert LEAVER in left["names"].values()  # though they are gone


def test_a_receipt_is_shown_and_proven_again_at_any_time(house: House) -> None:
    (receipt,) = changes(house, f"type=revocation.receipt&about={LEAVER}")
    path = f"{W}/audit/changes/{receipt['index']}"
    assert house.ok("GET", path, by="auditor") == receipt
    assert receipt["subject"]["completed_ms"] <= receipt["subject"]["bound_ms"]
    document = house.ask("GET", f"{path}/proof", by="auditor").body
    key = house.ok("GET", f"{W}/audit/key", by="auditor")["key"]
    report = verify_proof(document, [key])
    assert report.verdict == "VERIFIED"
    assert report.leaves[receipt["index"]]["t"] == "revocation.receipt"
    assert not report.unknown


def test_an_auditor_sees_the_changes_of_their_workspace_and_an_operator_the_whole_house(
    house: House,
) -> None:
    own = {each["workspace"] for each in changes(house, "limit=500")}
    assert len(own) == 1
    whole = house.gate.api("GET", f"{W}/audit/changes?limit=500", local=True)
    assert {each["workspace"] for each in whole["items"]} > own
    other = next(each for each in whole["items"] if each["workspace"] not in own)
    for path in (f"{other['index']}", f"{other['index']}/proof", "9" * 30):
        house.refused(404, "not_found", "GET", f"{W}/audit/changes/{path}", by="auditor")


def test_no_filter_tells_an_auditor_what_stands_in_another_workspace(house: House) -> None:
    """What is only there is answered like what is nowhere."""
    theirs = house.gate.api("GET", f"{W}/audit/changes?limit=500", local=True)["items"]
    own = {each["workspace"] for each in changes(house, "limit=500")}
    hidden = [each for each in theirs if each["workspace"] not in own | {""}]
    subjects = [str(value) for each in hidden for value in each["subject"].values()]
    ids = {each for each in subjects if each.partition("_")[0] in {"wsp", "mem", "srv"}}
    assert len(ids) > 2, subjects
    for word in sorted(ids | {"other", "theirs", "echo"}):
        for path in (f"changes?about={word}", f"records?rule={word}"):
            house.refused(404, "not_found", "GET", f"{W}/audit/{path}", by="auditor")
        notes = house.ok("GET", f"{W}/audit/records?tool={word}", by="auditor")["notes"]
        assert notes == [f"no tool of the name {word} was ever approved here"]
    house.gate.api("GET", f"{W}/audit/changes?about={max(ids)}", local=True)  # an operator may


@pytest.mark.parametrize("role", ["admin", "member"])
def test_who_may_not_read_records_reads_no_changes(house: House, role: str) -> None:
    for path in ("", "/1", "/1/proof"):
        house.refused(403, "forbidden", "GET", f"{W}/audit/changes{path}", by=role)


def test_a_change_on_the_gates_own_machine_names_the_account(house: House) -> None:
    path = f"{W}/audit/changes?type=workspace.created&limit=1"
    (founded,) = house.gate.api("GET", path, local=True)["items"]
    kind, _, uid = founded["by"].partition(":")
    assert (kind, int(uid)) in {("local", os.getuid()), ("local", login_uid())}
    assert founded["by_name"].startswith("local:")
    assert changes(house, "by=local&limit=1", by="owner") == []  # it was not in this workspace


def login_uid() -> int:
    return int(Path("/proc/self/loginuid").read_text("ascii"))


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ("type=member.gone", 400, "no change is of type"),
        ("type=call.intent", 400, "stands in the log of calls"),
        ("by=nobody@example.test", 404, "no member"),
        ("about=nobody", 404, "nothing here is, or was, called"),
        ("about=x%22y", 404, "nothing here is, or was, called"),
        ("who=x", 400, "is not known here"),
        ("cursor=x", 400, "not one that this list gave out"),
        ("cursor=" + "9" * 5_000, 400, "not one that this list gave out"),
        ("since=999999d", 400, "too long ago"),
    ],
)
def test_a_filter_that_cannot_match_is_an_error(
    house: House, wrong: str, status: int, said: str
) -> None:
    code = "not_found" if status == 404 else "invalid"
    told = house.refused(status, code, "GET", f"{W}/audit/changes?{wrong}", by="auditor")
    assert said in told["detail"]


@pytest.mark.slow
def test_the_commands_show_names_and_write_proofs(house: House, tmp_path) -> None:
    shown = command(house, "audit", "changes", "search", "--why", "HR-77")
    assert LEAVER in shown
    assert "security@example.test" in shown
    receipts = json.loads(command(house, "--json", "audit", "changes", "receipts"))["items"]
    index = str(receipts[0]["index"])
    assert "completed_ms" in command(house, "audit", "changes", "show", index)
    file = tmp_path / "proof.json"
    command(house, "audit", "changes", "prove", index, "-o", str(file))
    key = command(house, "audit", "key").strip()
    assert command(house, "audit", "verify", str(file), "--key", key).startswith("VERIFIED")
    assert "at,type" in command(house, "audit", "changes", "search", "--csv")
    assert "member.revoked" in command(house, "audit", "changes", "tail", "-n", "30")
